// What the hand does: drag, paint, press keys, type, undo. Every change goes through begin ... commit,
// so that it is one step of the history and one message to the server.

const STEP = 0.01;
const BIG_STEP = 0.1;
const KEY_PAUSE_MS = 250;
const TOUCH_SLOP_PIXELS = 6;
const GRAB_PIXELS = 9;
const MOST_HISTORY = 100;

const toHundredths = (value) => Math.round(value * 100) / 100;

/** Start a change; values may then be set until `commit`. */
function begin(state) {
  state.awaiting = false;
  if (!state.before) state.before = state.values.slice();
}

/** Set a column where it may move; locked columns stay as they are. */
function setValue(state, i, value) {
  const column = state.data.columns[i];
  if (column.reason) return;
  const allowed = settled(column, clamp(value, 0, column.most), state.data.multiple);
  if (state.values[i] === allowed) return;
  state.values[i] = allowed;
  paintColumn(state, i);
}

/** End a change: one step of the history, and one message where the server knows another plan. */
function commit(state) {
  clearTimeout(state.keyTimer);
  const before = state.before;
  Object.assign(state, { before: null, drag: null, typing: false });
  if (!before) return;
  const changed = !sameValues(before, state.values);
  const base = state.data.revision === state.revision ? before : adoptUnderHand(state, before);
  if (changed) remember(state, { ...planNow(state), values: base });
  if (!sameValues(state.known, state.values)) tell(state);
  if (state.outdated) state.rebuild();
  refreshButtons(state);
  showColumn(state, state.shown);
}

/** Send the plan to the server and say its totals. */
function tell(state) {
  state.known = state.values.slice();
  state.send(planNow(state));
  announce(state);
}

/** What the board shows now, as the history and the messages hold it. */
function planNow(state) {
  const { granularity, multiple } = state.data;
  return { granularity, multiple, values: state.values };
}

/** Whether two such plans are the same. */
function samePlan(one, other) {
  return sameKind(one, other) && sameValues(one.values, other.values);
}

/** Whether two plans are of one granularity and rounding, so that the same columns show them. */
function sameKind(one, other) {
  return one.granularity === other.granularity && one.multiple === other.multiple;
}

/** The page set another plan while the hand was busy: keep the hand's columns, take the rest. */
function adoptUnderHand(state, before) {
  const { data } = state;
  state.revision = data.revision;
  state.known = data.values.slice();
  state.values = state.values.map((value, i) => (value === before[i] ? data.values[i] : value));
  repaint(state);
  return data.values;
}

function remember(state, plan) {
  state.history.past.push({ ...plan, values: plan.values.slice() });
  if (state.history.past.length > MOST_HISTORY) state.history.past.shift();
  state.history.future.length = 0;
}

/** Go one step back or forward; columns locked since then keep their value. */
function travel(state, from, to) {
  commit(state);
  if (state.awaiting || !from.length) return;
  const plan = from.pop();
  to.push({ ...planNow(state), values: state.values.slice() });
  if (!sameKind(plan, state.data)) {
    leaveFor(state, plan);
    return;
  }
  const { values } = plan;
  const locked = (i) => Boolean(state.data.columns[i].reason);
  state.values = state.values.map((value, i) => (locked(i) ? value : values[i]));
  repaint(state);
  tell(state);
}

/** Ask the page for a plan of another granularity or rounding; it brings that plan's columns. */
function leaveFor(state, plan) {
  state.awaiting = true;
  state.history.last = plan;
  state.send(plan);
  refreshButtons(state);
}

const undo = (state) => travel(state, state.history.past, state.history.future);
const redo = (state) => travel(state, state.history.future, state.history.past);

/** Set every unlocked column to 0. */
function reset(state) {
  commit(state);
  begin(state);
  state.values.forEach((_, i) => setValue(state, i, 0));
  repaint(state);
  commit(state);
}

/** Say the totals once the hand rests. */
function announce(state) {
  const { text, size, prediction, data } = state;
  const accuracy = prediction
    ? fill(text.announce_accuracy, { accuracy: percent(prediction.accuracy), band: bandText(text, prediction) })
    : "";
  setText(state.status, fill(text.announce, {
    nonzero: compact(size.nonzero), share: percent(size.nonzero / data.num_params), accuracy,
  }));
}

