// The board: an axis, a flag lane, one column per layer, its weights, its name and its stage.

const AXIS_TICKS = [0, 0.25, 0.5, 0.75, 1];
const MOST_NAMED_COLUMNS = 72; // beyond that names show only in the flag
const ROOMY_PIXELS = 30; // columns at least this wide show their value in the thumb
const LEAST_MASS_PIXELS = 3;
const MASS_PIXELS = 24;
const LEAST_NAME_PIXELS = 40;
const MOST_NAME_PIXELS = 92;

/** Build the board once per model, set of curves or language. */
function buildBoard(state) {
  const { data, text } = state;
  const axis = element("div", "axis", { "aria-hidden": "true" });
  for (const tick of AXIS_TICKS) {
    const label = element("span", "", {}, percent(tick, 0));
    label.style.bottom = `${100 * tick}%`;
    axis.append(label);
  }
  const tracks = element("div", "tracks", { role: "group", "aria-label": text.board });
  for (const tick of AXIS_TICKS.slice(1, -1)) {
    const line = element("div", "grid-line", { "aria-hidden": "true" });
    line.style.bottom = `${100 * tick}%`;
    tracks.append(line);
  }
  const flag = element("div", "flag", { "aria-hidden": "true" });
  const masses = element("div", "masses", { "aria-hidden": "true", title: text.weights_help });
  const names = element("div", "names", { "aria-hidden": "true" });
  const stages = element("div", "stages", { "aria-hidden": "true" });
  Object.assign(state, { tracks, flag, stages, names });
  state.columns = data.columns.map((column, i) => {
    const parts = buildColumn(state, column, i);
    tracks.append(parts.column);
    masses.append(parts.mass);
    names.append(parts.name);
    return parts;
  });
  const inner = element("div", "inner", {}, element("div", "flags", {}, flag), tracks, masses, names, stages);
  const labels = element(
    "div", "labels", {}, element("span", "axis-title", { "aria-hidden": "true" }, text.axis), axis,
    element("span", "mass-title", { "aria-hidden": "true", title: text.weights_help }, text.weights),
  );
  state.inner = inner;
  const lanes = element("div", "lanes", {}, labels, element("div", "scroll", {}, inner));
  return element("div", "board", {}, lanes, buildLegend(state));
}

/** The elements of one column: the slider itself, its weights, its name. */
function buildColumn(state, column, i) {
  const { data, text } = state;
  const starts = i > 0 && data.columns[i - 1].stage !== column.stage;
  const wide = column.slim ? "fixed" : "wide";
  const classes = [starts && "starts", !column.prunable && wide, column.reason && "locked"];
  const suffix = classes.filter(Boolean).map((name) => ` ${name}`).join("");
  const shade = element("div", "shade");
  const thumb = element("div", "thumb");
  const slider = element("div", `column${suffix}`, {
    role: "slider",
    "aria-label": column.name,
    "aria-orientation": "vertical",
    "aria-valuemin": "0",
    "aria-valuemax": String(Math.round(100 * column.most)),
    "aria-disabled": String(Boolean(column.reason)),
    tabindex: i === state.selected ? "0" : "-1",
  }, shade, thumb);
  slider.dataset.index = i;
  if (column.layers.length > 1) {
    slider.setAttribute("aria-description", fill(text.together, { layers: column.layers.join(", ") }));
  }
  if (column.points.length) {
    slider.style.setProperty("--heat", damageGradient(column.points, data.prediction, damageSpan(data)));
  } else if (column.prunable) {
    slider.classList.add("unmeasured");
  }
  if (column.reason && column.prunable) slider.append(icon("lock"));
  const mass = element("div", `mass${suffix}`, {}, element("div", "kept"));
  const largest = Math.max(...data.columns.map((other) => other.weights));
  const height = Math.sqrt(column.weights / Math.max(1, largest)) * MASS_PIXELS;
  mass.style.height = `${Math.max(LEAST_MASS_PIXELS, height).toFixed(1)}px`;
  const title = `${column.name}  ${column.kind}`;
  const name = element("span", `name${suffix}`, { title }, element("span", "", {}, column.slim ? "" : column.label));
  name.dataset.index = i;
  return { column: slider, shade, thumb, mass, kept: mass.firstChild, name };
}

