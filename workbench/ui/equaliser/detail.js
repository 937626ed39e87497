// The line about one layer: its exact value, what stays, what cutting it alone costs, its curve.

const CURVE = { width: 300, height: 104, left: 44, right: 8, top: 8, bottom: 20 };
const SAME_LEVEL = 0.0005;

/** Build the line once; `paintDetail` fills it for the layer that is shown. */
function buildDetail(state) {
  const { data, text } = state;
  const name = element("b", "detail-name");
  const kind = element("span", "detail-kind");
  const input = element("input", "exact", {
    type: "number", min: "0", max: String(100 * data.max), step: "any", inputmode: "decimal",
  });
  const field = element("label", "field", {}, input, element("span", "", {}, "%"));
  const kept = element("span", "count");
  const pruned = element("span", "count");
  const asked = element("span", "asked");
  const counts = element(
    "div", "counts", {}, element("span", "dot kept"), kept, element("span", "dot pruned"), pruned, asked,
  );
  const cost = element("div", "cost");
  const curve = shape("svg", {
    class: "curve", role: "img", "aria-label": text.curve,
    viewBox: `0 0 ${CURVE.width} ${CURVE.height}`,
  });
  curve.classList.toggle("none", !data.columns.some((column) => column.points.length));
  const members = buildMembers(state);
  state.detail = { name, kind, input, field, kept, pruned, asked, counts, cost, curve, drawn: null };
  const words = element(
    "div", "detail-words", {}, element("div", "detail-head", {}, name, kind),
    element("div", "detail-value", {}, field, counts), cost,
  );
  return element("div", "detail", {}, words, curve, members);
}

/** Fill the line for column i. */
function paintDetail(state, i) {
  const { data, values, text, detail } = state;
  const column = data.columns[i];
  const value = settled(column, values[i], data.multiple);
  setText(detail.name, column.name);
  setText(detail.kind, column.kind);
  detail.field.hidden = !column.prunable;
  detail.counts.hidden = !column.prunable;
  detail.input.disabled = Boolean(column.reason);
  setAttribute(detail.input, "aria-label", fill(text.sparsity_of, { name: column.name }));
  if (!state.typing) detail.input.value = exactPercent(value);
  paintCounts(state, column, value);
  const rounded = Math.abs(value - values[i]) >= SAME_LEVEL && !state.typing;
  setText(detail.asked, rounded ? `(${fill(text.asked, { percent: exactPercent(values[i]) })})` : "");
  setText(detail.cost, costText(state, column, value));
  paintCurve(state, i, value);
  paintMembers(state, i);
}

/** What stays and what goes, in units where there are any, else in weights. */
function paintCounts(state, column, value) {
  const { text, detail } = state;
  if (!column.prunable) return;
  const gone = column.counted ? numPruned(value, column.units) : weightsGone(column, value);
  const stays = column.counted ? countText(column, value) : whole(column.weights - gone);
  setText(detail.kept, `${stays} ${text.kept}`);
  setText(detail.pruned, `${whole(gone)} ${text.pruned}`);
}

/** One sentence: why the column is locked, or what cutting only this layer costs. */
function costText(state, column, value) {
  const { data, text } = state;
  if (!column.prunable) return `${text.fixed}: ${column.reason}`;
  const lock = column.reason ? `${text.locked}: ${column.reason} ` : "";
  return `${lock}${text.alone}: ${costAlone(data, text, column.points, value)}`;
}

/** What cutting only this layer costs, with interval and sample count of the nearest point. */
function costAlone(data, text, points, value) {
  if (!points.length) return text.alone_unmeasured;
  if (value === 0) return text.alone_dense;
  const distance = (point) => Math.abs(point[0] - value);
  const nearest = points.reduce((best, point) => (distance(point) < distance(best) ? point : best));
  const [level, accuracy, low, high, samples] = nearest;
  const baseline = data.prediction.baseline_accuracy;
  const measured = {
    level: percent(level, 0),
    accuracy: percent(accuracy),
    low: (100 * low).toFixed(1),
    high: (100 * high).toFixed(1),
    samples: whole(samples),
    points: (100 * Math.max(0, baseline - accuracyAlone(points, baseline, value))).toFixed(1),
  };
  if (distance(nearest) < SAME_LEVEL) return fill(text.alone_at, measured);
  if (value > points[points.length - 1][0]) return fill(text.alone_beyond, measured);
  return fill(text.alone_between, measured);
}

