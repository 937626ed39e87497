// The colour of damage: accuracy lost when only this layer is pruned, on a logarithmic scale, since
// one point and five points differ more to a person than seventy and seventy-five.

const DAMAGE_UNIT = 0.02; // two percentage points: below them the scale is nearly linear
const DAMAGE_TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.4];
const TICK_GAP = 0.13; // as a share of the scale, so that numbers do not touch
const LEAST_SPAN = 0.05;
const GRADIENT_STEP = 0.025;
const HATCHED_BELOW = 0.985; // measured further up, what is left of a column is too thin to be seen
const SCALE_COLOURS = 4; // --damage-0 ... --damage-3 in the style sheet

/** Points of the columns that the hand may move, or of all where none of those is measured. */
function freePoints(data) {
  const pointsOf = (columns) => columns.flatMap((column) => column.points);
  const free = pointsOf(data.columns.filter((column) => !column.reason));
  return free.length ? free : pointsOf(data.columns);
}

/** The loss of accuracy at the end of the scale: the greatest measured on a column that can move. */
function damageSpan(data) {
  const damages = freePoints(data).map(([, accuracy]) => data.prediction.baseline_accuracy - accuracy);
  return Math.max(LEAST_SPAN, ...damages);
}

/** Place of a loss of accuracy on the scale, 0 to 1. */
function damagePlace(damage, span) {
  return clamp(Math.log1p(Math.max(0, damage) / DAMAGE_UNIT) / Math.log1p(span / DAMAGE_UNIT), 0, 1);
}

/** CSS colour at a place on the scale, mixed from theme-aware variables. */
function damageColour(place) {
  const steps = SCALE_COLOURS - 1;
  const k = Math.min(steps - 1, Math.floor(place * steps));
  const share = Math.round((place * steps - k) * 100);
  return `color-mix(in oklab, var(--damage-${k}), var(--damage-${k + 1}) ${share}%)`;
}

/** Accuracy with only this layer pruned: straight lines between the measured points. */
function accuracyAlone(points, baseline, sparsity) {
  let [x0, y0] = [0, baseline];
  for (const [x1, y1] of points) {
    if (sparsity <= x1) return y0 + ((y1 - y0) * (sparsity - x0)) / (x1 - x0);
    [x0, y0] = [x1, y1];
  }
  return y0;
}

/** Background of one column: its measured damage from bottom (dense) to its last measured level. */
function damageGradient(points, prediction, span) {
  const last = points[points.length - 1][0];
  const stops = [];
  for (let s = 0; s < last; s += GRADIENT_STEP) stops.push(s);
  stops.push(last);
  const baseline = prediction.baseline_accuracy;
  const colours = stops.map((s) => {
    const damage = baseline - accuracyAlone(points, baseline, s);
    return `${damageColour(damagePlace(damage, span))} ${(100 * s).toFixed(1)}%`;
  });
  return `linear-gradient(to top, ${colours.join(", ")}, transparent ${(100 * last).toFixed(1)}%)`;
}

/** Whether a locked column was measured to lose more than the scale shows. */
function isExceeded(data, span) {
  const { baseline_accuracy: baseline } = data.prediction;
  return data.columns.some((column) => column.points.some(([, accuracy]) => baseline - accuracy > span));
}

/** Whether a part of a column is hatched, since it was not measured up there, or not at all. */
function showsHatch({ prunable, reason, points }) {
  if (!points.length) return prunable;
  return !reason && points[points.length - 1][0] < HATCHED_BELOW;
}

/** Round losses that stand far enough apart on the scale, and its end. */
function scaleTicks(span) {
  const ticks = [0];
  for (const tick of DAMAGE_TICKS) {
    const place = damagePlace(tick, span);
    const before = damagePlace(ticks[ticks.length - 1], span);
    if (place - before >= TICK_GAP && 1 - place >= TICK_GAP) ticks.push(tick);
  }
  return [...ticks, span];
}

/** The legend: the scale as a bar with numbers, the two hatches, and what is not drawn. */
function buildLegend(state) {
  const { data, text } = state;
  const parts = [];
  if (data.prediction) {
    const span = damageSpan(data);
    const bar = element("div", "scale-bar");
    const stops = Array.from({ length: SCALE_COLOURS }, (_, k) => `var(--damage-${k})`);
    bar.style.background = `linear-gradient(to right in oklab, ${stops.join(", ")})`;
    const ticks = element("div", "scale-ticks");
    for (const damage of scaleTicks(span)) {
      const more = damage === span && isExceeded(data, span) ? "+" : "";
      const tick = element("span", "", {}, (100 * damage).toFixed(0) + more);
      tick.style.left = `${100 * damagePlace(damage, span)}%`;
      ticks.append(tick);
    }
    parts.push(element("span", "scale-title", {}, text.legend), element("div", "scale", {}, bar, ticks));
  }
  const swatches = element("div", "swatches");
  if (data.columns.some(showsHatch)) {
    swatches.append(element("span", "swatch-text", {}, element("span", "swatch unmeasured"), text.legend_unmeasured));
  }
  if (data.columns.some((column) => column.reason)) {
    swatches.append(element("span", "swatch-text", {}, element("span", "swatch locked"), text.legend_locked));
  }
  const notes = data.hidden.map(([reason, count]) => (
    element("p", "hidden-note", {}, fill(text.hidden, { count, reason }))
  ));
  return element("div", "legend", {}, ...parts, swatches, ...notes);
}
