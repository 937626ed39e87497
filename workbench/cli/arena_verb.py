"""The verb ``arena``."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from workbench.allocation import ALLOCATIONS
from workbench.arena import (
    OWN,
    REFINED,
    Arena,
    ArenaEntry,
    ArenaSettings,
    fitting_curves,
    run_arena,
)
from workbench.cli.output import percent, table
from workbench.cli.progress import ProgressLine
from workbench.cli.verbs import Outcome, describe, open_data, open_model
from workbench.curve_cache import JsonLinesCache
from workbench.curves import SensitivityCurves
from workbench.data import Data
from workbench.device import choose_device
from workbench.finetune_settings import FineTuneSettings
from workbench.freezing import hold_frozen
from workbench.groups import find_groups
from workbench.latency_table import measure_latency_table
from workbench.model import Model
from workbench.plan_file import read_plan
from workbench.sensitivity import sample_curves

UNIT_TITLES = {
    "params": "non-zero parameters", "macs": "MACs (theoretical)", "bytes": "stored bytes",
    "latency": "measured latency",
}  # fmt: skip


def arena(arguments: Namespace) -> Outcome:
    """Let allocations and a plan compete at the same budgets, on validation images."""
    settings = _settings(arguments)
    device = choose_device(arguments.device)
    model = open_model(arguments)
    groups = find_groups(model, settings.granularity)
    settings = replace(settings, locked=hold_frozen(groups, arguments.freeze, settings.locked))
    data = open_data(arguments, model)
    cache = JsonLinesCache(Path(arguments.cache)) if arguments.cache else None
    with ProgressLine() as line:
        latencies = None
        if settings.unit == "latency":
            line.start(f"Timing the groups of {model.name}")
            latencies = measure_latency_table(model, groups=groups, report=line)
        line.start(f"Comparing allocations of {model.name}")
        found = run_arena(
            model, data, settings, _curves_at_hand(model, data, settings), groups=groups,
            latencies=latencies, cache=cache, curve_cache=cache, device=device, report=line,
        )  # fmt: skip
    values = describe(model, data) | {
        key: value for key, value in found.to_dict().items() if key not in ("model", "data")
    }
    best = {f"{factor:g}": _best(found, factor) for factor in found.factors}
    return values | {"best": best}, arena_text(found)


def _settings(arguments: Namespace) -> ArenaSettings:
    trains = arguments.finetune_epochs > 0
    seed = arguments.seed or 0
    return ArenaSettings(
        granularity=arguments.granularity, criterion=arguments.criterion,
        channel_multiple=arguments.channel_multiple, seed=seed, unit=arguments.unit,
        factors=arguments.factors, methods=arguments.methods or (), repair=arguments.repair,
        repair_samples=arguments.repair_samples,
        finetune=FineTuneSettings(epochs=arguments.finetune_epochs, seed=seed) if trains else None,
        num_samples=arguments.samples,
        own=read_plan(Path(arguments.plan)) if arguments.plan else None, timed=arguments.time,
        refine=arguments.refine,
    )  # fmt: skip


def _curves_at_hand(model: Model, data: Data, settings: ArenaSettings) -> SensitivityCurves | None:
    shipped = sample_curves(model, settings.granularity)
    return fitting_curves([curves for curves in shipped if curves.data == data.digest], settings)


def _best(found: Arena, factor: float) -> dict[str, object]:
    best = found.best(factor)
    return {"method": best.method if best else None, "ties": list(found.ties(factor))}


def arena_text(found: Arena) -> str:
    """A row for each method, a column for each budget; the best marked, and what ties with it."""
    rows = [
        [_title(method), *(_cell(found, found.entry(method, f)) for f in found.factors)]
        for method in found.methods
    ]
    heads = ["accuracy, %", *(f"{factor:.4g}x" for factor in found.factors)]
    settings = found.settings
    marks = "* best at this budget, ~ compared image by image not to be told from it (95 %)"
    lines = [table(heads, rows), "", marks]
    if found.dense is not None:
        lines.append(
            f"Dense: {percent(found.dense.accuracy)} of {found.dense.samples:,} {found.split} "
            f"images. Budgets in {UNIT_TITLES[settings.unit]}; repair {settings.repair!r}"
            + (f", then {settings.finetune.epochs} epochs." if settings.finetune else ".")
        )
    reasons = dict.fromkeys(
        f"{_title(e.method)} at {e.factor:.4g}x: {e.reason}" for e in found.entries if e.reason
    )
    return "\n".join([*lines, *reasons])


def _title(method: str) -> str:
    titles = {OWN: "your plan", REFINED: "Optimal, refined"}
    return titles.get(method) or ALLOCATIONS[method].title


def _cell(found: Arena, entry: ArenaEntry | None) -> str:
    if entry is None or entry.score is None:
        return "-"
    mark = "*" if entry is found.best(entry.factor) else ""
    mark = mark or ("~" if entry.method in found.ties(entry.factor) else " ")
    return f"{100 * entry.score.accuracy:.2f}{mark}"
