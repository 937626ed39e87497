// What a plan leaves and probably costs. Pure functions of the board's data and the columns' values;
// workbench/accounting.py and workbench/prediction.py hold the same formulas, and a test compares them.

const BYTES_PER_PARAM = 4;

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Weights that a sparsity prunes out of `count`: the nearest whole number, halves up, never all. */
function numPruned(sparsity, count) {
  return Math.max(0, Math.min(count - 1, Math.floor(sparsity * count + 0.5)));
}

/** Stored bytes of a tensor: dense, or its non-zero values and one bit for every place. */
function tensorBytes(count, nonzero) {
  return Math.min(BYTES_PER_PARAM * count, BYTES_PER_PARAM * nonzero + Math.ceil(count / 8));
}

/** floor(macs * kept / count) without leaving the whole numbers that a double holds exactly. */
function scaledMacs(macs, kept, count) {
  return Math.floor(macs / count) * kept + Math.floor(((macs % count) * kept) / count);
}

/** Parameters, MACs and bytes of the whole model when column i is pruned to values[i]. */
function sizeOf(data, values) {
  let pruned = 0;
  let prunable = 0;
  let macs = data.macs;
  let bytes = BYTES_PER_PARAM * data.num_params;
  data.columns.forEach((column, i) => {
    if (!column.prunable) return;
    prunable += column.weights;
    const gone = numPruned(values[i], column.weights);
    if (gone === 0) return;
    const kept = column.weights - gone;
    pruned += gone;
    macs -= column.macs - scaledMacs(column.macs, kept, column.weights);
    bytes -= BYTES_PER_PARAM * column.weights - tensorBytes(column.weights, kept);
  });
  const nonzero = data.num_params - pruned;
  const denseBytes = BYTES_PER_PARAM * data.num_params;
  return {
    nonzero,
    macs,
    bytes,
    denseBytes,
    compression: data.num_params / Math.max(1, nonzero),
    compressionBytes: denseBytes / Math.max(1, bytes),
    speedup: Math.max(1, data.macs) / Math.max(1, macs),
    sparsityPrunable: prunable ? pruned / prunable : 0,
    sparsityAll: data.num_params ? pruned / data.num_params : 0,
  };
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

/** Estimated loss and accuracy, and how many cut columns the curves say too little about. */
function predict(data, values) {
  const prediction = data.prediction;
  if (!prediction) return null;
  const { exponent } = prediction;
  let roots = 0;
  let unmeasured = 0;
  let extrapolated = 0;
  values.forEach((value, i) => {
    if (value <= 0) return;
    const curve = prediction.curves[i];
    if (!curve) {
      unmeasured += 1;
      return;
    }
    roots += lossIncrease(curve, value) ** (1 / exponent);
    if (value > curve.levels[curve.levels.length - 1]) extrapolated += 1;
  });
  const loss = prediction.baseline_loss + roots ** exponent;
  return { loss, accuracy: accuracyAt(prediction, loss), unmeasured, extrapolated };
}
