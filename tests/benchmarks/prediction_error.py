"""How far predicted losses and accuracies are off, and whether the bands hold.

Run: python -m tests.benchmarks.prediction_error [--fit] [--folder DIR]

Works on what ``python -m tests.benchmarks.prediction_cases`` measured. The constants of
``workbench/prediction/prior.py`` are always fitted on other models than the one that is scored;
with ``--fit`` they are fitted on all models and printed as they stand there. Plans measured in the
workspace are scored in sequence: each plan is predicted from those before it.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.stats import spearmanr

from tests.benchmarks.prediction_cases import FOLDER, Case, random_sparsities, read_curves, read_rows
from workbench.curves import SensitivityPoint
from workbench.groups import Groups, find_groups
from workbench.loading import load_model
from workbench.prediction import PRIOR, CurvesRepair, MeasuredPlan, Predictor, Prior, Shift, fit_predictor
from workbench.prediction.predictor import LEAST, features

CHANCE = 0.1
REPAIRS = ("none", "bn", "full")
MILD = 0.1
"""Measured drops of accuracy below this are those that a person would still consider."""


@dataclass(frozen=True)
class Trial:
    """Curves, and plans measured in full that are to be predicted from them."""

    plans_of: Case
    curves_of: Case
    baseline: SensitivityPoint
    points: tuple[SensitivityPoint, ...]
    plans: tuple[MeasuredPlan, ...]

    @property
    def same(self) -> bool:
        return self.plans_of == self.curves_of

    @property
    def curves_repair(self) -> CurvesRepair:
        """The curves' repair, compared with that of the plans."""
        step = REPAIRS.index(self.curves_of.repair) - REPAIRS.index(self.plans_of.repair)
        return "same" if not step else "milder" if step < 0 else "stronger"

    @property
    def relation(self) -> str:
        """What differs between curves and plans; empty where nothing does, or too much."""
        criterion = self.plans_of.criterion != self.curves_of.criterion
        repair = self.curves_repair
        if criterion:
            return "other_criterion" if repair == "same" else ""
        return "same" if repair == "same" else f"{repair}_repair"

    def predictor(self, prior: Prior, plans: Iterable[MeasuredPlan] = ()) -> Predictor:
        return fit_predictor(
            self.baseline, self.points, chance=CHANCE, plans=plans, prior=prior,
            same_criterion=self.plans_of.criterion == self.curves_of.criterion,
            curves_repair=self.curves_repair,
        )  # fmt: skip


@cache
def groups_of(model: str, granularity: str) -> Groups:
    return find_groups(load_model(model), granularity)


def settled(groups: Groups, sparsities: Mapping[str, float]) -> dict[str, float]:
    """What can really be cut: whole channels."""
    if not groups.granularity.structured:
        return dict(sparsities)
    return {
        name: groups.num_pruned(name, value) / groups.group(name).num_units
        for name, value in sparsities.items()
    }


def trials(folder: Path) -> list[Trial]:
    """Every pair of curves and plans of a model and granularity."""
    found = []
    named = {
        Case(*path.name.removesuffix("-plans.jsonl").rsplit("-", 3))
        for path in folder.glob("*-plans.jsonl")
    }
    for case in sorted(named, key=lambda case: case.name):
        groups = groups_of(case.model, case.granularity)
        plans = tuple(
            MeasuredPlan(
                settled(groups, random_sparsities(groups, row["plan"])), row["loss"],
                row["accuracy"], 0,
            )
            for row in read_rows(folder / f"{case.name}-plans.jsonl")
        )  # fmt: skip
        for criterion in ("l1", "l2", "random"):
            for repair in ("none", "bn", "full"):
                other = replace(case, criterion=criterion, repair=repair)
                points = read_curves(other, folder)
                whole = {p.group for p in points} >= {g.name for g in groups.prunable}
                if points and whole and not points[0].group:
                    own = tuple(replace(plan, samples=points[0].samples) for plan in plans)
                    found.append(Trial(case, other, points[0], points[1:], own))
    return found


# Fitting the constants


@dataclass(frozen=True)
class Sums:
    """What the fit needs of one trial, as arrays with a row a plan.

    Attributes:
        model: Sample model.
        damages: ``(plans, groups)``, 0 where a group is whole.
        increases: Measured loss increases.
        guessing: Loss increase of guessing.
        samples: Images behind them.
    """

    model: str
    damages: np.ndarray
    increases: np.ndarray
    guessing: float
    samples: int

    def formula(self, exponent: float, ceiling: float) -> tuple[np.ndarray, np.ndarray]:
        """``Predictor.formula`` for all plans at once."""
        d = self.damages
        top = np.maximum(ceiling * self.guessing, 1.3 * d.max(1))[:, None]
        z = ((d / (top - d)) ** (1 / exponent)).sum(1) ** exponent
        return top[:, 0] * z / (1 + z), 1 - (d**2).sum(1) / d.sum(1) ** 2


