// The totals above the board; the accuracies among them are in accuracies.js.

const TILES = ["nonzero", "macs", "bytes", "compression", "speedup", "sparsity"];

/** Build the tiles once; `paintTotals` fills them on every frame. */
function buildTotals(state) {
  const { text, data } = state;
  state.tiles = {};
  const totals = element("div", "totals", { role: "group" });
  const addTile = (name, label, help) => {
    const value = element("b");
    const band = element("span", "band");
    const note = element("span", "note");
    const figure = element("span", "figure", {}, value, band);
    const title = element("span", "label", {}, label);
    const tile = element("div", `tile ${name}`, { title: help }, title, figure, note);
    state.tiles[name] = { tile, title, value, band, note };
    totals.append(tile);
  };
  addTile("headline", text.predicted, text.predicted_help);
  if (data.measured || data.check) addTile("second", "", "");
  for (const name of TILES) addTile(name, text[name], text[`${name}_help`]);
  return totals;
}

function fillTile(state, name, value, note) {
  setText(state.tiles[name].value, value);
  setText(state.tiles[name].note, note);
}

/** Compute and show everything that follows the hand. */
function paintTotals(state) {
  const { data, values, text } = state;
  const size = sizeOf(data, values);
  fillTile(state, "nonzero", compact(size.nonzero),
    fill(text.of, { share: percent(size.nonzero / data.num_params), total: compact(data.num_params) }));
  fillTile(state, "macs", compact(size.macs),
    fill(text.of, { share: percent(size.macs / Math.max(1, data.macs)), total: compact(data.macs) }));
  fillTile(state, "bytes", inBytes(size.bytes),
    fill(text.of, { share: percent(size.bytes / size.denseBytes), total: inBytes(size.denseBytes) }));
  fillTile(state, "compression", `${threeDigits(size.compression)}\u00d7`,
    fill(text.compression_units, { bytes: `${threeDigits(size.compressionBytes)}\u00d7` }));
  fillTile(state, "speedup", `${threeDigits(size.speedup)}\u00d7`, text.speedup_units);
  fillTile(state, "sparsity", percent(size.sparsityPrunable),
    fill(text.sparsity_units, {
      all: percent(size.sparsityAll), gone: whole(size.gone), total: whole(size.prunable),
    }));
  paintAccuracies(state);
  state.size = size;
}

/** Whether two lists of values are the same plan. */
function sameValues(one, other) {
  return one.length === other.length && one.every((value, i) => value === other[i]);
}
