"""The comparison of all criteria on the samples: what a benchmark measured, and what follows."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from workbench.loading.samples import sample_folder

DENSE, FLOOR = "dense", "random"
"""The criterion of rows about the dense model, and the one that every other should beat."""
STAGES = ("raw", "repaired", "tuned")
SURE = 1.96
_KEYS = ("model", "granularity", "criterion", "level", "stage")


@dataclass(frozen=True)
class Cell:
    """A criterion at one level and stage on one sample, over all seeds.

    Attributes:
        model: Name of the sample.
        granularity: ``weight`` or ``channel``.
        criterion: Its name; ``dense`` for the dense model.
        level: Part that was pruned.
        stage: A name in ``STAGES``.
        accuracy: Mean over the seeds, of test images.
        spread: Standard deviation over the seeds; 0 where there is one.
        seeds: How many.
        samples: Test images.
        seconds: Median time of scoring the model.
        images: That the scores looked at.
        epochs: Of training.
    """

    model: str
    granularity: str
    criterion: str
    level: float
    stage: str
    accuracy: float
    spread: float
    seeds: int
    samples: int
    seconds: float
    images: int
    epochs: int

    @property
    def error(self) -> float:
        """Standard error of the mean accuracy: over the seeds, and over the images if larger."""
        images = math.sqrt(self.accuracy * (1 - self.accuracy) / self.samples)
        return max(images, self.spread / math.sqrt(self.seeds))

    def is_below(self, other: "Cell") -> bool:
        """Whether it is surely less accurate, at 95 %."""
        return other.accuracy - self.accuracy > SURE * math.hypot(self.error, other.error)


@dataclass(frozen=True)
class CriteriaTable:
    """All criteria on all samples.

    Attributes:
        cells: What was measured.
    """

    cells: tuple[Cell, ...]

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The samples, in alphabetical order."""
        return tuple(sorted({cell.model for cell in self.cells if cell.criterion != DENSE}))

    def dense(self, model: str) -> Cell | None:
        """The dense model; None where it was not measured."""
        return next((c for c in self.cells if (c.model, c.criterion) == (model, DENSE)), None)

    def granularities(self, model: str) -> tuple[str, ...]:
        """What was cut of a sample, single weights first."""
        found = {c.granularity for c in self.cells if c.model == model and c.criterion != DENSE}
        return tuple(sorted(found, key=("weight", "channel").index))

    def levels(self, model: str, granularity: str) -> tuple[float, ...]:
        """The levels of a sample, rising."""
        return tuple(sorted({c.level for c in self._of(model, granularity)}))

    def stages(self, model: str, granularity: str) -> tuple[str, ...]:
        """The stages of a sample, in their order."""
        found = {c.stage for c in self._of(model, granularity)}
        return tuple(stage for stage in STAGES if stage in found)

    def column(self, model: str, granularity: str, level: float, stage: str) -> dict[str, Cell]:
        """Criterion to its cell at a level and stage, the most accurate first."""
        found = [c for c in self._of(model, granularity) if (c.level, c.stage) == (level, stage)]
        return {c.criterion: c for c in sorted(found, key=lambda c: -c.accuracy)}

    def _of(self, model: str, granularity: str) -> list[Cell]:
        return [
            c
            for c in self.cells
            if (c.model, c.granularity) == (model, granularity) and c.criterion != DENSE
        ]


def marks(column: Mapping[str, Cell]) -> dict[str, str]:
    """Criterion to how it stands: ``best``, ``tie`` with it, ``floor`` below random, or empty."""
    if not column:
        return {}
    best, floor = next(iter(column.values())), column.get(FLOOR)
    found = {}
    for name, cell in column.items():
        if cell is best:
            found[name] = "best"
        elif not cell.is_below(best):
            found[name] = "tie"
        else:
            found[name] = "floor" if floor is not None and cell.is_below(floor) else ""
    return found


def summarise(rows: Iterable[Mapping[str, Any]]) -> CriteriaTable:
    """A table from a benchmark's rows, one for each seed.

    Args:
        rows: Each with ``model, granularity, criterion, level, stage, seed, accuracy, samples,
            seconds_scores, images, epochs``; of equal ones the last counts.
    """
    by_key: dict[tuple[Any, ...], dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        key = tuple(row[name] for name in _KEYS)
        by_key.setdefault(key, {})[int(row["seed"])] = row
    return CriteriaTable(
        tuple(_cell(key, [*seeds.values()]) for key, seeds in sorted(by_key.items()))
    )


def _cell(key: tuple[Any, ...], rows: list[Mapping[str, Any]]) -> Cell:
    accuracies = [float(row["accuracy"]) for row in rows]
    measured: dict[str, Any] = {
        "accuracy": round(fmean(accuracies), 6),
        "spread": round(stdev(accuracies), 6) if len(rows) > 1 else 0.0,
        "seeds": len(rows),
        "samples": int(rows[0]["samples"]),
        "seconds": round(median(float(row["seconds_scores"]) for row in rows), 4),
        "images": int(rows[0]["images"]),
        "epochs": int(rows[0]["epochs"]),
    }
    return Cell(**dict(zip(_KEYS, key, strict=True)), **measured)


def table_path() -> Path:
    """Where the table lies that comes with the workbench."""
    return sample_folder() / "methods" / "criteria.json"


def ship(rows: Iterable[Mapping[str, Any]], path: Path) -> CriteriaTable:
    """Write the table that comes with the workbench from a benchmark's rows.

    Args:
        rows: See ``summarise``.
        path: The file; its folder is made if absent.
    """
    found = summarise(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [*Cell.__dataclass_fields__]
    cells = [[*asdict(cell).values()] for cell in found.cells]
    lines = ",\n".join(json.dumps(cell) for cell in cells)
    path.write_text(f'{{"columns": {json.dumps(names)}, "cells": [\n{lines}\n]}}\n', "utf-8")
    return found


def load_table(path: Path | None = None) -> CriteriaTable | None:
    """The table that comes with the workbench; None where it has none."""
    path = path or table_path()
    if not path.is_file():
        return None
    values = json.loads(path.read_text("utf-8"))
    names = values["columns"]
    return CriteriaTable(
        tuple(Cell(**dict(zip(names, cell, strict=True))) for cell in values["cells"])
    )