/** Map sparsity and accuracy to the curve's pixels; all layers share the axes. */
function curveScales(data) {
  const points = freePoints(data);
  const low = Math.max(0, Math.min(...points.map(([, , from]) => from)));
  const high = Math.min(1, Math.max(data.prediction.baseline_accuracy, ...points.map(([, , , to]) => to)));
  const x = (s) => CURVE.left + s * (CURVE.width - CURVE.left - CURVE.right);
  const drawn = CURVE.height - CURVE.top - CURVE.bottom;
  const y = (a) => CURVE.top + (1 - (clamp(a, low, high) - low) / (high - low || 1)) * drawn;
  return { x, y, low, high };
}

/** Draw column i's measured curve; the marker alone moves while its value is dragged. */
function paintCurve(state, i, value) {
  const { data, text, detail } = state;
  const { points } = data.columns[i];
  if (detail.drawn !== i) {
    detail.drawn = i;
    detail.scales = points.length ? curveScales(data) : null;
    detail.curve.replaceChildren(...(points.length ? curveShapes(data, points, detail.scales) : [
      shape("text", { x: CURVE.width / 2, y: CURVE.height / 2, "text-anchor": "middle" }, text.curve_none),
    ]));
    detail.marker = null;
    if (points.length) {
      detail.marker = shape("g", { class: "marker" }, shape("path", { d: "M0 0V0" }), shape("path", { d: "M0-5 5 0 0 5-5 0z" }));
      detail.curve.append(detail.marker);
    }
  }
  if (!detail.marker) return;
  const { x, y } = detail.scales;
  const baseline = data.prediction.baseline_accuracy;
  const [px, py] = [x(value), y(accuracyAlone(points, baseline, value))];
  const [line, diamond] = detail.marker.children;
  line.setAttribute("d", `M${px} ${CURVE.top}V${CURVE.height - CURVE.bottom}`);
  diamond.setAttribute("transform", `translate(${px} ${py})`);
}

/** Axes, intervals, line and points of one curve. */
function curveShapes(data, points, { x, y, low, high }) {
  const baseline = data.prediction.baseline_accuracy;
  const bottom = CURVE.height - CURVE.bottom;
  const shapes = [
    shape("path", { class: "frame", d: `M${x(0)} ${CURVE.top}V${bottom}H${x(1)}` }),
    shape("path", { class: "baseline", d: `M${x(0)} ${y(baseline)}H${x(1)}` }),
    shape("text", { x: CURVE.left - 5, y: CURVE.top + 8, "text-anchor": "end" }, percent(high, 0)),
    shape("text", { x: CURVE.left - 5, y: bottom, "text-anchor": "end" }, percent(low, 0)),
  ];
  for (const tick of [0, 0.5, 1]) {
    const anchor = tick === 0 ? "start" : tick === 1 ? "end" : "middle";
    shapes.push(shape("text", { x: x(tick), y: CURVE.height - 5, "text-anchor": anchor }, percent(tick, 0)));
  }
  const bars = points.map(([s, , from, to]) => `M${x(s)} ${y(from)}V${y(to)}`).join("");
  const corners = points.map(([s, accuracy]) => `L${x(s)} ${y(accuracy)}`).join("");
  shapes.push(
    shape("path", { class: "intervals", d: bars }),
    shape("path", { class: "line", d: `M${x(0)} ${y(baseline)}${corners}` }),
    ...points.map(([s, accuracy]) => shape("circle", { class: "point", cx: x(s), cy: y(accuracy), r: 2.5 })),
  );
  return shapes;
}