def sums(trial: Trial) -> Sums:
    predictor = trial.predictor(PRIOR)
    rows, increases = [], []
    for plan in trial.plans:
        row = [
            curve.at(plan.sparsities.get(name, 0.0)) for name, curve in predictor.curves.items()
        ]
        if sum(row) > 1e-6 and math.isfinite(plan.loss):
            rows.append(row)
            increases.append(plan.loss - trial.baseline.loss)
    return Sums(
        trial.plans_of.model, np.array(rows), np.array(increases), predictor.guessing,
        trial.baseline.samples,
    )  # fmt: skip


def surprise(found: Sums, prior: Prior, shift: Shift) -> float:
    """Minus the logarithm of the marginal likelihood of one trial's log ratios, a plan."""
    formula, jointness = found.formula(prior.exponent, prior.ceiling)
    x = np.array([features(a, b) for a, b in zip(formula, jointness, strict=True)])
    y = np.log(np.maximum(found.increases, formula * math.exp(-3)) / formula).clip(-3, 3)
    noise = prior.loss_noise * (formula + LEAST) / found.samples / formula**2
    variances = prior.spread[0] + shift.spread + prior.spread[1] * jointness + noise
    covariance = x @ np.diag(np.square(shift.deviations)) @ x.T + np.diag(variances)
    off = y - x @ np.array(shift.weights)
    _sign, volume = np.linalg.slogdet(covariance)
    return float(off @ np.linalg.solve(covariance, off) + volume) / 2 / len(y)


def per_model(found: Sequence[Sums], cost: Callable[[Sums], float]) -> float:
    """Mean over models of the mean over their trials: no model counts more than another."""
    by_model: dict[str, list[float]] = {}
    for one in found:
        by_model.setdefault(one.model, []).append(cost(one))
    return float(np.mean([np.mean(costs) for costs in by_model.values()]))


def fit_prior(everything: Sequence[Trial]) -> Prior:
    """The constants that make what was measured most likely."""
    own = [sums(trial) for trial in everything if trial.same]
    start = np.array([0.3, 0.2, 0.0, 0.0, -1.2, -1.5, -4.0, -3.0, 0.4])

    def unpack(v: np.ndarray) -> Prior:
        v = [float(x) for x in v]
        shift = Shift((0.0, 0.0, v[2], v[3]), (0.0, 0.0, math.exp(v[4]), math.exp(v[5])))
        return replace(
            PRIOR, exponent=1 + abs(v[0]), ceiling=1 + abs(v[1]), same=shift,
            spread=(math.exp(v[6]), math.exp(v[7])), loss_noise=math.exp(v[8]),
        )  # fmt: skip

    def cost(v: np.ndarray) -> float:
        prior = unpack(v)
        return per_model(own, lambda one: surprise(one, prior, prior.same))

    best = minimize(cost, start, method="L-BFGS-B", bounds=[(0.0, 1.5), (0.02, 2.0), (-2, 2), (-2, 2)] + [(-6.0, 2.0)] * 4 + [(-3, 3)])
    prior = unpack(best.x)
    return prior


def fit_shift(everything: Sequence[Trial], relation: str, prior: Prior) -> Shift:
    """What changes where the curves are of another criterion or repair than the plans."""
    own = [sums(trial) for trial in everything if trial.relation == relation]
    if not own:
        return Shift(getattr(PRIOR, relation).weights, getattr(PRIOR, relation).deviations, 0.1)
    signed = relation != "other_criterion"  # there either may be the worse one

    def unpack(v: np.ndarray) -> Shift:
        v = [float(x) for x in v]
        shift = (v[0], v[1]) if signed else (0.0, 0.0)
        return Shift((*shift, 0.0, 0.0), (math.exp(v[2]), math.exp(v[3]), 0.0, 0.0), math.exp(v[4]))

    def cost(v: np.ndarray) -> float:
        shift = unpack(v)
        total = Shift(
            tuple(a + b for a, b in zip(shift.weights, prior.same.weights, strict=True)),
            tuple(math.hypot(a, b) for a, b in zip(shift.deviations, prior.same.deviations, strict=True)),
            shift.spread,
        )  # fmt: skip
        return per_model(own, lambda one: surprise(one, prior, total))

    start = np.array([0.0, 0.0, -0.5, -1.0, -3.0])
    bounds = [(-5, 5), (-1, 1)] + [(-6.0, 2.0)] * 3
    return unpack(minimize(cost, start, method="L-BFGS-B", bounds=bounds).x)


