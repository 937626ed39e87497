// Numbers with sensible digits and units, the same as workbench/ui/theme.py writes them.

const UNITS = [[1e9, " G"], [1e6, " M"], [1e3, " k"]];
const MINUS = "\u2212";

/** Three significant digits: 1.23, 12.3, 123. */
function threeDigits(value) {
  const digits = value ? Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)) + 1e-9)) : 0;
  return value.toFixed(digits);
}

/** A count with three digits and k, M or G. */
function compact(number) {
  for (const [size, suffix] of UNITS) {
    if (Math.abs(number) >= size * 0.9995) return threeDigits(number / size) + suffix;
  }
  return number.toFixed(0);
}

/** A number of bytes, in powers of 1000. */
function inBytes(number) {
  const text = compact(number);
  return /[kMG]$/.test(text) ? `${text}B` : `${text} B`;
}

/** A count in full: 12,345. */
function whole(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** A fraction as percent: 93.1 %. */
function percent(fraction, digits = 1) {
  return `${(100 * fraction).toFixed(digits)} %`;
}

/** A fraction as percent with no more digits than it needs, at most two: 60, 61.5, 61.24. */
function exactPercent(fraction) {
  return String(Number((100 * fraction).toFixed(2)));
}

/** A difference of two fractions in percentage points, with its sign. */
function signedPoints(difference) {
  const points = (100 * Math.abs(difference)).toFixed(1);
  if (points === "0.0") return "\u00b10.0";
  return (difference < 0 ? MINUS : "+") + points;
}

/** Fill {name} in a template. Values come from outside and stay text. */
function fill(template, values) {
  return template.replace(/\{(\w+)\}/g, (found, name) => (name in values ? values[name] : found));
}
