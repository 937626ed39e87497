"""Fits the constants of ``workbench/prediction/prior.py`` to plans measured in full.

Run: python -m tests.benchmarks.prediction_fit [--folder DIR]

Works on what ``python -m tests.benchmarks.prediction_cases`` measured, needs a few seconds, and
prints the constants as they stand in the code. How good they are on models that they were not
fitted on is what ``python -m tests.benchmarks.prediction_error`` tells.
"""

import argparse
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from tests.benchmarks.prediction_cases import (
    FOLDER,
    LEVELS,
    WALKS,
    WITH_BATCH_NORM,
    Case,
    random_sparsities,
    read_curves,
    read_rows,
)
from workbench.curves import SensitivityPoint
from workbench.groups import Groups, find_groups
from workbench.loading import load_model
from workbench.plan import PruningPlan
from workbench.prediction import (
    PRIOR,
    CurvesRepair,
    MeasuredPlan,
    Predictor,
    Prior,
    Shift,
    fit_predictor,
)
from workbench.prediction.predictor import HEADROOM, LEAST, features

CHANCE = 0.1
REPAIRS = ("none", "bn", "full")
FURTHEST = 3.0
DIGITS = 3


@dataclass(frozen=True)
class Trial:
    """Curves, and plans measured in full that are to be predicted from them.

    Attributes:
        plans_of: What the plans were measured for.
        curves_of: What the curves were measured for.
        baseline: Of the curves.
        points: Of the curves.
        plans: Drawn each on its own.
        steps: Walks of ``STEPS`` plans, each a small change of the one before.
        ruled: Plans that rules made from these very curves, no two alike.
    """

    plans_of: Case
    curves_of: Case
    baseline: SensitivityPoint
    points: tuple[SensitivityPoint, ...]
    plans: tuple[MeasuredPlan, ...]
    steps: tuple[MeasuredPlan, ...]
    ruled: tuple[MeasuredPlan, ...] = ()

    @property
    def same(self) -> bool:
        return self.plans_of == self.curves_of

    @property
    def is_wild(self) -> bool:
        """Whether BatchNorm's statistics no longer fit the pruned network."""
        return self.plans_of.repair == "none" and self.plans_of.model in WITH_BATCH_NORM

    @property
    def options(self) -> tuple[bool, bool, CurvesRepair]:
        """What ``fit_predictor`` is told: repaired, same criterion, the curves' repair."""
        same = self.plans_of.criterion == self.curves_of.criterion
        return self.plans_of.repair != "none", same, self.curves_repair

    @property
    def shifts(self) -> tuple[str, ...]:
        """The shift that this trial tells about."""
        if self.same:
            return ("unrepaired",) if self.plans_of.repair == "none" else ()
        return (self.relation,) if self.relation else ()

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

    @property
    def lessons(self) -> tuple[MeasuredPlan, ...]:
        """What the constants are fitted to: of rules what a person gets who changes no criterion.

        Rules that go by another criterion's curves are scored all the same.
        """
        usual = self.plans_of.criterion == PruningPlan().criterion
        return self.plans + self.ruled if usual else self.plans

    def predictor(self, prior: Prior, plans: Iterable[MeasuredPlan] = ()) -> Predictor:
        repaired, same, curves_repair = self.options
        return fit_predictor(
            self.baseline, self.points, chance=CHANCE, plans=plans, prior=prior, repaired=repaired,
            same_criterion=same, curves_repair=curves_repair,
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


def _measured(groups: Groups, row: Mapping[str, Any], samples: int) -> MeasuredPlan:
    sparsities = settled(groups, random_sparsities(groups, row["plan"]))
    return MeasuredPlan(sparsities, row["loss"], row["accuracy"], samples)


def read_ruled(case: Case, curves: Case, folder: Path, samples: int) -> tuple[MeasuredPlan, ...]:
    """Plans that rules made from some curves; those that several rules made but once."""
    if case.criterion != curves.criterion:
        return ()
    rows = read_rows(folder / f"{case.name}-ruled.jsonl")
    found = {
        json.dumps(row["sparsities"]): MeasuredPlan(
            row["sparsities"], row["loss"], row["accuracy"], samples
        )
        for row in rows if row["curves"] == curves.repair
    }  # fmt: skip
    return tuple(found.values())


def trials(folder: Path) -> list[Trial]:
    """Every pair of curves and plans of a model and granularity."""
    found = []
    named = {
        Case(*path.name.rsplit("-", 1)[0].rsplit("-", 3))
        for kind in ("plans", "ruled") for path in folder.glob(f"*-{kind}.jsonl")
    }  # fmt: skip
    for case in sorted(named, key=lambda case: case.name):
        groups = groups_of(case.model, case.granularity)
        rows = read_rows(folder / f"{case.name}-plans.jsonl")
        for criterion in ("l1", "l2", "random"):
            for repair in ("none", "bn", "full"):
                other = replace(case, criterion=criterion, repair=repair)
                points = read_curves(other, folder)
                ends = {p.group for p in points if p.level >= LEVELS[-1]}  # not half measured
                whole = ends >= {g.name for g in groups.prunable}
                if points and whole and not points[0].group:
                    plans, steps = (
                        tuple(
                            _measured(groups, row, points[0].samples)
                            for row in sorted(rows, key=lambda row: row["plan"])
                            if (row["plan"] >= WALKS) == walking
                        )
                        for walking in (False, True)
                    )
                    ruled = read_ruled(case, other, folder, points[0].samples)
                    if plans or ruled:
                        found.append(Trial(case, other, points[0], points[1:], plans, steps, ruled))
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
        top = np.maximum(ceiling * self.guessing, HEADROOM * d.max(1))[:, None]
        z = ((d / (top - d)) ** (1 / exponent)).sum(1) ** exponent
        return top[:, 0] * z / (1 + z), np.log(d.sum(1) ** 2 / (d**2).sum(1)).clip(0)


def sums(trial: Trial) -> Sums:
    predictor = trial.predictor(PRIOR)
    rows, increases = [], []
    for plan in trial.lessons:
        row = [curve.at(plan.sparsities.get(name, 0.0)) for name, curve in predictor.curves.items()]
        if sum(row) > 1e-6 and math.isfinite(plan.loss):
            rows.append(row)
            increases.append(plan.loss - trial.baseline.loss)
    return Sums(
        trial.plans_of.model, np.array(rows), np.array(increases), predictor.guessing,
        trial.baseline.samples,
    )  # fmt: skip


def surprise(found: Sums, prior: Prior, parts: Sequence[Shift]) -> float:
    """Minus the logarithm of the marginal likelihood of one trial's log ratios, a plan."""
    formula, jointness = found.formula(prior.exponent, prior.ceiling)
    x = np.array([features(a, b) for a, b in zip(formula, jointness, strict=True)])
    y = np.log(np.maximum(found.increases, formula * math.exp(-FURTHEST)) / formula).clip(
        -FURTHEST, FURTHEST
    )
    noise = prior.loss_noise * (formula + LEAST) / found.samples / formula**2
    spread = prior.spread[0] + sum(part.spread for part in parts)
    variances = spread + prior.spread[1] * jointness + noise
    between = np.sum(np.square([part.deviations for part in parts]), axis=0)
    covariance = (x * between) @ x.T + np.diag(variances)
    off = y - x @ np.sum([part.weights for part in parts], axis=0)
    _sign, volume = np.linalg.slogdet(covariance)
    return float(off @ np.linalg.solve(covariance, off) + volume) / 2 / len(y)


def per_model(found: Sequence[tuple[Sums, Sequence[Shift]]], prior: Prior) -> float:
    """Mean over models of the mean over their trials: no model counts more than another."""
    by_model: dict[str, list[float]] = {}
    for one, parts in found:
        by_model.setdefault(one.model, []).append(surprise(one, prior, parts))
    return float(np.mean([np.mean(costs) for costs in by_model.values()]))


UNSURE = ((math.log(0.7), 1.0), (math.log(0.2), 0.0))
"""Bounds of the logarithms of deviations: six models do not tell how alike all models are."""


def fit_prior(everything: Sequence[Trial]) -> Prior:
    """The constants that make what was measured most likely, for curves of the plans' own kind.

    Plans that nothing repaired are left out: those of networks with BatchNorm follow no rule, and
    of the others most are ruined, which tells nothing about those that a person keeps.
    """
    own = [sums(trial) for trial in everything if trial.same and trial.options[0]]

    def unpack(v: Sequence[float]) -> Prior:
        v = [float(x) for x in v]
        shift = Shift((0.0, 0.0, v[2], v[3]), (0.0, 0.0, math.exp(v[4]), math.exp(v[5])))
        return replace(
            PRIOR, exponent=v[0], ceiling=v[1], same=shift,
            spread=(math.exp(v[6]), math.exp(v[7])), loss_noise=math.exp(v[8]),
        )  # fmt: skip

    def cost(v: Sequence[float]) -> float:
        prior = unpack(v)
        return per_model([(one, (prior.same,)) for one in own], prior)

    start = np.array([1.3, 1.2, 0.0, 0.0, -1.2, -1.5, -4.0, -3.0, 0.4])
    shared, sized = (math.log(0.05), 1.0), (math.log(0.1), 1.0)  # the first one's feature is larger
    bounds = [
        (1.0, 2.0), (1.05, 2.0), (-2, 2), (-2, 2), shared, sized, (-6, 1), (-6, 1), (-3, 3),
    ]  # fmt: skip
    return unpack(minimize(cost, start, method="L-BFGS-B", bounds=bounds).x)


def fit_shift(everything: Sequence[Trial], name: str, prior: Prior) -> Shift:
    """What changes where nothing is repaired, or the curves are of another criterion or repair.

    Args:
        everything: All trials.
        name: Of the shift, as in ``Prior``.
        prior: What was fitted before.
    """
    own = [(sums(trial), trial) for trial in everything if name in trial.shifts]
    if not own:
        return getattr(PRIOR, name)
    signed = name != "other_criterion"  # there either may be the worse one

    def unpack(v: Sequence[float]) -> Shift:
        weights = (float(v[0]), float(v[1])) if signed else (0.0, 0.0)
        deviations = [math.exp(x) for x in v[2:4]]
        return Shift((*weights, 0.0, 0.0), (*deviations, 0.0, 0.0), math.exp(v[4]))

    def cost(v: Sequence[float]) -> float:
        trial_prior = replace(prior, **{name: unpack(v)})
        return per_model([(one, trial_prior.parts(*trial.options)) for one, trial in own], prior)

    start = np.array([0.0, 0.0, -0.5, -1.0, -3.0])
    least = UNSURE if name != "unrepaired" else ((-6.0, 1.0), (-6.0, 0.0))
    bounds = [(-5, 5), (-1, 1), *least, (-6.0, 1.0)]
    return unpack(minimize(cost, start, method="L-BFGS-B", bounds=bounds).x)


def fit_everything(everything: Sequence[Trial]) -> Prior:
    """All constants, those of curves of the plans' own kind first."""
    prior = fit_prior(everything)
    prior = replace(prior, unrepaired=fit_shift(everything, "unrepaired", prior))
    for name in ("other_criterion", "milder_repair", "stronger_repair"):
        prior = replace(prior, **{name: fit_shift(everything, name, prior)})
    return fit_map(everything, prior)


def fit_map(everything: Sequence[Trial], prior: Prior) -> Prior:
    """The error of the map from loss to accuracy, from plans whose loss is known."""
    rows: dict[str, list[tuple[float, float, int]]] = {}
    for trial in everything:
        if trial.same:
            predictor = trial.predictor(prior)
            for plan in trial.lessons:
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
    return replace(prior, accuracy_noise=math.exp(best.x[0]), map_spread=math.exp(best.x[1]))


def rounded(value: object) -> object:
    """Numbers with few digits."""
    if isinstance(value, float):
        return round(value, DIGITS) + 0.0  # never -0.0
    return tuple(map(rounded, value)) if isinstance(value, tuple) else value


def literal(prior: Prior) -> str:
    """The constants as Python, ready for ``prior.py``."""
    lines = ["PRIOR = Prior("]
    for field in fields(prior):
        value = getattr(prior, field.name)
        if isinstance(value, Shift):
            parts = [rounded(value.weights), rounded(value.deviations)]
            parts += [rounded(value.spread)] if value.spread else []
            text = f"Shift({', '.join(map(str, parts))})"
        else:
            text = str(rounded(value))
        lines.append(f"    {field.name}={text},")
    return "\n".join([*lines, ")"])


def main() -> None:
    """Print the constants fitted to everything that was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    print(literal(fit_everything(trials(parser.parse_args().folder))))


if __name__ == "__main__":
    main()
