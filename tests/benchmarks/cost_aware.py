"""Scores blind for costs against scores for cost, at equal measured latency and at equal MACs.

    python -m tests.benchmarks.cost_aware [--models fashion-resnet20] [--units latency macs] ...
    python -m tests.benchmarks.cost_aware --write   (only writes the table)

Channels of a sample are cut to the same budget by one ranking that is blind for costs (global), by
scores for what a channel costs (exponent 1), and with the exponent that loses least on validation
images; beside them the two allocations that choose by predicted loss for what is saved. A plan for
a latency is timed beside the dense network, in turns, and corrected until its measured time meets
the budget, the same way for everybody. Every plan is repaired in full on unlabelled calibration
images and measured on the test split, which chooses nothing. Rows are written as they come to
results/cost_aware.jsonl, so that a run that was cut off goes on, and the table to
results/cost_aware.md.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

import workbench as wb
from workbench.allocation import ALLOCATIONS, Budget, LatencyTable, allocate
from workbench.arena import ArenaEntry, ArenaSettings, fitting_curves, sign_test
from workbench.arena.bench import Bench
from workbench.cost_trade_off import learn_trade_off
from workbench.evidence import Evidence
from workbench.groups import Groups, find_groups
from workbench.latency_table import fit_latency, measure_latency_table
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.sensitivity import sample_curves
from workbench.trials import TrialSettings

RESULTS = Path(__file__).parent / "results"
ROWS, TABLE = RESULTS / "cost_aware.jsonl", RESULTS / "cost_aware.md"
MODELS = ("fashion-resnet20", "fashion-mobilenet")
UNITS = ("latency", "macs")
CRITERIA = ("l1", "taylor")
KEPT = (0.25, 0.5)
BLIND, FOR_COST, LEARNT = "global", "cost_aware", "cost_aware learnt"
BY_SCORE = (BLIND, FOR_COST, LEARNT)
BY_LOSS = ("greedy", "optimal")
SAMPLES, REPAIR_SAMPLES, LEARNING_SAMPLES = 5_000, 500, 1_000
BATCH = 16
"""Enough images in a pass that the time of these small networks goes with their work."""
APART = 1.96
"""Standard deviations from which a difference is no noise, at 95 %."""
ALIKE = 0.05
"""Measured times, as parts of the dense one, that differ by more are not the same budget."""
KEY = ("model", "unit", "kept", "criterion", "rule", "samples", "repair_samples")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--units", nargs="*", default=UNITS, choices=UNITS)
    parser.add_argument("--criteria", nargs="*", default=CRITERIA)
    parser.add_argument("--kept", nargs="*", type=float, default=KEPT)
    parser.add_argument("--samples", type=int, default=SAMPLES, help="test images")
    parser.add_argument("--repair-samples", type=int, default=REPAIR_SAMPLES)
    parser.add_argument("--batch", type=int, default=BATCH, help="images in a pass that is timed")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "workbench-cost-aware",
        help="keeps the times of single groups on this machine",
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help="only write the table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in () if options.write else options.models:
        measure_model(name, options)
    TABLE.write_text(table(read_rows()), "utf-8")
    print(TABLE.read_text("utf-8"))


def measure_model(name: str, options: argparse.Namespace) -> None:
    """Every row of one sample that is not there yet."""
    data = wb.load_data(wb.load_model(name).data_name)
    model = wb.load_model(name).with_evidence(Evidence(lambda: data))
    case = Case(model, data, options)
    for unit in options.units:
        for kept in options.kept:
            for criterion, rule in contenders(options.criteria, case.has_curves):
                key = case.key(unit, kept, criterion, rule)
                if not any(all(row[k] == key[k] for k in KEY) for row in read_rows()):
                    keep(key | case.measured(unit, kept, criterion, rule))


def contenders(criteria: Iterable[str], curves: bool) -> list[tuple[str, str]]:
    """Criterion and rule of everybody; those by predicted loss rank inside groups by the first.

    These need the sensitivity curves that ship with some samples.
    """
    by_score = [(criterion, rule) for criterion in criteria for rule in BY_SCORE]
    first = next(iter(criteria))
    return [*by_score, *((first, rule) for rule in BY_LOSS if curves)]


class Case:
    """One sample, with what is measured of it once."""

    def __init__(self, model: Model, data: wb.Data, options: argparse.Namespace) -> None:
        self._model, self._data, self._options = model, data, options
        self._groups: Groups = find_groups(model, "channel")
        self._times: LatencyTable | None = None
        settings = ArenaSettings(granularity="channel")
        shipped = [one for one in sample_curves(model, "channel") if one.data == data.digest]
        self._curves = fitting_curves(shipped, settings)

    @property
    def has_curves(self) -> bool:
        """Whether sensitivity curves ship with the sample."""
        return self._curves is not None

    def key(self, unit: str, kept: float, criterion: str, rule: str) -> dict[str, Any]:
        """What names a row."""
        options = self._options
        return {
            "model": self._model.name, "unit": unit, "kept": kept, "criterion": criterion,
            "rule": rule, "samples": options.samples, "repair_samples": options.repair_samples,
        }  # fmt: skip

    def measured(self, unit: str, kept: float, criterion: str, rule: str) -> dict[str, Any]:
        """Plan, fit to the budget, repair and measure."""
        start = time.perf_counter()
        exponent, make = self._maker(unit, kept, criterion, rule)
        row: dict[str, Any] = {"trade_off": exponent}
        if unit == "latency":
            found = fit_latency(
                self._model, make, kept, groups=self._groups, table=self._latencies()
            )
            assert found is not None
            plan, times = found.plan, found.measured
            row |= {
                "achieved": found.achieved, "achieved_low": 1 / times.speedup_high,
                "achieved_high": 1 / times.speedup_low, "met": found.met,
                "dense_ms": times.dense.median_ms, "tries": found.tries,
                "batch": self._options.batch,
            }  # fmt: skip
        else:
            plan = make(kept)
        size = wb.size_of_plan(self._groups, plan)
        score = self._scored(plan, criterion)
        row |= {
            "macs_kept": size.macs / size.dense_macs,
            "params_kept": size.num_nonzero / size.num_params, "hits": score.hits,
            "accuracy": score.score.accuracy, "ci_low": score.score.ci_low,
            "ci_high": score.score.ci_high, "loss": score.score.loss,
            "sparsities": dict(plan.sparsities), "seconds": round(time.perf_counter() - start, 1),
        }  # fmt: skip
        print(f"{self._model.name} {unit}={kept:g} {criterion} {rule} exponent {exponent}: "
              f"{100 * row['accuracy']:.2f} % ({row['seconds']:.0f} s)", flush=True)  # fmt: skip
        return row

    def _maker(
        self, unit: str, kept: float, criterion: str, rule: str
    ) -> tuple[float | None, Callable[[float], PruningPlan]]:
        """The exponent of a rule, and what makes its plan for a part of the dense model's."""
        method = FOR_COST if rule == LEARNT else rule
        more: dict[str, Any] = {}
        if unit == "latency":
            more["latencies"] = self._latencies()
        if ALLOCATIONS[method].needs_curves:
            more["curves"] = self._curves

        def make(exponent: float, part: float) -> PruningPlan:
            return allocate(
                self._model, method, budget=Budget(unit, part), granularity="channel",
                criterion=criterion, groups=self._groups, trade_off=exponent, **more,
            )  # fmt: skip

        if method != FOR_COST:
            return None, partial(make, 1.0)
        if rule == FOR_COST:
            return 1.0, partial(make, 1.0)
        found = learn_trade_off(
            self._model, self._data, lambda exponent: make(exponent, kept), groups=self._groups,
            settings=TrialSettings("full", LEARNING_SAMPLES),
        )  # fmt: skip
        assert found is not None
        return found.trade_off, partial(make, found.trade_off)

    def _latencies(self) -> LatencyTable:
        """Measured times of the dense network and of every group's cut, once."""
        if self._times is None:
            kept = self._options.cache / f"{self._model.digest}-{self._options.batch}.json"
            if kept.exists():
                self._times = LatencyTable.from_dict(json.loads(kept.read_text("utf-8")))
                return self._times
            self._times = measure_latency_table(
                self._model, groups=self._groups, batch=self._options.batch
            )
            assert self._times is not None
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(self._times.to_dict()), "utf-8")
        return self._times

    def _scored(self, plan: PruningPlan, criterion: str) -> Any:
        options = self._options
        settings = ArenaSettings(
            granularity="channel", criterion=criterion, num_samples=options.samples,
            repair_samples=options.repair_samples,
        )  # fmt: skip
        bench = Bench(
            self._model, self._data, settings, self._groups, None, None, "test", "cpu",
            lambda: False,
        )  # fmt: skip
        return bench.measure(plan, lambda progress: None)


