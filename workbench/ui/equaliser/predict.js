// What a plan leaves and probably costs. Pure functions of the board's data and the columns' values;
// workbench/accounting.py and workbench/prediction/predictor.py hold the same formulas, and a test
// compares them.

const BYTES_PER_PARAM = 4;
const Z_90 = 1.6448536269514722; // normal quantile of a band that nine in ten fall into
const HEADROOM = 1.3; // the ceiling is at least so many times the largest damage of a column
const LEAST = 0.01; // loss increases below this look alike to the correction
const NEAR = 0.12; // share of the damage in which plans may differ before one says little about the other
const UNIT = 0.3; // loss increase at which the correction's weights are pure shifts

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Units that a sparsity prunes out of `count`: the nearest whole number, halves up, never all. */
function numPruned(sparsity, count) {
  return Math.max(0, Math.min(count - 1, Math.floor(sparsity * count + 0.5)));
}

/** Units that stay: the nearest allowed number, a multiple or all, at least one. */
function numKept(units, sparsity, multiple) {
  const kept = Math.max(1, units - numPruned(sparsity, units));
  if (multiple <= 1 || kept === units) return kept;
  const wanted = units * (1 - sparsity);
  const below = Math.floor(wanted / multiple) * multiple;
  let best = units;
  for (const count of [below, below + multiple]) { // of two that are as near the larger one
    if (count < multiple || count >= units) continue;
    const [near, far] = [Math.abs(count - wanted), Math.abs(best - wanted)];
    if (near < far || (near === far && count > best)) best = count;
  }
  return best;
}

/** Units of a column that stay; heads are not rounded to a multiple. */
function keptOf(column, value, multiple) {
  return numKept(column.units, value, column.rounds ? multiple : 1);
}

/** The allowed sparsity that a plan's value comes to. */
function settled(column, value, multiple) {
  if (column.thinned) return value >= column.thinned / 2 ? column.thinned : 0;
  if (!column.snaps || value <= 0) return value;
  return (column.units - keptOf(column, value, multiple)) / column.units;
}

/** Weights of one layer that go at a value; where edge blocks are smaller, on average. */
function weightsGone(column, value) {
  if (column.thinned) return settled(column, value, 1) ? column.thinned_weights : 0;
  const gone = numPruned(value, column.units);
  return column.units === column.weights ? gone : scaled(column.weights, gone, column.units);
}

/** Stored bytes of a tensor: dense, or its non-zero values and one bit for every place. */
function tensorBytes(count, nonzero) {
  return Math.min(BYTES_PER_PARAM * count, BYTES_PER_PARAM * nonzero + Math.ceil(count / 8));
}

/** floor(whole * part / count) without leaving the whole numbers that a double holds exactly. */
function scaled(whole, part, count) {
  return Math.floor(whole / count) * part + Math.floor(((whole % count) * part) / count);
}

/** Parameters, MACs and bytes of the whole model when column i is pruned to values[i]. */
function sizeOf(data, values) {
  const size = data.granularity === "channel" ? sizeOfChannels(data, values) : sizeOfWeights(data, values);
  const denseBytes = BYTES_PER_PARAM * data.num_params;
  return {
    ...size,
    denseBytes,
    compression: data.num_params / Math.max(1, size.nonzero),
    compressionBytes: denseBytes / Math.max(1, size.bytes),
    speedup: Math.max(1, data.macs) / Math.max(1, size.macs),
    sparsityPrunable: size.prunable ? size.gone / size.prunable : 0,
    sparsityAll: data.num_params ? (data.num_params - size.nonzero) / data.num_params : 0,
  };
}

/** Where weights become zero: layer by layer. */
function sizeOfWeights(data, values) {
  let [gone, prunable] = [0, 0];
  let { macs } = data;
  let bytes = BYTES_PER_PARAM * data.num_params;
  data.columns.forEach((column, i) => {
    if (!column.prunable) return;
    prunable += column.weights;
    const zeros = weightsGone(column, values[i]);
    if (zeros === 0) return;
    const kept = column.weights - zeros;
    gone += zeros;
    macs -= column.macs - scaled(column.macs, kept, column.weights);
    bytes -= BYTES_PER_PARAM * column.weights - tensorBytes(column.weights, kept);
  });
  return { nonzero: data.num_params - gone, macs, bytes, gone, prunable };
}