/** Move the one tab stop of the board to column i. */
function selectColumn(state, i, focus = true) {
  state.columns[state.selected]?.column.setAttribute("tabindex", "-1");
  state.selected = i;
  const { column } = state.columns[i];
  column.setAttribute("tabindex", "0");
  if (focus) {
    column.focus({ preventScroll: true });
    column.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  showColumn(state, i);
}

/** The column under a pointer event. */
function columnAt(state, event) {
  const x = event.clientX - state.tracks.getBoundingClientRect().left;
  const { edges } = state;
  let low = 0;
  let high = edges.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (edges[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The sparsity at a pointer event's height. */
function valueAt(state, event) {
  const box = state.tracks.getBoundingClientRect();
  return toHundredths(clamp((box.bottom - event.clientY) / box.height, 0, state.data.max));
}

function onPointerDown(state, event) {
  if (event.button !== 0) return;
  commit(state);
  const i = columnAt(state, event);
  event.preventDefault(); // no text selection; the focus is set here
  state.tracks.setPointerCapture(event.pointerId);
  selectColumn(state, i);
  state.presses = [state.presses[1], { column: i, steps: state.history.past.length }];
  begin(state);
  const height = state.tracks.clientHeight;
  const offset = (valueAt(state, event) - state.values[i]) * height;
  state.drag = {
    column: i,
    last: i,
    lastValue: valueAt(state, event),
    startX: event.clientX,
    startY: event.clientY,
    waiting: event.pointerType === "touch" || Math.abs(offset) < GRAB_PIXELS,
  };
  if (!state.drag.waiting) setValue(state, i, valueAt(state, event));
  paintSoon(state);
}

function onPointerMove(state, event) {
  const { drag } = state;
  if (!drag) {
    if (event.pointerType !== "touch") showColumn(state, columnAt(state, event));
    return;
  }
  const moved = Math.hypot(event.clientX - drag.startX, event.clientY - drag.startY);
  const slop = event.pointerType === "touch" ? TOUCH_SLOP_PIXELS : 1;
  if (drag.waiting && moved < slop) return;
  drag.waiting = false;
  if (state.brush || event.shiftKey) paintAcross(state, columnAt(state, event), valueAt(state, event));
  else setValue(state, drag.column, valueAt(state, event));
  paintSoon(state);
}

/** Paint from the last column to this one, so that a fast stroke leaves no gap. */
function paintAcross(state, i, value) {
  const { drag } = state;
  const steps = Math.abs(i - drag.last);
  const direction = Math.sign(i - drag.last);
  for (let k = 1; k <= steps; k += 1) {
    const between = drag.lastValue + ((value - drag.lastValue) * k) / steps;
    setValue(state, drag.last + direction * k, toHundredths(between));
  }
  setValue(state, i, value);
  Object.assign(drag, { column: i, last: i, lastValue: value });
}

function onPointerUp(state, event) {
  if (!state.drag) return;
  const { drag } = state;
  if (drag.waiting && event.pointerType === "touch") setValue(state, drag.column, valueAt(state, event));
  paintNow(state);
  if (drag.column !== state.selected) selectColumn(state, drag.column);
  commit(state);
}

/** Set the column to 0; what its two presses did is part of the same step. */
function onDoubleClick(state) {
  const [first, second] = state.presses;
  if (!first || !second || first.column !== second.column) return;
  commit(state);
  const { past } = state.history;
  if (past.length > first.steps) state.before = past.splice(first.steps)[0].values;
  begin(state);
  setValue(state, second.column, 0);
  paintNow(state);
  commit(state);
}

/** The browser took the gesture over, as for scrolling: nothing was meant. */
function onPointerCancel(state) {
  if (!state.drag) return;
  state.values = state.before;
  state.before = null;
  state.drag = null;
  repaint(state);
}

/** New value of a column for a key, or null where the key does not change it. */
function valueForKey(state, event) {
  const { data, values, selected } = state;
  const column = data.columns[selected];
  const by = (step) => stepped(column, values[selected], step, data.multiple);
  const step = event.shiftKey ? BIG_STEP : STEP;
  switch (event.key) {
    case "ArrowUp": return by(step);
    case "ArrowDown": return by(-step);
    case "PageUp": return by(BIG_STEP);
    case "PageDown": return by(-BIG_STEP);
    case "Home": return 0;
    case "End": return column.most;
    default: return null;
  }
}

/** A value moved by a step, and by at least one unit where there are few. */
function stepped(column, value, step, multiple) {
  if (column.thinned) return step > 0 ? column.thinned : 0;
  if (!column.snaps) return toHundredths(value + step);
  const { units } = column;
  const kept = keptOf(column, value, multiple);
  const direction = -Math.sign(step);
  const least = Math.max(1, Math.round(Math.abs(step) * units));
  for (let count = kept + direction * least; count > 0 && count <= units; count += direction) {
    const allowed = keptOf(column, (units - count) / units, multiple);
    if (allowed !== kept) return (units - allowed) / units;
  }
  return direction > 0 ? 0 : column.most;
}

function onColumnKey(state, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const sideways = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const value = sideways ? null : valueForKey(state, event);
  if (!sideways && value === null) return;
  event.preventDefault();
  event.stopPropagation();
  if (sideways) {
    commit(state);
    selectColumn(state, clamp(state.selected + sideways, 0, state.values.length - 1));
    return;
  }
  begin(state);
  setValue(state, state.selected, value);
  paintNow(state);
  clearTimeout(state.keyTimer);
  state.keyTimer = setTimeout(() => commit(state), KEY_PAUSE_MS);
}

/** Ctrl+Z and Ctrl+Shift+Z or Ctrl+Y, anywhere in the component but the number field. */
function onShortcut(state, event) {
  if (!(event.ctrlKey || event.metaKey) || event.target === state.detail.input) return;
  const key = event.key.toLowerCase();
  if (key !== "z" && key !== "y") return;
  event.preventDefault();
  event.stopPropagation();
  if (key === "y" || event.shiftKey) redo(state);
  else undo(state);
}

/** A value typed exactly: follows while typing, counts on Enter or when the field is left. */
function listenToInput(state) {
  const { input } = state.detail;
  input.addEventListener("input", () => {
    const typed = input.valueAsNumber;
    if (!Number.isFinite(typed)) return;
    begin(state);
    state.typing = true;
    setValue(state, state.selected, typed / 100);
    paintNow(state);
  });
  input.addEventListener("change", () => commit(state));
  input.addEventListener("blur", () => showColumn(state, state.selected));
  input.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the page's own single-key shortcuts stay out of the field
    if (event.key === "Enter") commit(state);
  });
}

/** A press anywhere else ends a change at once, before a link can lead to another page. */
function onPressElsewhere(state, event) {
  if (state.before && !state.drag && !event.composedPath().includes(state.root)) commit(state);
}

/** Wire the board, the number field and the shortcuts. */
function listen(state) {
  const { tracks, root } = state;
  tracks.addEventListener("pointerdown", (event) => onPointerDown(state, event));
  tracks.addEventListener("pointermove", (event) => onPointerMove(state, event));
  tracks.addEventListener("pointerup", (event) => onPointerUp(state, event));
  tracks.addEventListener("pointercancel", () => onPointerCancel(state));
  tracks.addEventListener("dblclick", () => onDoubleClick(state));
  tracks.addEventListener("pointerleave", () => {
    if (!state.drag) showColumn(state, state.selected);
  });
  tracks.addEventListener("keydown", (event) => onColumnKey(state, event));
  tracks.addEventListener("focusin", (event) => {
    const i = Number(event.target.dataset.index);
    if (Number.isInteger(i) && i !== state.selected) selectColumn(state, i, false);
  });
  tracks.addEventListener("focusout", () => {
    if (state.before && !state.drag && !state.typing) commit(state);
  });
  state.names.addEventListener("click", (event) => {
    const name = event.target.closest(".name");
    if (name) selectColumn(state, Number(name.dataset.index));
  });
  root.addEventListener("keydown", (event) => onShortcut(state, event));
  listenToInput(state);
}
