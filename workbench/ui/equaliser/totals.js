// The totals above the board. A predicted number never looks like a measured one: it has a dashed
// frame, slanted digits, an approximation sign and the word in its label.

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
    const tile = element("div", `tile ${name}`, { title: help }, element("span", "label", {}, label), figure, note);
    state.tiles[name] = { tile, value, band, note };
    totals.append(tile);
  };
  addTile("predicted", text.predicted, text.predicted_help);
  if (data.measured) addTile("measured", data.measured.label, text.measured_help);
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
  paintPrediction(state);
  if (data.measured) paintMeasured(state);
  state.size = size;
}

/** The predicted accuracy with its band, and what is uncertain about it. */
function paintPrediction(state) {
  const { data, values, text } = state;
  const prediction = predict(data, values);
  state.prediction = prediction;
  const { tile, band } = state.tiles.predicted;
  if (!prediction) {
    fillTile(state, "predicted", "\u2013", text.no_prediction);
    setText(band, "");
    return;
  }
  const baseline = data.prediction.baseline_accuracy;
  let note = fill(text.points_lost, {
    points: signedPoints(prediction.accuracy - baseline),
    basis: data.prediction.basis,
  });
  const final = predictFinal(data, values);
  if (final) {
    note += fill(text.finally, {
      basis: data.final_prediction.basis, accuracy: percent(final.accuracy), band: bandText(text, final),
    });
  }
  if (prediction.extrapolated) note = fill(text.beyond, { count: prediction.extrapolated });
  if (prediction.unmeasured) note = fill(text.best_case, { count: prediction.unmeasured });
  fillTile(state, "predicted", `\u2248 ${percent(prediction.accuracy)}`, note);
  setText(band, bandText(text, prediction));
  setAttribute(tile, "title", `${text.predicted_help} ${data.prediction.origin}`);
  tile.classList.toggle("doubtful", prediction.unmeasured + prediction.extrapolated > 0);
}

/** Both ends of a prediction's band in words: (89.5 to 92.4). */
function bandText(text, { accuracyLow, accuracyHigh }) {
  return fill(text.band, { low: (100 * accuracyLow).toFixed(1), high: (100 * accuracyHigh).toFixed(1) });
}

/** The measured accuracy, dimmed as soon as the plan is another one. */
function paintMeasured(state) {
  const { data, values, text } = state;
  const measured = data.measured;
  const same = !measured.other && sameValues(measured.values, values);
  const interval = fill(text.measured_interval, {
    low: (100 * measured.low).toFixed(1),
    high: percent(measured.high),
    samples: whole(measured.samples),
  });
  fillTile(state, "measured", percent(measured.accuracy), same ? interval : text.measured_other);
  state.tiles.measured.tile.classList.toggle("stale", !same);
}

/** Whether two lists of values are the same plan. */
function sameValues(one, other) {
  return one.length === other.length && one.every((value, i) => value === other[i]);
}