/** Where channels go: every part of the network by the groups that it shrinks with. */
function sizeOfChannels(data, values) {
  let [gone, prunable] = [0, 0];
  const kept = data.columns.map((column, i) => {
    if (!column.prunable) return column.units;
    const count = keptOf(column, values[i], data.multiple);
    prunable += column.units;
    gone += column.units - count;
    return count;
  });
  const params = sumOfTerms(data, kept, 0);
  return {
    nonzero: params, macs: sumOfTerms(data, kept, 1), bytes: BYTES_PER_PARAM * params, gone, prunable,
  };
}

/** The sum of coefficient * product of kept / total, whole and broken parts apart to stay exact. */
function sumOfTerms(data, kept, which) {
  let [whole, broken] = [0, 0];
  for (const term of data.terms) {
    let [part, count] = [1, 1];
    for (const i of term[2]) {
      part *= kept[i];
      count *= data.columns[i].units;
    }
    const rest = (term[which] % count) * part;
    whole += Math.floor(term[which] / count) * part + Math.floor(rest / count);
    broken += (rest % count) / count;
  }
  return roundHalfEven(whole, broken);
}

/** The nearest whole number to a sum, of two that are as near the even one, as Python rounds. */
function roundHalfEven(whole, broken) {
  const below = whole + Math.floor(broken + 1e-9);
  const rest = broken - Math.floor(broken + 1e-9);
  if (Math.abs(rest - 0.5) < 1e-9) return below + (below % 2);
  return below + Math.round(rest);
}

