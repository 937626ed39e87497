"""Measures what the benchmark of the prediction works on: sensitivity curves and random plans.

Run: python -m tests.benchmarks.prediction_cases [--models digits-mlp ...] [--folder DIR]

A case is a sample model, a granularity, a criterion and a repair. For every case the curves are
measured, and for some the accuracy and loss of random plans, on the same validation images. Every
number is kept as soon as it is there, so the work can be stopped and continued. An hour or two for
all models on one core; ``python -m tests.benchmarks.prediction_error`` then needs seconds.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workbench.allocation import Budget, allocate
from workbench.curves import SensitivityCurves, SensitivityPoint, SensitivitySettings
from workbench.data import Data
from workbench.errors import PlanError
from workbench.groups import Groups, find_groups
from workbench.loading import load_data, load_model
from workbench.metrics import score
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.prune import prune
from workbench.repair import repair
from workbench.sensitivity import measure_points, sample_curves

FOLDER = Path(__file__).parent / "results" / "prediction"
LEVELS = (0.2, 0.4, 0.6, 0.75, 0.85, 0.93, 0.98)
PLANS = 40
WALKS, STEPS = 1_000, 6
RULES = ("optimal", "greedy", "equal_loss", "cost_aware", "global")
KEPT = {"weight": ("params", (2, 4, 8, 16, 32)), "channel": ("macs", (1.5, 2, 3, 4, 6, 8))}
"""For each granularity what the rules count, and how many times fewer there should be."""
FULL_REPAIR_SAMPLES = 500
"""Calibration images of a full repair of a plan: as many as behind a point of the curves."""
WITH_BATCH_NORM = ("fashion-mobilenet", "fashion-resnet20")


@dataclass(frozen=True)
class Case:
    """What one set of curves, or of plans, was measured for."""

    model: str
    granularity: str
    criterion: str
    repair: str

    @property
    def name(self) -> str:
        """A file name."""
        return "-".join((self.model, self.granularity, self.criterion, self.repair))

    @property
    def num_samples(self) -> int:
        """Validation images, as many as behind the curves that come with the sample."""
        return 2_000 if self.model == "fashion-resnet20" else 1_000


def cases(models: Sequence[str], criteria: Sequence[str]) -> Iterator[Case]:
    """Every case of some models, those that take least time first."""
    for model in models:
        repairs = ("none", "bn", "full") if model in WITH_BATCH_NORM else ("none", "full")
        for name in repairs:
            for granularity in ("channel", "weight"):
                for criterion in criteria:
                    if (granularity, criterion) == ("weight", "l2"):
                        continue  # single weights rank alike by l1 and l2
                    yield Case(model, granularity, criterion, name)


def random_sparsities(groups: Groups, number: int) -> dict[str, float]:
    """Sparsities of the unprotected groups, drawn in one of three ways, or a step of a walk.

    Each group on its own; all of them near one value; or a few of them alone. From ``WALKS`` on,
    every ``STEPS`` numbers are a plan and what a person makes of it, changing one group at a time.

    Args:
        groups: Of the model at the granularity.
        number: Names the plan; the same gives the same.
    """
    if number >= WALKS:
        return _step(groups, *divmod(number - WALKS, STEPS))
    random = np.random.default_rng([number, 2026])
    names = [group.name for group in groups.prunable if not group.protected]
    most = float(random.uniform(0.2, _most(groups)))
    values = random.uniform(0, most, len(names))
    if number % 3 == 1:
        values = np.clip(random.normal(most, 0.1, len(names)), 0, 0.98)
    if number % 3 == 2:
        values *= random.permutation(len(names)) < max(1, len(names) * random.uniform(0.2, 0.6))
    return {name: round(float(value), 4) for name, value in zip(names, values, strict=True)}


def _step(groups: Groups, walk: int, step: int) -> dict[str, float]:
    """A plan after some changes by hand."""
    values = random_sparsities(groups, walk)
    random = np.random.default_rng([walk, 7])
    for _ in range(step):
        name = list(values)[int(random.integers(len(values)))]
        values[name] = round(float(random.uniform(0, _most(groups))), 4)
    return values


def _most(groups: Groups) -> float:
    return 0.9 if groups.granularity.structured else 0.98


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines; none where there is no such file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read_curves(case: Case, folder: Path) -> tuple[SensitivityPoint, ...]:
    """The curves of a case, the baseline among them."""
    return tuple(
        SensitivityPoint.from_dict(row) for row in read_rows(folder / f"{case.name}-curves.jsonl")
    )


def measure_curves(case: Case, model: Model, data: Data, groups: Groups, folder: Path) -> None:
    """Measure the points that are not there yet; those that come with a sample are taken."""
    path = folder / f"{case.name}-curves.jsonl"
    settings = SensitivitySettings(
        LEVELS, case.num_samples, case.criterion, case.repair, case.granularity
    )
    there = {(point.group, point.level) for point in read_curves(case, folder)}
    if not there:
        for shipped in sample_curves(model, case.granularity):
            same = shipped.settings.repair == case.repair
            if same and shipped.settings.criterion == case.criterion and shipped.baseline:
                for point in (shipped.baseline, *shipped.points):
                    append(path, point.to_dict())
                return
    elif len(there) > 1 and LEVELS[0] not in {level for _group, level in there}:
        return  # shipped
    wanted = [("", 0.0), *((g.name, v) for v in settings.levels for g in groups.prunable)]
    missing = [place for place in wanted if place not in there]
    for point in measure_points(model, data, settings, missing, groups=groups):
        append(path, point.to_dict())


def measure_plans(
    case: Case, model: Model, data: Data, groups: Groups, folder: Path, wanted: Iterable[int]
) -> None:  # fmt: skip
    """Measure those of some plans that are not there yet."""
    path = folder / f"{case.name}-plans.jsonl"
    there = {row["plan"] for row in read_rows(path)}
    for number in wanted:
        if number in there:
            continue
        plan = PruningPlan(random_sparsities(groups, number), case.granularity, case.criterion)
        append(path, {"plan": number} | _measured(plan, case, model, data, groups))


def measure_ruled(case: Case, model: Model, data: Data, groups: Groups, folder: Path) -> None:
    """Measure the plans that the rules make from curves; those of one budget each but once.

    The curves are of the case's own repair and of the repair that is quick: what a person has.
    """
    path = folder / f"{case.name}-ruled.jsonl"
    there = read_rows(path)
    unit, factors = KEPT[case.granularity]
    quick = "bn" if case.model in WITH_BATCH_NORM else "none"
    for measured_after in dict.fromkeys((case.repair, quick)):
        points = read_curves(replace(case, repair=measured_after), folder)
        ends = {point.group for point in points if point.level >= LEVELS[-1]}
        if not ends >= {group.name for group in groups.prunable}:
            continue
        settings = SensitivitySettings(
            LEVELS, case.num_samples, case.criterion, measured_after, case.granularity
        )
        curves = SensitivityCurves(
            settings, model.digest, data.digest, points[0], points[1:], 0.0, 0, True
        )
        for factor, rule in product(factors, RULES):
            place = {"curves": measured_after, "factor": factor, "rule": rule}
            if any(place.items() <= row.items() for row in there):
                continue
            try:
                plan = allocate(
                    model, rule, budget=Budget(unit, 1 / factor), granularity=case.granularity,
                    criterion=case.criterion, groups=groups, curves=curves,
                )  # fmt: skip
            except PlanError:
                continue  # the budget cannot be met
            cut = dict(plan.sparsities)
            known = next((row for row in there if row["sparsities"] == cut), None)
            found = known or _measured(plan, case, model, data, groups)
            row = place | {
                "accuracy": found["accuracy"], "loss": found["loss"], "sparsities": cut,
            }  # fmt: skip
            append(path, row)
            there.append(row)


def _measured(
    plan: PruningPlan, case: Case, model: Model, data: Data, groups: Groups
) -> dict[str, float]:  # fmt: skip
    """Accuracy and loss of a plan after the repair of a case, on the images of its curves."""
    repaired = repair(
        prune(model, plan, groups), data, case.repair,
        num_samples=FULL_REPAIR_SAMPLES if case.repair == "full" else 2_000,
    )  # fmt: skip
    images = data.split("validation", case.num_samples, 0)
    found = score(repaired.pruned.model.module, images)
    return {"accuracy": found.accuracy, "loss": found.loss}


def main() -> None:
    """Measure every case that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=["digits-mlp", "fashion-lenet5"])
    parser.add_argument("--criteria", nargs="*", default=["l1", "l2", "random"])
    parser.add_argument("--only", nargs="*", default=[], help="parts of names of cases")
    parser.add_argument("--plans", type=int, default=PLANS)
    parser.add_argument("--walks", type=int, default=6)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--what", nargs="*", default=["plans", "curves", "ruled"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for case in cases(arguments.models, arguments.criteria):
        if not all(part in case.name for part in arguments.only):
            continue
        model = load_model(case.model)
        data = load_data(model.data_name)
        groups = find_groups(model, case.granularity)
        start = time.perf_counter()
        if "plans" in arguments.what:
            wanted = [*range(arguments.plans), *range(WALKS, WALKS + STEPS * arguments.walks)]
            measure_plans(case, model, data, groups, arguments.folder, wanted)
        if "curves" in arguments.what:
            measure_curves(case, model, data, groups, arguments.folder)
        if "ruled" in arguments.what:
            measure_ruled(case, model, data, groups, arguments.folder)
        print(json.dumps(asdict(case) | {"seconds": round(time.perf_counter() - start, 1)}))


if __name__ == "__main__":
    main()
