// The layers of the network in a row, those of the shown group marked: which ones are cut together,
// and which shrink with them. Drawn only where a group is more than one layer: for channels.

const MOST_LISTED = 5;
const MOST_CELL_PIXELS = 56;
const MOST_SPACED = 80; // more layers stand side by side without a gap

/** Build the row once; `paintMembers` marks the layers of the shown group. */
function buildMembers(state) {
  const { data, text } = state;
  if (!data.layers.length) return "";
  const together = element("p", "together");
  const losers = element("p", "losers");
  const cells = data.layers.map(([name, kind]) => element("span", "cell", { title: `${name}  ${kind}` }));
  const upper = element("div", "bus upper");
  const lower = element("div", "bus lower");
  const lane = element("div", "lane", { "aria-hidden": "true" }, upper, lower, ...cells);
  lane.style.gap = `${cells.length > MOST_SPACED ? 0 : 2}px`;
  lane.style.maxWidth = `${MOST_CELL_PIXELS * cells.length}px`;
  const legend = element(
    "div", "lane-legend", { "aria-hidden": "true" }, element("span", "", {}, text.lane),
    element("span", "lane-key", {}, element("span", "cell producer"), text.lane_together),
    element("span", "lane-key", {}, element("span", "cell consumer"), text.lane_losers),
  );
  lane.addEventListener("click", (event) => selectMember(state, cells.indexOf(event.target)));
  state.members = { together, losers, cells, upper, lower, drawn: null };
  return element("div", "members", {}, lane, legend, together, losers);
}

/** Mark the layers of column i. */
function paintMembers(state, i) {
  const { data, text, members } = state;
  if (!data.layers.length || members.drawn === i) return;
  members.drawn = i;
  const column = data.columns[i];
  const producers = placesOf(data.layers, column.layers);
  const consumers = placesOf(data.layers, column.consumers);
  members.cells.forEach((cell, k) => {
    cell.classList.toggle("producer", producers.has(k));
    cell.classList.toggle("consumer", consumers.has(k));
    cell.classList.toggle("barred", producers.has(k) && !column.prunable);
  });
  placeBus(members.upper, producers, members.cells.length);
  placeBus(members.lower, consumers, members.cells.length);
  listLayers(members.together, text.together, column.layers, text.others);
  listLayers(members.losers, text.losers, column.consumers, text.others);
}

/** Places of the layers with these names; a recurrent layer's name covers all of its weights. */
function placesOf(layers, names) {
  const found = new Set();
  layers.forEach(([layer], k) => {
    if (names.some((name) => layer === name || layer.startsWith(`${name}.`))) found.add(k);
  });
  return found;
}

/** A line over the layers from the first to the last of them. */
function placeBus(bus, places, count) {
  const [first, last] = [Math.min(...places), Math.max(...places)];
  bus.hidden = places.size < 2;
  bus.style.left = `${(100 * (first + 0.5)) / count}%`;
  bus.style.right = `${100 - (100 * (last + 0.5)) / count}%`;
}

/** Names in one line, the first few of many; all of them as a tooltip. */
function listLayers(node, template, names, others) {
  const few = names.slice(0, MOST_LISTED).join(", ");
  const layers = names.length > MOST_LISTED
    ? fill(others, { layers: few, count: names.length - MOST_LISTED })
    : few;
  setText(node, names.length ? fill(template, { layers }) : "\u00a0");
  setAttribute(node, "title", names.join("\n"));
}

/** A click on a layer chooses the group that it is cut with. */
function selectMember(state, k) {
  if (k < 0) return;
  const { data } = state;
  const i = data.columns.findIndex((column) => placesOf(data.layers, column.layers).has(k));
  if (i >= 0) selectColumn(state, i);
}
