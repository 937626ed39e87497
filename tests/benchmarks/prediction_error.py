"""How far predicted accuracies are off.

    python -m tests.benchmarks.prediction_error [MODEL ...]

For each sample model and repair the sensitivity curves are measured, then 18 plans: uniform, global
and random ones. Printed is the mean absolute error of the predicted accuracy in points, over all
plans and over those that keep more than 70 % accuracy, for the plain sum of damages and for the
exponent that the predictor uses. Half an hour for all models on two cores.
"""

import argparse
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from workbench.allocation import allocate
from workbench.data import Data
from workbench.layers import inspect
from workbench.loading import load_data, load_model
from workbench.metrics import score
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.prediction import fit_predictor
from workbench.prune import prune
from workbench.repair import repair
from workbench.sensitivity import SensitivitySettings, measure_sensitivity

MODELS = (
    "digits-mlp", "fashion-lenet5", "fashion-gru", "fashion-vit", "fashion-resnet20",
    "fashion-mobilenet",
)  # fmt: skip
WITH_BATCH_NORM = {"fashion-resnet20", "fashion-mobilenet"}
LEVELS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
WORTH_KEEPING = 0.7


def plans(model: Model) -> list[Mapping[str, float]]:
    """Uniform, global and random sparsities of the unprotected layers."""
    random = np.random.default_rng(0)
    names = [layer.layer_name for layer in inspect(model).prunable if not layer.protected]
    made: list[Mapping[str, float]] = [
        dict.fromkeys(names, level) for level in (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9)
    ]
    made += [allocate(model, "global", sparsity=s).sparsities for s in (0.5, 0.7, 0.8, 0.9)]
    for most in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98):
        made.append(dict(zip(names, random.uniform(0, most, len(names)).tolist(), strict=True)))
    return made


def errors(model: Model, data: Data, method: str, samples: int) -> dict[str, np.ndarray]:
    """Measured accuracies, and predicted minus measured for both ways to add damages."""
    settings = SensitivitySettings(levels=LEVELS, num_samples=samples, repair=method)
    curves = measure_sensitivity(model, data, settings)
    assert curves.baseline
    own = fit_predictor(curves.baseline, curves.points, chance=1 / model.num_classes)
    plain = replace(own, exponent=1.0)
    validation = data.split("validation", samples, 0)
    measured, found = [], []
    for sparsities in plans(model):
        pruned = repair(prune(model, PruningPlan(sparsities)), data, method).pruned
        measured.append(score(pruned.model.module, validation).accuracy)
        found.append([p.predict(sparsities).accuracy for p in (plain, own)])
    truth = np.array(measured)
    off = np.array(found) - truth[:, None]
    return {"measured": truth, "plain": off[:, 0], "own": off[:, 1]}


def line(name: str, found: Mapping[str, np.ndarray]) -> str:
    """One row of the table."""
    good = found["measured"] > WORTH_KEEPING
    parts = []
    for way in ("plain", "own"):
        every = 100 * np.abs(found[way]).mean()
        kept = 100 * np.abs(found[way][good]).mean() if good.any() else math.nan
        parts.append(f"{way:>5} {every:5.1f} ({kept:4.1f})")
    return f"{name:28} {len(good):4} plans   " + "   ".join(parts)


def main() -> None:
    """Print a row for every model and repair, and one for all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--samples", type=int, default=500)
    options = parser.parse_args()
    rows = []
    for name in options.models:
        model = load_model(name)
        data = load_data(model.data_name)
        for method in ("none", "bn") if name in WITH_BATCH_NORM else ("none",):
            rows.append(errors(model, data, method, options.samples))
            print(line(f"{name}, {method}", rows[-1]), flush=True)
    together = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
    print(line("all", together))


if __name__ == "__main__":
    main()
