"""Running an arena: curves where they are needed, then the plans, then every measurement."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from workbench.accounting import size_of_plan
from workbench.allocation import LatencyTable
from workbench.arena.bench import PARTS, Bench, Measured
from workbench.arena.contenders import Contender, contenders, methods_of, needs_curves
from workbench.arena.settings import REFINED, ArenaSettings
from workbench.arena.values import Arena, ArenaEntry
from workbench.cost_trade_off import LEARNT, TRADE_OFFS
from workbench.curve_cache import PointCache
from workbench.curves import SensitivityCurves, SensitivitySettings
from workbench.data import Data, SplitName
from workbench.groups import Groups, find_groups
from workbench.metrics import Score
from workbench.model import Model, with_data
from workbench.plan import PruningPlan, digest_of_json
from workbench.progress import (
    Progress,
    Report,
    ShouldStop,
    StoppedError,
    ignore,
    never,
    raise_if_stopped,
)
from workbench.refine import RIVALS
from workbench.repair import has_batch_norm
from workbench.sensitivity import measure_sensitivity

CURVE_SAMPLES = 2_000
"""Images behind a point; after a repair the curves are so flat that few images drown them."""
HALF_WIDTH = 0.005
LEVELS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
CHANNEL_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
AFFORDABLE_MACS = 1e9
"""Curves are measured after a full repair where points times MACs are at most that."""


def run_arena(
    model: Model, data: Data, settings: ArenaSettings, curves: SensitivityCurves | None = None, *,
    latencies: LatencyTable | None = None, split: SplitName = "validation",
    groups: Groups | None = None,
    cache: PointCache | None = None, curve_cache: PointCache | None = None,
    device: torch.device | str = "cpu", report: Report = ignore, should_stop: ShouldStop = never,
) -> Arena:  # fmt: skip
    """Let every allocation and the person's plan compete at the same budgets.

    Everybody is pruned, repaired, trained where asked and then measured on the same images. A
    budget that cannot be met is an entry with its reason. What the cache holds is not measured
    again, and plans that come out the same are measured once.

    Args:
        model: The dense model; it stays as it is.
        data: Repaired on its calibration split, measured on ``split``.
        settings: Who competes, at which budgets.
        curves: For the allocations that go by them; None measures them first where one does.
        latencies: Measured times of the model, for budgets in latency.
        split: ``validation`` for choices; ``test`` for final numbers that choose nothing.
        groups: What ``find_groups(model, settings.granularity)`` returned.
        cache: Remembers measured plans over runs; None remembers nothing.
        curve_cache: The same for points of the curves.
        device: Where to run.
        report: Hears of every step; ``values`` brings each ``entry`` as it comes, and the score
            of the ``dense`` model.
        should_stop: True ends with the entries so far, within about a second.

    Raises:
        DataError: If the data do not fit the model.
        SettingsError: If budgets are in latency and there are no times.
        PlanError: If no group can be pruned, or the person's plan does not fit the model.
        StorageError: If a cache cannot be read or written.
    """
    model = with_data(model, data, should_stop)
    groups = groups or find_groups(model, settings.granularity)
    groups.require_prunable()
    if curves is None and needs_curves(settings):
        curves = measure_arena_curves(
            model, data, settings, groups=groups, cache=curve_cache, device=device,
            report=report, should_stop=should_stop,
        )  # fmt: skip
    bench = Bench(model, data, settings, groups, curves, latencies, split, device, should_stop)
    by_curves = ""
    if curves is not None and needs_curves(settings):
        by_curves = digest_of_json(curves.to_dict()["points"])
    memory = _Memory(cache, bench.key, _refining_key(settings, by_curves))
    work = _Run(bench, memory, report, should_stop)
    with suppress(StoppedError):
        everybody = _planned(model, groups, settings, curves, latencies, report, should_stop)
        work.run(everybody, settings.refine)
    return Arena(
        settings, model.digest, data.digest, split, work.dense, work.entries, by_curves,
        work.complete,
    )  # fmt: skip


def measure_arena_curves(
    model: Model, data: Data, settings: ArenaSettings, *, groups: Groups | None = None,
    cache: PointCache | None = None, device: torch.device | str = "cpu",
    report: Report = ignore, should_stop: ShouldStop = never,
) -> SensitivityCurves:  # fmt: skip
    """Measure the sensitivity curves that an arena needs; arguments as for ``run_arena``."""
    groups = groups or find_groups(model, settings.granularity)

    def retold(progress: Progress) -> None:
        words = f"Sensitivity first: {progress.message}"
        report(Progress(progress.done, progress.total, words, {}))

    return measure_sensitivity(
        model, data, curve_settings(model, settings, groups), cache=cache, device=device,
        report=retold, should_stop=should_stop,
    )  # fmt: skip


def curve_settings(model: Model, settings: ArenaSettings, groups: Groups) -> SensitivitySettings:
    """How an arena measures curves: after its own repair where that does not take too long."""
    structured = groups.granularity.structured
    levels = CHANNEL_LEVELS if structured else LEVELS
    places = len(groups.prunable) * len(levels)
    way = settings.repair
    if way == "full" and places * groups.inspection.macs > AFFORDABLE_MACS:
        way = "bn"
    if way == "bn" and not has_batch_norm(model.module):
        way = "none"
    return SensitivitySettings(
        levels=levels, num_samples=CURVE_SAMPLES, criterion=settings.criterion, repair=way,
        granularity=settings.granularity, seed=settings.seed,
        precision="exact" if way == "full" else "fast", half_width=HALF_WIDTH,
    )  # fmt: skip


def fitting_curves(
    candidates: Iterable[SensitivityCurves], settings: ArenaSettings
) -> SensitivityCurves | None:  # fmt: skip
    """The curves at hand that tell most about an arena; None where none do.

    Only whole curves of the same granularity and criterion count. Those after the arena's repair
    come first, then those after any other, then those without; of equals the first.

    Args:
        candidates: Curves of the model on the data.
        settings: Of the arena.
    """
    wanted = (settings.granularity, settings.criterion)
    fitting = [
        curves
        for curves in candidates
        if curves.complete and (curves.settings.granularity, curves.settings.criterion) == wanted
    ]
    order = {settings.repair: 0, "none": 2}
    fitting.sort(key=lambda curves: order.get(curves.settings.repair, 1))
    return fitting[0] if fitting else None


def _planned(
    model: Model, groups: Groups, settings: ArenaSettings, curves: SensitivityCurves | None,
    latencies: LatencyTable | None, report: Report, should_stop: ShouldStop,
) -> tuple[Contender, ...]:  # fmt: skip
    """Every plan; ``StoppedError`` where stopped."""
    total = len(methods_of(settings)) * len(settings.factors)
    found: list[Contender] = []
    for contender in contenders(model, groups, settings, curves, latencies):
        raise_if_stopped(should_stop)
        found.append(contender)
        report(Progress(min(len(found), total), total, "Making the plans"))
    return tuple(found)


class _Memory:
    """What was measured before under the same conditions."""

    def __init__(self, cache: PointCache | None, key: str, refining: str) -> None:
        self._cache, self._key, self._refining = cache, key, refining
        self._held: dict[str, Mapping[str, Any]] = {}
        for line in cache.load(key) if cache else []:
            if "plan" in line:
                self._held[str(line["plan"])] = line

    def recall(self, name: str) -> Measured | None:
        """What was measured of a plan, or None."""
        line = self._held.get(name)
        if line is None:
            return None
        try:
            return Measured(Score.from_dict(line["score"]), str(line["hits"]),
                            float(line["seconds"]), line["latency"])  # fmt: skip
        except (KeyError, TypeError):
            return None  # written by another version

    def recall_refined(self, name: str) -> PruningPlan | None:
        """What refining made of a plan, or None."""
        line = self._held.get(f"{self._refining}/{name}")
        return None if line is None else PruningPlan.from_dict(line["refined"])

    def keep_refined(self, name: str, plan: PruningPlan) -> None:
        """Remember it."""
        self._write({"plan": f"{self._refining}/{name}", "refined": plan.to_dict()})

    def keep(self, name: str, measured: Measured) -> None:
        """Remember it."""
        self._write({"plan": name} | vars(measured) | {"score": measured.score.to_dict()})

    def _write(self, line: dict[str, Any]) -> None:
        self._held[str(line["plan"])] = line
        if self._cache:
            self._cache.append(self._key, line)


class _Run:
    """One entry after the other: first what is known already, then what is to be measured."""

    def __init__(
        self, bench: Bench, memory: _Memory, report: Report, should_stop: ShouldStop
    ) -> None:  # fmt: skip
        self._bench, self._memory = bench, memory
        self._report, self._should_stop = report, should_stop
        self._entries: dict[tuple[float, str], ArenaEntry] = {}
        self._order: list[tuple[float, str]] = []
        self._done, self._total = 0, 0
        self.dense: Score | None = None

    @property
    def entries(self) -> tuple[ArenaEntry, ...]:
        """What there is, in the order of the contenders."""
        return tuple(self._entries[place] for place in self._order if place in self._entries)

    @property
    def complete(self) -> bool:
        """Whether everybody has an entry."""
        return self.dense is not None and len(self.entries) == len(self._order)

    def run(self, everybody: tuple[Contender, ...], refining: int) -> None:
        """Measure all whose plan is there.

        Args:
            everybody: In the order of the result.
            refining: Plans that refining one measures.
        """
        self._order = [(one.factor, one.method) for one in everybody]
        learns = [one for one in everybody if one.method == LEARNT and one.plan]
        self._total = PARTS * len(TRADE_OFFS) * len(learns)
        everybody = tuple(self._learnt(one) if one in learns else one for one in everybody)
        ready = [one for one in everybody if one.method != REFINED]
        to_refine = [one for one in everybody if one.method == REFINED]
        self._count(ready, to_refine, refining)
        self._measure_dense()
        self._measure_all(ready)
        for one in to_refine:
            plans = {other.method: other.plan for other in ready if other.factor == one.factor}
            rivals = [plan for name in RIVALS if (plan := plans.get(name)) is not None]
            self._measure_all([self._refined(one, rivals, refining)])

    def _count(
        self, ready: list[Contender], to_refine: list[Contender], refining: int
    ) -> None:  # fmt: skip
        """How much there is to do: what is not remembered."""
        names = {"", *(_essence(one.plan) for one in ready if one.plan)}
        unknown = [name for name in names if self._memory.recall(name) is None]
        starts = [one for one in to_refine if one.plan]
        self._total = self._done + PARTS * (len(unknown) + (1 + refining) * len(starts))

    def _measure_all(self, contenders: list[Contender]) -> None:
        """Those that are known first; plans that are the same once."""
        by_plan: dict[str, list[Contender]] = {}
        for one in contenders:
            if one.plan is None:
                self._add(_entry(one, None))
            else:
                by_plan.setdefault(_essence(one.plan), []).append(one)
        for name in sorted(by_plan, key=lambda name: self._memory.recall(name) is None):
            same = by_plan[name]
            plan = same[0].plan
            if plan is None or self._should_stop():
                continue
            measured = self._known(name, _title(same), partial(self._bench.measure, plan))
            if measured is not None:
                for one in same:
                    self._add(_entry(one, measured))

    def _refined(
        self, one: Contender, rivals: list[PruningPlan], refining: int
    ) -> Contender:  # fmt: skip
        """The same with the refined plan; as it is where there is none, or where stopped."""
        if one.plan is None or self._should_stop():
            return one
        name = digest_of_json([_essence(plan) for plan in (one.plan, *rivals)])
        plan = self._memory.recall_refined(name)
        if plan is None:
            part = self._part(f"Refining the plan at {one.factor:.4g}x", refining)
            plan = self._bench.refine(one.plan, rivals, part)
            self._done += refining * PARTS
            if plan is None:
                return one
            self._memory.keep_refined(name, plan)
        return replace(one, plan=plan, size=size_of_plan(self._bench.groups, plan))

    def _learnt(self, one: Contender) -> Contender:
        """The same with the plan of the best trade-off; as it is where stopped."""
        if one.plan is None or self._should_stop():
            return one
        name = digest_of_json([LEARNT, *TRADE_OFFS, _essence(one.plan)])
        plan = self._memory.recall_refined(name)
        weight = len(TRADE_OFFS)
        if plan is None:
            part = self._part(f"Learning the trade-off at {one.factor:.4g}x", weight)
            plan = self._bench.learn(one.factor, part)
            if plan is None:
                return one
            self._memory.keep_refined(name, plan)
        self._done += weight * PARTS
        return replace(one, plan=plan, size=size_of_plan(self._bench.groups, plan))

    def _measure_dense(self) -> None:
        found = self._known("", "Dense model", self._bench.measure_dense)
        if found is not None:
            self.dense = found.score
            self._tell("Dense model", {"dense": found.score.to_dict()})

    def _known(
        self, name: str, title: str, work: Callable[[Report], Measured | None]
    ) -> Measured | None:  # fmt: skip
        """What is remembered, or else measured now and remembered."""
        held = self._memory.recall(name)
        if held is not None:
            return held
        measured = work(self._part(title))
        if measured is not None:
            self._memory.keep(name, measured)
        self._done = min(self._total, self._done + PARTS)
        return measured

    def _part(self, title: str, weight: int = 1) -> Report:
        """The report of the next part of the work."""
        base, parts = self._done, weight * PARTS

        def part(progress: Progress) -> None:
            share = progress.done / progress.total if progress.total else 0.0
            words = f"{title}: {progress.message}" if progress.message else title
            done = min(self._total, base + int(parts * min(1.0, share)))
            self._report(Progress(done, self._total, words))

        return part

    def _add(self, entry: ArenaEntry) -> None:
        self._entries[entry.factor, entry.method] = entry
        self._tell(f"{entry.method} at {entry.factor:.4g}x", {"entry": entry.to_dict()})

    def _tell(self, message: str, values: Mapping[str, object]) -> None:
        self._report(Progress(self._done, self._total, message, values))


def _refining_key(settings: ArenaSettings, curves: str) -> str:
    """Names all that decides what refining makes of a plan."""
    asked = settings.to_dict()
    return digest_of_json([curves, *(asked[k] for k in ("unit", "refine", "locked", "bounds"))])


def _entry(one: Contender, measured: Measured | None) -> ArenaEntry:
    entry = ArenaEntry(
        one.method, one.factor, one.plan, one.size, scaled=one.scaled, reason=one.reason
    )
    if measured is None:
        return entry
    return replace(entry, **vars(measured))


def _title(same: list[Contender]) -> str:
    names = ", ".join(dict.fromkeys(one.method for one in same))
    return f"{names} at {same[0].factor:.4g}x"


def _essence(plan: PruningPlan) -> str:
    """Names what a plan prunes, whoever made it."""
    values = plan.to_dict()
    del values["allocation"], values["model"]
    return digest_of_json(
        values | {"sparsities": {name: s for name, s in plan.sparsities.items() if s}}
    )