def fit_everything(everything: Sequence[Trial]) -> Prior:
    """All constants."""
    prior = fit_prior(everything)
    shifts = {name: fit_shift(everything, name, prior) for name in ("other_criterion", "milder_repair", "stronger_repair")}
    return fit_map(everything, replace(prior, **shifts))


def fit_map(everything: Sequence[Trial], prior: Prior) -> Prior:
    """The error of the map from loss to accuracy, from plans whose loss is known."""
    rows: dict[str, list[tuple[float, float, int]]] = {}
    for trial in everything:
        if trial.same:
            predictor = trial.predictor(prior)
            for plan in trial.plans:
                accuracy = predictor.accuracy_at(plan.loss)
                lost = trial.baseline.accuracy - accuracy
                rows.setdefault(trial.plans_of.model, []).append(
                    (plan.accuracy - accuracy, max(0.0, lost), trial.baseline.samples)
                )

    def cost(v: np.ndarray) -> float:
        each = []
        for own in rows.values():
            off, lost, samples = np.array(own).T
            variance = math.exp(v[0]) * (lost + LEAST) / samples + (math.exp(v[1]) * lost) ** 2
            each.append(np.mean(off**2 / variance + np.log(variance)) / 2)
        return float(np.mean(each))

    best = minimize(cost, np.array([0.3, -2.5]), method="L-BFGS-B", bounds=[(-3, 3), (-6, 0)])
    return replace(
        prior, accuracy_noise=math.exp(best.x[0]), map_spread=math.exp(best.x[1])
    )


# Scoring


def score(trial: Trial, prior: Prior, sequential: bool) -> list[dict[str, float]]:
    """Predicted against measured for every plan of a trial."""
    rows = []
    for number, plan in enumerate(trial.plans):
        predictor = trial.predictor(prior, trial.plans[:number] if sequential else ())
        found = predictor.predict(plan.sparsities)
        rows.append({
            "loss": plan.loss, "accuracy": plan.accuracy, "predicted_loss": found.loss,
            "predicted": found.accuracy, "low": found.accuracy_low, "high": found.accuracy_high,
            "inside": found.accuracy_low <= plan.accuracy <= found.accuracy_high,
            "inside_loss": found.loss_low <= plan.loss <= found.loss_high,
            "lost": trial.baseline.accuracy - plan.accuracy, "number": number,
        })
    return rows


def summary(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    mild = [row for row in rows if row["lost"] < MILD]
    width = np.median([row["high"] - row["low"] for row in mild]) if mild else math.nan
    return {
        "plans": len(rows),
        "rho": float(spearmanr([r["predicted_loss"] for r in rows], [r["loss"] for r in rows])[0]),
        "off": 100 * float(np.median([abs(r["predicted"] - r["accuracy"]) for r in mild])),
        "inside": 100 * float(np.mean([r["inside"] for r in rows])),
        "inside_mild": 100 * float(np.mean([r["inside"] for r in mild])),
        "inside_loss": 100 * float(np.mean([r["inside_loss"] for r in rows])),
        "width": 100 * float(width),
    }


def line(name: str, s: Mapping[str, float]) -> str:
    return f"{name:34} " + " ".join(f"{k} {v:6.3f}" if k=="rho" else f"{k} {v:5.1f}" for k, v in s.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    everything = trials(arguments.folder)
    models = sorted({t.plans_of.model for t in everything if t.same})
    pooled = {}
    for model in models:
        prior = fit_everything([t for t in everything if t.plans_of.model != model])
        for t in everything:
            if t.relation and t.plans_of.model == model:
                for sequential in (False, True):
                    rows = score(t, prior, sequential)
                    pooled.setdefault((t.relation, sequential), []).append((t.plans_of.model,t.plans_of.repair,rows))
                    if t.same or "verbose" in arguments: print(line(t.plans_of.name+(" seq" if sequential else ""), summary(rows)))
    print(fit_everything(everything))
    for k,v in pooled.items():
        print(line(f"{k}", summary([r for m,rep,rows in v for r in rows])))
        if k[1]: print(line(f"   after 5", summary([r for m,rep,rows in v for r in rows if r['number']>=5])))
        for m in models: 
            u=[r for mm,rep,rows in v for r in rows if mm==m]
            if u: print(line(f"   {m}", summary(u)))


if __name__ == "__main__":
    main()
