"""Plans that a worker process finds by measuring: above a floor, refined, within a latency, learnt.

What is asked of all of them is the same: ``model`` and ``data`` (references), ``plan`` (what stands
on the bench: its granularity, rounding, criterion, seed and locked values count), ``method`` (an
allocation), ``unit`` (of a budget), ``curves`` (key of curves, or empty), ``protected``, ``locked``
(names of groups), ``bounds`` (group to least and most sparsity), ``trade_off`` (how much costs
count, for the allocation that weighs by them; 1 if missing), ``repair`` and ``device``.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from workbench.allocation import Budget, LatencyTable, allocate
from workbench.cost_trade_off import learn_trade_off
from workbench.curves import SensitivityCurves
from workbench.data import Data
from workbench.device import choose_device
from workbench.errors import PlanError
from workbench.floor import smallest_above_floor
from workbench.groups import Groups, find_groups
from workbench.latency_table import LatencyFit, fit_latency, measure_latency_table
from workbench.model import Model
from workbench.plan import PruningPlan, digest_of_json
from workbench.progress import Report, ShouldStop, StoppedError
from workbench.refine import refine as refine_plan
from workbench.reopen import reopen_data, reopen_model
from workbench.sensitivity import sample_curves
from workbench.store import DataRef, ModelRef, Store
from workbench.trials import TrialSettings

Arguments = Mapping[str, Any]
FOUND = "found_plans"
"""Setting of the workspace that holds the last plan found in each way, with how it was found."""
LATENCY_TABLES = "latency_tables"
"""Setting of the workspace that holds measured times by the model's digest."""
_MOST_TABLES = 8


