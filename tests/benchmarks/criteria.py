"""Every criterion on every sample at several levels: raw, fully repaired, briefly fine-tuned.

Run: python -m tests.benchmarks.criteria [--models fashion-lenet5 ...] [--stages raw repaired]
     python -m tests.benchmarks.criteria --write   (only writes the tables)

Single weights and channels go uniformly, the same part of every layer or group but the classifier,
so that a criterion decides only which ones. Seeds choose the images that criteria look at, those
of the repair, and the order of training; accuracy is that of a seeded choice of test images, the
same for all. Nothing is chosen by it. Every row is kept in results/criteria.jsonl as soon as it
is measured, so the run can be continued; where two criteria prune the same the rows are shared.
The tables in results/criteria.md and the catalogue page's table are written from there.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import workbench as wb
from tests.benchmarks.criteria_tables import tables
from workbench.catalogue_table import ship, table_path
from workbench.criteria import CRITERIA, fitting_criteria
from workbench.data import Split
from workbench.errors import PlanError
from workbench.evidence import Evidence
from workbench.groups import Groups, find_groups
from workbench.metrics import score
from workbench.progress import ShouldStop
from workbench.prune import Pruned

RESULTS = Path(__file__).parent / "results"
ROWS, TABLES = RESULTS / "criteria.jsonl", RESULTS / "criteria.md"
LEVELS = {"channel": (0.5, 0.3, 0.7), "weight": (0.9, 0.8, 0.95, 0.5)}
SEEDS = (0, 1, 2)
STAGES = ("raw", "repaired", "tuned")
EPOCHS = 2
KEY = ("model", "granularity", "criterion", "level", "stage", "seed")
MODELS = (
    "digits-mlp", "fashion-lenet5", "fashion-mobilenet", "fashion-resnet20", "fashion-vit",
    "fashion-gru", "digits-shared", "digits-resnet50",
)  # fmt: skip
IMAGES_OF = {"images": 512, "gradients": 512, "training": 1_024, "weights": 0}
"""Images that a criterion looks at, by what it needs."""


class Case(NamedTuple):
    """What is pruned and how far it is taken."""

    model: str
    granularity: str
    level: float
    criterion: str
    seed: int


class TimedEvidence(Evidence):
    """Knows how long each kind of evidence took, so that a later criterion can be told."""

    def __init__(self, load: Callable[[], wb.Data], seed: int) -> None:
        super().__init__(load, seed=seed)
        self._took: dict[str, float] = {}
        self._recalled: set[str] = set()

    def begin(self) -> None:
        """From here on count what is only recalled."""
        self._recalled = set()

    def remembered(self) -> float:
        """Seconds that what was recalled had taken to gather."""
        return sum(self._took[kind] for kind in self._recalled)

    def recall(
        self, model_digest: str, kind: str,
        gather: Callable[[wb.Data, int, ShouldStop], Mapping[str, Tensor]],
    ) -> Mapping[str, Tensor]:  # fmt: skip
        known = kind in self._took

        def timed(data: wb.Data, seed: int, should_stop: ShouldStop) -> Mapping[str, Tensor]:
            start = time.perf_counter()
            found = gather(data, seed, should_stop)
            self._took[kind] = time.perf_counter() - start
            return found

        result = super().recall(model_digest, kind, timed)
        if known:
            self._recalled.add(kind)
        return result


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How many images of each kind."""

    test: int
    repair: int
    epoch: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--stages", nargs="*", default=list(STAGES), choices=STAGES)
    parser.add_argument("--test-images", type=int, default=1_000)
    parser.add_argument("--repair-images", type=int, default=250)
    parser.add_argument("--images", type=int, default=4_000, help="training images of an epoch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--until", help="take up no further case after this time, as 19:05 (UTC)")
    parser.add_argument("--write", action="store_true", help="only write the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    RESULTS.mkdir(exist_ok=True)
    if not arguments.write:
        sizes = Sizes(arguments.test_images, arguments.repair_images, arguments.images)
        for case in cases(arguments.models, arguments.seeds):
            if arguments.until and time.strftime("%H:%M", time.gmtime()) >= arguments.until:
                break
            measure(case, arguments.stages, sizes)
    TABLES.write_text(tables(read_rows()), "utf-8")
    _ship()
    print(TABLES.read_text("utf-8"))


def cases(models: Sequence[str], seeds: Sequence[int]) -> Iterator[Case]:
    """One seed of everything before the next, channels before weights, a level of all models."""
    for seed, granularity in product(seeds, LEVELS):
        for level, name in product(LEVELS[granularity], models):
            for criterion in fitting_criteria(granularity):
                yield Case(name, granularity, level, criterion, seed)


def measure(case: Case, stages: Sequence[str], sizes: Sizes) -> None:
    """Measure the stages of a case that are not there yet."""
    rows = {tuple(row[key] for key in KEY): row for row in read_rows()}
    common = (case.model, case.granularity, case.criterion, case.level)
    missing = [stage for stage in stages if (*common, stage, case.seed) not in rows]
    if not missing:
        return
    model, data = opened(case.model, case.seed)
    groups = grouped(case.model, case.granularity)
    if (case.model, "", "dense", 0.0, "raw", 0) not in rows:
        _write(
            Case(case.model, "", 0.0, "dense", 0), "raw",
            {"accuracy": accuracy(model.module, data, sizes), "images": 0, "epochs": 0,
             "samples": len(test_images(data, sizes.test)), "seconds_scores": 0},
        )  # fmt: skip
    plan = wb.PruningPlan(
        {group.name: case.level for group in groups.prunable if not group.protected},
        case.granularity, case.criterion, seed=case.seed,
    )  # fmt: skip
    assert isinstance(model.evidence, TimedEvidence)
    model.evidence.begin()
    start = time.perf_counter()
    try:
        pruned = wb.prune(model, plan, groups)
    except PlanError as error:
        print(case, error.message, flush=True)
        return
    whole = time.perf_counter() - start + model.evidence.remembered()
    spent = seconds_of_scores(case, whole)
    digest = pruned.model.digest
    known = {
        (row.get("digest"), row["stage"], row["seed"]): row for row in rows.values()
        if row["model"] == case.model and row.get("digest")
    }  # fmt: skip
    repaired: Pruned | None = None
    for stage in missing:
        same = known.get((digest, stage, case.seed))
        values: dict[str, Any] = {
            "samples": len(test_images(data, sizes.test)), "digest": digest,
            "seconds_scores": round(spent, 3),
            "images": max(IMAGES_OF[need] for need in CRITERIA[case.criterion].needs),
            "epochs": EPOCHS if stage == "tuned" else 0, "repair_images": sizes.repair,
            "epoch_images": sizes.epoch if stage == "tuned" else 0,
        }  # fmt: skip
        if same is None and stage != "raw" and repaired is None:
            repaired = wb.repair(
                pruned, data, "full", num_samples=sizes.repair, seed=case.seed
            ).pruned  # fmt: skip
        if same is not None:
            values["accuracy"] = same["accuracy"]
        elif stage == "tuned":
            assert repaired is not None
            values["accuracy"] = accuracy(tuned(repaired, data, case.seed, sizes), data, sizes)
        else:
            final = pruned if stage == "raw" else repaired
            assert final is not None
            values["accuracy"] = accuracy(final.model.module, data, sizes)
        _write(case, stage, values)


def tuned(pruned: Pruned, data: wb.Data, seed: int, sizes: Sizes) -> torch.nn.Module:
    """Two brief epochs from the repaired model, as a run after a full repair trains."""
    most = sizes.epoch + data.num_validation
    brief = dataclasses.replace(data, x_train=data.x_train[:most], y_train=data.y_train[:most])
    settings = wb.FineTuneSettings(epochs=EPOCHS, seed=seed)
    return wb.finetune(pruned, brief, settings, gentle=True).pruned.model.module


_SPENT: dict[tuple[str, str, str, int], float] = {}


def seconds_of_scores(case: Case, seconds: float) -> float:
    """What scoring the whole model took the first time; later levels find it remembered."""
    key = (case.model, case.granularity, case.criterion, case.seed)
    return _SPENT.setdefault(key, seconds)


@cache
def opened(name: str, seed: int) -> tuple[wb.Model, wb.Data]:
    """A sample with its data; criteria look at images chosen by the seed."""
    model = wb.load_model(name)
    data = wb.load_data(model.data_name)
    return model.with_evidence(TimedEvidence(lambda: data, seed)), data


@cache
def grouped(name: str, granularity: str) -> Groups:
    return find_groups(opened(name, 0)[0], granularity)


def accuracy(module: torch.nn.Module, data: wb.Data, sizes: Sizes) -> float:
    """Of the test images."""
    return round(score(module, test_images(data, sizes.test)).accuracy, 5)


@cache
def test_images(data: wb.Data, count: int) -> Split:
    """The same choice for all."""
    return data.split("test", count)


def _write(case: Case, stage: str, values: dict[str, Any]) -> None:
    row = {**case._asdict(), "stage": stage, **values}
    with ROWS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(time.strftime("%H:%M:%S", time.gmtime()), json.dumps(row), flush=True)


def read_rows() -> list[dict[str, Any]]:
    if not ROWS.exists():
        return []
    return [json.loads(line) for line in ROWS.read_text("utf-8").splitlines() if line]


def _ship() -> None:
    """Hand the rows to the catalogue page."""
    ship(read_rows(), table_path())


if __name__ == "__main__":
    main()
