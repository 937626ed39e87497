// The accuracies among the totals. A predicted number never looks like a measured one: it has a dashed
// frame, slanted digits, an approximation sign and the word in its label. The first tile holds what is
// known best of the plan under the hand: what a check measured, else the prediction. The second holds
// the newest run, or the check of another plan, or what had been predicted before the check.

const VAGUE = 0.4; // a band wider than this says no more than "at most"

/** Fill both tiles; the second is there where something was or can be measured. */
function paintAccuracies(state) {
  const { data, values } = state;
  state.prediction = predict(data, values);
  const { check, measured } = data;
  const known = check?.values != null;
  const checked = known && !check.other && sameValues(check.values, values);
  paintAccuracy(state, "headline", checked ? checkLook(state) : predictionLook(state));
  if (checked && state.heard !== check.note) sayMeasured(state);
  if (!checked) state.heard = null;
  if (!state.tiles.second) return;
  const ran = measured && !measured.other && sameValues(measured.values, values);
  if (ran || (measured && !known)) paintAccuracy(state, "second", runLook(state, ran));
  else if (checked) paintAccuracy(state, "second", formerLook(state));
  else paintAccuracy(state, "second", waitingLook(state));
}

/** Say what was measured, once. */
function sayMeasured(state) {
  const { data: { check }, text } = state;
  state.heard = check.note;
  setText(state.status, `${text.checked}: ${percent(check.accuracy)}, ${check.note}`);
}

/** Put what one tile shows on the page. */
function paintAccuracy(state, name, { kind, label, value, band = "", note, help, stale = false, doubtful = false }) {
  const { tile, title } = state.tiles[name];
  fillTile(state, name, value, note);
  setText(title, label);
  setText(state.tiles[name].band, band);
  setAttribute(tile, "title", help);
  for (const other of ["predicted", "measured"]) tile.classList.toggle(other, kind === other);
  tile.classList.toggle("stale", stale);
  tile.classList.toggle("doubtful", doubtful);
}

/** The predicted accuracy with its band, and what is uncertain about it. */
function predictionLook(state) {
  const { data, values, text, prediction } = state;
  const look = { kind: "predicted", label: text.predicted, help: text.predicted_help };
  if (!prediction) return { ...look, value: "\u2013", note: text.no_prediction };
  const baseline = data.prediction.baseline_accuracy;
  const vague = isVague(prediction);
  let note = fill(vague ? text.at_most : text.points_lost, {
    points: signedPoints(prediction.accuracy - baseline),
    basis: data.prediction.basis,
  });
  const final = predictFinal(data, values);
  if (final) {
    note += fill(isVague(final) ? text.finally_at_most : text.finally, {
      basis: data.final_prediction.basis, band: bandText(text, final),
      accuracy: percent(isVague(final) ? final.accuracyHigh : final.accuracy),
    });
  }
  if (prediction.extrapolated) note = fill(text.beyond, { count: prediction.extrapolated });
  if (prediction.unmeasured) note = fill(text.best_case, { count: prediction.unmeasured });
  return {
    ...look, note, band: bandText(text, prediction),
    value: claimed(prediction),
    help: `${text.predicted_help} ${data.prediction.origin}`,
    doubtful: prediction.unmeasured + prediction.extrapolated > 0,
  };
}

/** Whether the band is so wide that its upper end says all there is to say. */
function isVague({ accuracyLow, accuracyHigh }) {
  return accuracyHigh - accuracyLow > VAGUE;
}

/** What a prediction claims, with the sign of how: about so much, or at most so much. */
function claimed(prediction) {
  const { accuracy, accuracyHigh } = prediction;
  return isVague(prediction) ? `\u2264 ${percent(accuracyHigh)}` : `\u2248 ${percent(accuracy)}`;
}

/** Both ends of a prediction's band in words: (89.5 to 92.4). */
function bandText(text, { accuracyLow, accuracyHigh }) {
  return fill(text.band, { low: (100 * accuracyLow).toFixed(1), high: (100 * accuracyHigh).toFixed(1) });
}

/** What a check measured of the plan under the hand. */
function checkLook(state) {
  const { data: { check }, text } = state;
  return {
    kind: "measured", label: text.checked, value: percent(check.accuracy), note: check.note,
    help: text.checked_help,
    band: check.high > check.low ? bandText(text, { accuracyLow: check.low, accuracyHigh: check.high }) : "",
  };
}

/** What had been predicted before the check. */
function formerLook(state) {
  const { data: { check }, text } = state;
  const look = { kind: "predicted", label: text.former, help: text.former_help };
  if (!check.predicted) return { ...look, value: "\u2013", note: text.former_none };
  const { accuracy, low, high } = check.predicted;
  const prediction = { accuracy, accuracyLow: low, accuracyHigh: high };
  return {
    ...look, value: claimed(prediction), band: bandText(text, prediction),
    note: fill(check.inside ? text.former_inside : text.former_off, { points: signedPoints(check.accuracy - accuracy) }),
  };
}

/** The newest run's accuracy, dimmed as soon as the plan is another one. */
function runLook({ data: { measured }, text }, same) {
  const interval = fill(text.measured_interval, {
    low: (100 * measured.low).toFixed(1),
    high: percent(measured.high),
    samples: whole(measured.samples),
  });
  return {
    kind: "measured", label: measured.label, value: percent(measured.accuracy), help: text.measured_help,
    note: same ? interval : text.measured_other, stale: !same,
  };
}

/** The check of another plan, or that none was made yet; and whether this plan's is under way. */
function waitingLook(state) {
  const { data: { check }, text } = state;
  const look = { kind: "measured", label: text.checked, help: text.checked_help, stale: true };
  if (!check.values) {
    return {
      ...look, kind: "", stale: false, value: "\u2013", note: check.problem || (check.wait_ms ? text.checking : text.check_hint),
    };
  }
  const under = check.wait_ms && !state.before && sameValues(check.asked, state.values);
  return { ...look, value: percent(check.accuracy), note: check.problem || (under ? text.checking : text.measured_other) };
}

/** While a check is under way ask the page now and then how it stands, but never under the moving hand. */
function watchCheck(state) {
  clearInterval(state.watch);
  const wait = state.data.check?.wait_ms;
  if (wait) state.watch = setInterval(() => state.before || state.ask(), wait);
}