def floor(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Find the smallest model above a floor, and keep it with all that was tried.

    Args:
        store: Keeps what was found among the workspace's settings, as ``found_plans``.
        workspace_id: Gets it.
        arguments: What the module says, and ``floor`` (accuracy), ``num_samples``.
        report: Hears of every trial.
        should_stop: Ends with the smallest so far.

    Returns:
        ``found``: whether there is a plan.
    """
    asked = _Asked(store, arguments, should_stop)
    search = smallest_above_floor(
        asked.model, asked.data, asked.allocate, float(arguments["floor"]), groups=asked.groups,
        unit=arguments["unit"], settings=asked.trials, device=asked.device, report=report,
        should_stop=should_stop,
    )  # fmt: skip
    best = search.best
    if best is None:  # stopped before even the dense model was measured
        return {"found": False}
    asked.keep(workspace_id, "floor", best.plan, search.to_dict())
    return {"found": True}


def refine(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Refine the plan on the bench by measured moves, and keep the outcome.

    Args:
        store: Keeps what was found among the workspace's settings, as ``found_plans``.
        workspace_id: Gets it.
        arguments: What the module says, and ``evaluations``, ``num_samples``.
        report: Hears of every move.
        should_stop: Ends with what was gained so far.

    Returns:
        ``found``: whether the plan became better.

    Raises:
        PlanError: If there are no curves.
    """
    asked = _Asked(store, arguments, should_stop)
    if asked.curves is None:
        raise PlanError(
            "Refining needs to know what cutting each group costs.", "Measure the sensitivity."
        )
    try:
        found = refine_plan(
            asked.model, asked.data, asked.plan, asked.curves, arguments["unit"],
            groups=asked.groups, evaluations=int(arguments["evaluations"]), settings=asked.trials,
            bounds=asked.bounds, locked=asked.locked, device=asked.device, report=report,
            should_stop=should_stop,
        )  # fmt: skip
    except StoppedError:
        return {"found": False}
    asked.keep(workspace_id, "refine", found.plan, found.to_dict())
    return {"found": found.plan != asked.plan}


def latency_table(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Time the model with every group cut, and keep the times.

    Args:
        store: Keeps them among the workspace's settings, as ``latency_tables``.
        workspace_id: Gets them.
        arguments: ``model`` (reference), perhaps ``batch``, ``threads``, ``runtime``.
        report: Hears of every turn.
        should_stop: Ends early; then nothing is kept.

    Returns:
        ``complete``: whether there are times.
    """
    model = reopen_model(ModelRef.from_dict(arguments["model"]), store, should_stop=should_stop)
    how = {name: arguments[name] for name in ("batch", "threads", "runtime") if name in arguments}
    found = measure_latency_table(model, **how, report=report, should_stop=should_stop)
    if found is None:
        return {"complete": False}
    kept = _setting(store, workspace_id, LATENCY_TABLES)
    others = [(digest, table) for digest, table in kept.items() if digest != model.digest]
    newest = [*others, (model.digest, found.to_dict())][-_MOST_TABLES:]
    store.save_settings(workspace_id, {LATENCY_TABLES: dict(newest)})
    return {"complete": True}


def latency_fit(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Time a plan made for a latency, correct it until the budget is met, and keep the outcome.

    Args:
        store: Keeps what was found among the workspace's settings, as ``found_plans``.
        workspace_id: Holds the times, and gets the outcome.
        arguments: What the module says, and ``kept`` (part of the dense model's time).
        report: Hears of every step.
        should_stop: Ends with the best plan so far.

    Returns:
        ``found``: whether anything was timed.

    Raises:
        PlanError: If there are no times, or so little time is out of reach.
    """
    asked = _Asked(store, arguments, should_stop)
    found = _timed(asked, _times(asked, store, workspace_id), report, should_stop)
    if found is not None:
        asked.keep(workspace_id, "latency_fit", found.plan, found.to_dict())
    return {"found": found is not None}


def trade_off(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Learn how much costs should count at a budget, and keep the best plan and what was tried.

    With a budget in latency the plan is then timed, and corrected until the budget is met.

    Args:
        store: Keeps what was found among the workspace's settings, as ``found_plans``.
        workspace_id: Holds the times, for a latency, and gets the outcome.
        arguments: What the module says, and ``kept`` (part of the dense model's), ``num_samples``.
        report: Hears of every trial.
        should_stop: Ends with the best plan so far.

    Returns:
        ``found``: whether anything was measured.

    Raises:
        PlanError: If there are no times, or the budget is out of reach.
    """
    asked = _Asked(store, arguments, should_stop)
    if arguments["unit"] == "latency":
        asked.latencies = _times(asked, store, workspace_id)
    budget = Budget(arguments["unit"], float(arguments["kept"]))

    def make(exponent: float) -> PruningPlan:
        asked.trade_off = exponent
        return asked.allocate(budget)

    found = learn_trade_off(
        asked.model, asked.data, make, groups=asked.groups, settings=asked.trials,
        device=asked.device, report=report, should_stop=should_stop,
    )  # fmt: skip
    if found is None:
        return {"found": False}
    plan, told = found.plan, found.to_dict()
    asked.trade_off = found.trade_off
    if asked.latencies is not None and not should_stop():
        fit = _timed(asked, asked.latencies, report, should_stop)
        if fit is not None:
            plan, told = fit.plan, told | {"latency": fit.to_dict()}
    asked.keep(workspace_id, "trade_off", plan, told)
    return {"found": True}


def _times(asked: "_Asked", store: Store, workspace_id: str) -> LatencyTable:
    table = _setting(store, workspace_id, LATENCY_TABLES).get(asked.model.digest)
    if table is None:
        raise PlanError("The times of this model are not there.", "Measure them first.")
    return LatencyTable.from_dict(table)


def _timed(
    asked: "_Asked", table: LatencyTable, report: Report, should_stop: ShouldStop
) -> LatencyFit | None:  # fmt: skip
    """The plan whose measured time meets what was asked, or comes nearest."""
    asked.latencies = table
    return fit_latency(
        asked.model, lambda kept: asked.allocate(Budget("latency", kept)), asked.kept,
        groups=asked.groups, table=table, report=report, should_stop=should_stop,
    )  # fmt: skip


class _Asked:
    """What every search is asked, opened as it is needed.

    Args:
        store: Keeps models, data and curves.
        arguments: See the module.
        should_stop: Ends what criteria look at in images.
    """

    def __init__(self, store: Store, arguments: Arguments, should_stop: ShouldStop) -> None:
        self._should_stop = should_stop
        self._store, self._arguments = store, arguments
        self.plan = PruningPlan.from_dict(arguments["plan"])
        self.device = choose_device(arguments.get("device"))
        self.bounds = {name: (low, high) for name, (low, high) in arguments["bounds"].items()}
        self.locked = {name: self.plan.sparsities.get(name, 0.0) for name in arguments["locked"]}
        self.trade_off = float(arguments.get("trade_off", 1.0))
        self.latencies: LatencyTable | None = None

    @property
    def kept(self) -> float:
        """Part of the dense model's that the budget leaves."""
        return float(self._arguments["kept"])

    @cached_property
    def model(self) -> Model:
        """The dense model."""
        return reopen_model(
            ModelRef.from_dict(self._arguments["model"]),
            self._store,
            DataRef.from_dict(self._arguments["data"]),
            should_stop=self._should_stop,
        )

    @cached_property
    def data(self) -> Data:
        """What plans are measured on."""
        return reopen_data(
            DataRef.from_dict(self._arguments["data"]), self._store, self._should_stop
        )

    @cached_property
    def groups(self) -> Groups:
        """What can be cut."""
        return find_groups(self.model, self.plan.granularity)

    @cached_property
    def curves(self) -> SensitivityCurves | None:
        """The curves that the request names: measured in the workspace, or shipped."""
        key = str(self._arguments.get("curves", ""))
        kept = self._store.load_curves(key) if key else None
        if kept is not None:
            return SensitivityCurves.from_dict(kept)
        shipped = sample_curves(self.model, self.plan.granularity) if key else []
        return next((curves for curves in shipped if key_of_curves(curves) == key), None)

    @cached_property
    def trials(self) -> TrialSettings:
        """Repair and number of images."""
        return TrialSettings(
            str(self._arguments["repair"]), int(self._arguments["num_samples"]), self.plan.seed
        )

    def allocate(self, budget: Budget) -> PruningPlan:
        """The plan for a budget."""
        plan = self.plan
        return allocate(
            self.model, self._arguments["method"], budget=budget, granularity=plan.granularity,
            channel_multiple=plan.channel_multiple, criterion=plan.criterion, seed=plan.seed,
            protected=tuple(self._arguments["protected"]), groups=self.groups, curves=self.curves,
            bounds=self.bounds, locked=self.locked, latencies=self.latencies,
            trade_off=self.trade_off,
        )  # fmt: skip

    def keep(
        self, workspace_id: str, way: str, plan: PruningPlan | None, told: Mapping[str, object]
    ) -> None:
        """Keep what was found in one way; the last of its kind goes."""
        found = {
            "before": self.plan.to_dict(), "plan": plan and plan.to_dict(), "told": dict(told),
            "unit": self._arguments["unit"], "repair": self._arguments.get("repair", ""),
            "taken": False,
        }  # fmt: skip
        kept = _setting(self._store, workspace_id, FOUND)
        self._store.save_settings(workspace_id, {FOUND: {**kept, way: found}})


def key_of_curves(curves: SensitivityCurves) -> str:
    """The name under which the store keeps curves."""
    settings = curves.settings.to_dict()
    return digest_of_json({"model": curves.model, "data": curves.data, "settings": settings})


def _setting(store: Store, workspace_id: str, name: str) -> Mapping[str, Any]:
    workspace = store.open_workspace(workspace_id)
    found: Any = workspace.settings.get(name) if workspace else None
    return found or {}
