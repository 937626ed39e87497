// The component: builds itself once, follows the page's plan, and sends the hand's edits.
//
// Protocol. The page sends `revision` and `values`. A new revision replaces the values, unless the hand is
// busy; then its columns are kept and the rest follows. An edit is sent once, when the hand lets go, as
// {revision, values}; the page ignores edits of an older revision. Values that the hand did not touch are
// sent back as they came, to the last bit. The message names granularity and rounding too: undo may lead
// back to a plan of another kind, whose columns the page then brings.

const CROWDS = [[MOST_NAMED_COLUMNS + 1, "dense"], [40, "close"], [13, "loose"], [0, "few"]];
const LEAVE_PAUSE_MS = 300;
const STATES = new WeakMap(); // by mount point: lives as long as the component is on the page
const HISTORIES = (globalThis.workbenchEqualiser ??= new Map()); // by key and model: survives page switches

/** Called by Streamlit on mount and whenever data or theme change. */
export default function render({ data, parentElement, setStateValue, setTriggerValue }) {
  let state = STATES.get(parentElement);
  if (!state) {
    state = newState(parentElement.querySelector(".equaliser"));
    STATES.set(parentElement, state);
    addEventListener("pointerdown", state.onPress, true);
  }
  state.data = data;
  state.text = data.text;
  state.send = (plan) => setStateValue("edit", { ...plan, revision: state.revision, values: plan.values.slice() });
  state.ask = () => setTriggerValue("look", true);
  watchCheck(state);
  state.awaiting = false;
  if (state.model !== data.model) openModel(state);
  if (state.board !== data.board) openBoard(state);
  if (state.revision !== data.revision && !state.before) adopt(state);
  const look = `${data.digest} ${data.height} ${Boolean(data.measured || data.check)} ${JSON.stringify(data.text)}`;
  if (state.look === look) paintTotals(state);
  state.outdated = state.look !== look;
  state.rebuild = () => {
    Object.assign(state, { look, outdated: false });
    build(state);
  };
  if (state.outdated && !state.before) state.rebuild();
  return () => leave(state, parentElement);
}

/** The page is left: send what the hand has not yet let go of. The page that comes must be there before, or
    Streamlit takes the message for a wish to stay and draws neither page. Streamlit also calls this for a
    call of `render` that a newer one overtook while it waited; the component stays on the page then. */
function leave(state, parentElement) {
  if (parentElement.isConnected) return;
  const { send } = state;
  state.send = (plan) => setTimeout(() => send(plan), LEAVE_PAUSE_MS);
  commit(state);
  clearInterval(state.watch);
  state.observer?.disconnect();
  removeEventListener("pointerdown", state.onPress, true);
  STATES.delete(parentElement);
}

function newState(root) {
  const state = {
    root, data: null, text: null, model: null, board: null, look: null, revision: null, values: [], known: [],
    history: null, outdated: false, rebuild: null, awaiting: false, members: null,
    selected: 0, shown: null, before: null, drag: null, presses: [], typing: false, brush: false,
    keyTimer: 0, frame: 0, watch: 0, heard: null,
  };
  state.onPress = (event) => onPressElsewhere(state, event);
  return state;
}

/** Start on a model: take its plan, and its history where this page was left and opened again. */
function openModel(state) {
  const { data } = state;
  const place = `${data.key} ${data.model}`;
  if (!HISTORIES.has(place)) HISTORIES.set(place, { past: [], future: [], last: null });
  Object.assign(state, { model: data.model, board: null, history: HISTORIES.get(place) });
}

/** Show other columns: of another model, or of another granularity, whose history goes on. */
function openBoard(state) {
  const { data } = state;
  clearTimeout(state.keyTimer);
  Object.assign(state, {
    board: data.board, look: null, revision: null, before: null, drag: null, shown: null, typing: false,
    presses: [], selected: Math.max(0, data.columns.findIndex((column) => !column.reason)),
  });
}

/** Take the page's values; what stood here before, or was replaced from another page, can be undone to. */
function adopt(state) {
  const { data, history } = state;
  const last = history.last ?? data.former;
  state.revision = data.revision;
  state.values = data.values.slice();
  state.known = data.values.slice();
  if (last && !samePlan(last, planNow(state))) remember(state, last);
  history.last = planNow(state);
  if (state.look) repaint(state);
}

/** Build everything anew: another model, other curves or another language. */
function build(state) {
  const { root, data } = state;
  const focused = root.contains(root.getRootNode().activeElement);
  state.observer?.disconnect();
  state.shown = null;
  root.style.setProperty("--height", `${data.height}px`);
  const count = data.columns.filter((column) => !column.slim).length;
  root.style.setProperty("--count", count);
  root.dataset.crowd = CROWDS.find(([least]) => count >= least)[1];
  state.status = element("div", "status", { role: "status", "aria-live": "polite" });
  root.replaceChildren(
    buildTotals(state),
    buildTools(state),
    element("div", "stage-and-detail", {}, buildBoard(state), buildDetail(state)),
    state.status,
  );
  listen(state);
  repaint(state);
  fitNames(state);
  state.observer = new ResizeObserver(() => layOutBoard(state));
  state.observer.observe(state.tracks);
  layOutBoard(state);
  if (focused) state.columns[state.selected].column.focus({ preventScroll: true });
}

/** Buttons for what the hand can do, and a line that says the rest. */
function buildTools(state) {
  const { text } = state;
  const button = (name, act) => {
    const node = element("button", "tool", { type: "button", title: text[`${name}_help`] }, icon(name), text[name]);
    node.addEventListener("click", act);
    return node;
  };
  state.buttons = {
    undo: button("undo", () => undo(state)),
    redo: button("redo", () => redo(state)),
    reset: button("reset", () => reset(state)),
    brush: button("brush", () => {
      state.brush = !state.brush;
      refreshButtons(state);
    }),
  };
  const hint = element("span", "hint", {}, text.hint);
  return element("div", "tools", {}, hint, ...Object.values(state.buttons));
}

/** Which buttons can act now. */
function refreshButtons(state) {
  const { buttons, history, values, data } = state;
  buttons.undo.disabled = state.awaiting || !history.past.length;
  buttons.redo.disabled = state.awaiting || !history.future.length;
  buttons.reset.disabled = values.every((value, i) => value === 0 || data.columns[i].reason);
  setAttribute(buttons.brush, "aria-pressed", state.brush);
  state.tracks.classList.toggle("brushing", state.brush);
}

/** Draw every column and all totals. */
function repaint(state) {
  state.values.forEach((_, i) => paintColumn(state, i));
  paintNow(state);
  refreshButtons(state);
}

/** Draw the totals and the shown layer now. */
function paintNow(state) {
  cancelAnimationFrame(state.frame);
  state.frame = 0;
  state.history.last = planNow(state);
  paintTotals(state);
  showColumn(state, state.drag ? state.drag.column : state.shown ?? state.selected);
}

/** Draw them with the next frame, once however many moves arrive before it. */
function paintSoon(state) {
  if (!state.frame) state.frame = requestAnimationFrame(() => paintNow(state));
}