/** Index of the last knot that is not greater than x; knots rise. */
function knotBefore(knots, x) {
  let low = 0;
  let high = knots.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (knots[middle] <= x) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Loss increase of one layer at a sparsity: monotone cubic, straight behind the last level. */
function lossIncrease(curve, sparsity) {
  if (sparsity <= 0) return 0;
  const { levels, increases, slopes } = curve;
  const last = levels.length - 1;
  if (sparsity >= levels[last]) {
    const secant = (increases[last] - increases[last - 1]) / (levels[last] - levels[last - 1]);
    return increases[last] + Math.max(secant, slopes[last]) * (sparsity - levels[last]);
  }
  const i = knotBefore(levels, sparsity);
  const width = levels[i + 1] - levels[i];
  const t = (sparsity - levels[i]) / width;
  const rise = increases[i + 1] - increases[i];
  const bow = slopes[i] * width * t * (1 - t) * (1 - t);
  const dip = slopes[i + 1] * width * t * t * (1 - t);
  return increases[i] + rise * t * t * (3 - 2 * t) + bow - dip;
}

/** The accuracy that goes with a loss, linear between the fitted knots. */
function accuracyAt(prediction, loss) {
  const { losses, accuracies } = prediction;
  const last = losses.length - 1;
  if (loss <= losses[0]) return accuracies[0];
  if (loss >= losses[last]) return accuracies[last];
  const i = knotBefore(losses, loss);
  const t = (loss - losses[i]) / (losses[i + 1] - losses[i]);
  return accuracies[i] + (accuracies[i + 1] - accuracies[i]) * t;
}

/** Joint loss increase by the formula, and the logarithm of how many columns share in it. */
function jointIncrease(prediction, damages) {
  const found = damages.filter((damage) => damage > 0);
  if (!found.length) return [0, 0];
  const ceiling = Math.max(prediction.ceiling, HEADROOM * Math.max(...found));
  let [z, total, squares] = [0, 0, 0];
  for (const damage of found) {
    z += (damage / (ceiling - damage)) ** (1 / prediction.exponent);
    total += damage;
  }
  for (const damage of found) squares += (damage / total) ** 2;
  z **= prediction.exponent;
  return [(ceiling * z) / (1 + z), Math.max(0, -Math.log(squares))];
}

/** What the nearest plan that was measured says; its word fades with the distance. */
function nearest(prediction, damages) {
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const total = sum(damages);
  let [best, found] = [0, { ratio: 0, accuracy: 0, ratioLeft: 1, accuracyLeft: 1 }];
  if (total <= 0) return found;
  for (const anchor of prediction.anchors) {
    const apart = sum(damages.map((damage, i) => Math.abs(damage - anchor.damages[i])));
    const weight = Math.exp(-apart / (NEAR * Math.max(total, sum(anchor.damages))));
    if (weight <= best) continue;
    best = weight;
    found = {
      ratio: weight * anchor.ratio_trust * anchor.ratio,
      accuracy: weight * anchor.accuracy_trust * anchor.accuracy,
      ratioLeft: 1 - weight * weight * anchor.ratio_trust,
      accuracyLeft: 1 - weight * weight * anchor.accuracy_trust,
    };
  }
  return found;
}

/** Corrected joint loss increase, and both ends of its band. */
function increases(prediction, damages, near) {
  const [raw, jointness] = jointIncrease(prediction, damages);
  const size = Math.log(Math.max(raw, LEAST) / UNIT);
  const features = [1, size, jointness * jointness, jointness * size];
  const { weights, covariance, spread } = prediction;
  let shift = near.ratio;
  let variance = (spread[0] + spread[1] * jointness) * near.ratioLeft;
  features.forEach((own, i) => {
    shift += weights[i] * own;
    let row = 0;
    features.forEach((other, j) => { row += covariance[i][j] * other; });
    variance += own * row;
  });
  const increase = raw * Math.exp(shift);
  const ratio = Math.exp(Z_90 * Math.sqrt(variance));
  const noise = Z_90 * Math.sqrt(prediction.loss_noise * (increase + LEAST));
  return [
    increase,
    increase - Math.hypot(increase - increase / ratio, noise),
    increase + Math.hypot(increase * ratio - increase, noise),
  ];
}

/** The damage of a cut, towards guessing where it is not known. */
function fearedIncrease(prediction, curve, sparsity) {
  if (!curve) return prediction.guessing;
  const last = curve.levels[curve.levels.length - 1];
  if (sparsity <= last) return lossIncrease(curve, sparsity);
  const known = curve.increases[curve.increases.length - 1];
  const share = (sparsity - last) / (1 - last);
  return Math.max(lossIncrease(curve, sparsity), known + (prediction.guessing - known) * share * share);
}

/** The accuracy and both ends of its band, from those of the loss and the map's own error. */
function accuracies(prediction, loss, lossLow, lossHigh, near) {
  const mapped = accuracyAt(prediction, loss);
  const lost = prediction.baseline_accuracy - mapped;
  const noise = prediction.accuracy_noise * (Math.max(0, lost) + LEAST);
  const own = Z_90 * Math.sqrt((noise + (prediction.map_spread * lost) ** 2) * near.accuracyLeft);
  const accuracy = clamp(mapped + near.accuracy, 0, 1);
  const low = accuracy - Math.hypot(mapped - accuracyAt(prediction, lossHigh), own);
  const high = accuracy + Math.hypot(accuracyAt(prediction, lossLow) - mapped, own);
  return [accuracy, Math.max(0, low), Math.min(1, high)];
}

/** Estimated loss and accuracy with bands, and how many cut columns the curves say too little about. */
function predict(data, values) {
  const { prediction } = data;
  if (!prediction) return null;
  const likely = values.map(() => 0);
  const feared = [];
  let unmeasured = 0;
  let extrapolated = 0;
  values.forEach((asked, i) => {
    const value = settled(data.columns[i], asked, data.multiple);
    if (value <= 0) return;
    const curve = prediction.curves[i];
    feared.push(fearedIncrease(prediction, curve || prediction.worst, value));
    if (!curve) {
      unmeasured += 1;
      return;
    }
    likely[i] = lossIncrease(curve, value);
    if (value > curve.levels[curve.levels.length - 1]) extrapolated += 1;
  });
  if (!feared.length) { // nothing is cut
    const [accuracy, loss] = [prediction.accuracies[0], prediction.baseline_loss];
    const band = { lossLow: loss, lossHigh: loss, accuracyLow: accuracy, accuracyHigh: accuracy };
    return { loss, accuracy, ...band, unmeasured, extrapolated };
  }
  const near = nearest(prediction, likely);
  const [increase, low, top] = increases(prediction, likely, near);
  const high = unmeasured || extrapolated ? increases(prediction, feared, near)[2] : top;
  const [loss, lossLow, lossHigh] = [increase, low, high].map((one) => prediction.baseline_loss + one);
  const [accuracy, accuracyLow, accuracyHigh] = accuracies(prediction, loss, lossLow, lossHigh, near);
  return { loss, accuracy, lossLow, lossHigh, accuracyLow, accuracyHigh, unmeasured, extrapolated };
}

/** The same after the repair that the model will get in the end; null where that is no other. */
function predictFinal(data, values) {
  if (!data.final_prediction) return null;
  return predict({ ...data, prediction: { ...data.prediction, ...data.final_prediction } }, values);
}