/** Measure where the columns lie, choose how much they show, and draw the stages' brackets. */
function layOutBoard(state) {
  const { data, root, tracks, stages } = state;
  const left = tracks.getBoundingClientRect().left;
  const boxes = state.columns.map((parts) => parts.column.getBoundingClientRect());
  state.edges = boxes.map((box) => box.right - left);
  const widths = boxes.filter((_, i) => !data.columns[i].slim).map((box) => box.width);
  const width = widths.length ? Math.min(...widths) : 0;
  const named = widths.length <= MOST_NAMED_COLUMNS;
  root.dataset.density = width >= ROOMY_PIXELS ? "roomy" : named ? "named" : "dense";
  stages.replaceChildren();
  for (let start = 0, end = 1; end <= boxes.length; end += 1) {
    if (end < boxes.length && data.columns[end].stage === data.columns[start].stage) continue;
    const name = data.columns[start].stage;
    if (name) {
      const bracket = element("span", "stage", { title: name }, name);
      bracket.style.left = `${boxes[start].left - left}px`;
      bracket.style.width = `${boxes[end - 1].right - boxes[start].left}px`;
      stages.append(bracket);
    }
    start = end;
  }
  placeFlag(state);
}

/** Give the names the height that the longest needs, up to a limit. */
function fitNames(state) {
  const heights = state.columns.map((parts) => parts.name.firstChild.offsetHeight);
  const longest = Math.max(LEAST_NAME_PIXELS, ...heights);
  state.root.style.setProperty("--names", `${Math.min(MOST_NAME_PIXELS, longest + 2)}px`);
}

/** Draw one column's value: what it comes to, rounded to what can be pruned. */
function paintColumn(state, i) {
  const column = state.data.columns[i];
  const value = settled(column, state.values[i], state.data.multiple);
  const { column: slider, shade, thumb, kept } = state.columns[i];
  shade.style.transform = `scaleY(${1 - value})`;
  thumb.style.bottom = `${100 * value}%`;
  setText(thumb, String(Math.round(100 * value)));
  kept.style.height = `${100 * (1 - value)}%`;
  slider.classList.toggle("dense", value === 0);
  setAttribute(slider, "aria-valuenow", Math.round(100 * value));
  setAttribute(slider, "aria-valuetext", valueText(state, column, value));
}

/** How much of a column stays in units, such as "20 of 32 channels"; empty for single weights. */
function countText(column, value) {
  const kept = column.units - numPruned(value, column.units);
  return fill(column.counted, { kept: whole(kept), total: whole(column.units) });
}

/** What a screen reader says for a column's value. */
function valueText(state, column, value) {
  const { data, text } = state;
  const count = column.counted ? `, ${countText(column, value)}` : "";
  const shown = { percent: exactPercent(value), reason: column.reason, count };
  if (!column.prunable) return fill(text.value_fixed, shown);
  if (column.reason) return fill(text.value_locked, shown);
  if (value === 0) return fill(text.value, shown);
  const points = column.points;
  if (!points.length || value > points[points.length - 1][0]) return fill(text.value_unmeasured, shown);
  const baseline = data.prediction.baseline_accuracy;
  const lost = Math.max(0, baseline - accuracyAlone(points, baseline, value));
  return fill(text.value_cost, { ...shown, points: (100 * lost).toFixed(1) });
}

/** Mark the column under the pointer, or the selected one, and put its name in the flag. */
function showColumn(state, i) {
  if (state.shown !== i) {
    state.columns[state.shown]?.column.classList.remove("shown");
    state.columns[state.shown]?.name.classList.remove("shown");
    state.shown = i;
    state.columns[i].column.classList.add("shown");
    state.columns[i].name.classList.add("shown");
  }
  const column = state.data.columns[i];
  const value = settled(column, state.values[i], state.data.multiple);
  const percents = column.prunable ? `  ${exactPercent(value)} %` : "";
  const count = column.prunable && column.counted ? `  ${countText(column, value)}` : "";
  setText(state.flag, column.name + percents + count + (column.reason && `  ${column.reason}`));
  placeFlag(state);
  paintDetail(state, i);
}

/** Keep the flag above its column and inside the board. */
function placeFlag(state) {
  const { flag, edges, inner, shown } = state;
  if (!edges || shown === null) return;
  const start = shown ? edges[shown - 1] : 0;
  const middle = (start + edges[shown]) / 2;
  const half = flag.offsetWidth / 2;
  const offset = clamp(middle - half, 0, Math.max(0, inner.clientWidth - 2 * half));
  flag.style.transform = `translateX(${offset.toFixed(1)}px)`;
}