# Rows and table


def keep(row: Mapping[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    with ROWS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read_rows() -> list[dict[str, Any]]:
    if not ROWS.exists():
        return []
    return [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]


def table(rows: list[dict[str, Any]]) -> str:
    """One table in Markdown: everybody at each budget, beside the blind ranking."""
    samples = " or ".join(f"{n:,}" for n in sorted({row["samples"] for row in rows}))
    images = " or ".join(f"{n:,}" for n in sorted({row["repair_samples"] for row in rows}))
    batches = " or ".join(str(n) for n in sorted({row["batch"] for row in rows if "batch" in row}))
    batches = batches or str(BATCH)
    lines = [
        "# Scores for what a channel costs",
        "",
        f"Accuracy in percent with its 95 % interval on {samples} test images, after full repair "
        f"on {images} unlabelled calibration images, without any training. Written by "
        "`python -m tests.benchmarks.cost_aware` from the rows beside this file. Time is that of "
        "the whole network in ONNX Runtime on one thread, timed in turns with the dense one "
        f"({batches} images in a pass); its 95 % interval stands behind it. The exponent of the "
        f"costs is 1, or learnt on {LEARNING_SAMPLES:,} validation images after the same repair. "
        "The verdict comes from a sign test against the blind ranking of the same criterion "
        "at the same budget, on the images that only one of the two recognises, at 95 %; there is "
        f"none where the two measured times lie more than {100 * ALIKE:g} points apart, as they "
        "do on a busy machine.",
        "",
        "| sample | budget | criterion | rule | exponent | accuracy | time kept | MACs kept "
        "| parameters kept | against blind |",
        "| --- | --- | --- | --- | ---: | --- | --- | ---: | ---: | --- |",
    ]
    order = (*BY_SCORE, *BY_LOSS)
    place = {(row["model"], row["unit"], row["kept"], row["criterion"], row["rule"]): row
             for row in rows}  # fmt: skip
    for row in sorted(rows, key=lambda row: (
        row["model"], row["unit"], -row["kept"], row["rule"] in BY_LOSS, row["criterion"],
        order.index(row["rule"]),
    )):  # fmt: skip
        blind = place.get((row["model"], row["unit"], row["kept"], row["criterion"], BLIND))
        lines.append(line_of(row, blind))
    return "\n".join(lines) + "\n"


def line_of(row: Mapping[str, Any], blind: Mapping[str, Any] | None) -> str:
    by_loss = row["rule"] in BY_LOSS
    timed = row["unit"] == "latency"
    span = (f"{100 * row['achieved']:.1f} ({100 * row['achieved_low']:.1f} to "
            f"{100 * row['achieved_high']:.1f}) %") if timed else ""  # fmt: skip
    if timed and not row["met"]:
        span += ", missed"
    cells = [
        row["model"], f"{row['unit']}={row['kept']:g}",
        f"{row['criterion']} inside groups" if by_loss else row["criterion"], row["rule"],
        "" if row["trade_off"] is None else f"{row['trade_off']:g}",
        f"{100 * row['accuracy']:.2f} ({100 * row['ci_low']:.2f} to {100 * row['ci_high']:.2f})",
        span, f"{100 * row['macs_kept']:.1f} %", f"{100 * row['params_kept']:.1f} %",
        verdict(row, blind),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def verdict(row: Mapping[str, Any], blind: Mapping[str, Any] | None) -> str:
    """Better, worse or a tie with the blind ranking, by a sign test."""
    if blind is None or row["rule"] == BLIND:
        return ""
    entries = [ArenaEntry(one["rule"], 1 / one["kept"], hits=one["hits"]) for one in (row, blind)]
    gained = 100 * (row["accuracy"] - blind["accuracy"])
    if row["unit"] == "latency" and abs(row["achieved"] - blind["achieved"]) > ALIKE:
        return f"not at equal time ({gained:+.2f})"
    if sign_test(*entries) < APART:
        return f"tie ({gained:+.2f})"
    return f"{'better' if gained > 0 else 'worse'} ({gained:+.2f})"


if __name__ == "__main__":
    main()
