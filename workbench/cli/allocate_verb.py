"""The verb ``allocate``, and the plan that ``prune --method`` asks for."""

from argparse import Namespace
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from workbench.accounting import size_of_plan
from workbench.allocation import Budget, LatencyTable, get_allocation, parse_budget
from workbench.allocation import allocate as spread
from workbench.allocation.prices import Prices, price_plan
from workbench.cli.allocation_options import LEARN
from workbench.cli.choices import BUDGETS, check_choice
from workbench.cli.curve_files import read_curves
from workbench.cli.group_tables import cuts, cuts_comment
from workbench.cli.output import percent
from workbench.cli.progress import ProgressLine
from workbench.cli.verbs import Outcome, describe, open_data, open_model
from workbench.cost_trade_off import LEARNT, LearntTradeOff, learn_trade_off
from workbench.curves import SensitivityCurves, SensitivitySettings
from workbench.data import Data
from workbench.device import choose_device
from workbench.errors import PlanError, SettingsError
from workbench.floor import FloorSearch, smallest_above_floor
from workbench.freezing import hold_frozen
from workbench.groups import Groups, find_groups
from workbench.latency_table import LatencyFit, fit_latency, measure_latency_table
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.plan_file import format_plan, write_plan
from workbench.prediction import Prediction, fit_predictor
from workbench.refine import REFINABLE, RIVALS, Refined, refine
from workbench.sensitivity import measure_sensitivity, sample_curves
from workbench.trials import TrialSettings


@dataclass(frozen=True)
class Made:
    """A plan and how it came about.

    Attributes:
        plan: The plan.
        curves: What the method knew, or None.
        source: Where the curves came from.
        fit: What a budget in latency came to.
        search: What a floor came to.
        refined: What measured exchanges came to.
        learnt: What was learnt of how much costs should count.
        prices: What the groups pay for the budget's unit, by group; None without curves.
    """

    plan: PruningPlan
    curves: SensitivityCurves | None = None
    source: str = ""
    fit: LatencyFit | None = None
    search: FloorSearch | None = None
    refined: Refined | None = None
    prediction: Prediction | None = field(default=None)
    learnt: LearntTradeOff | None = None
    prices: Prices | None = None

    def to_dict(self) -> dict[str, object]:
        """What stands beside the plan in JSON."""
        values: dict[str, object] = {}
        if self.curves is not None:
            settings = self.curves.settings
            values["curves"] = {
                "source": self.source, "criterion": settings.criterion,
                "repair": settings.repair, "samples": settings.num_samples,
                "precision": settings.precision,
            }  # fmt: skip
        for name, part in (
            ("latency", self.fit), ("floor", self.search), ("refined", self.refined),
            ("trade_off", self.learnt), ("prices", self.prices),
        ):  # fmt: skip
            if part is not None:
                values[name] = part.to_dict()
        return values


def allocate(arguments: Namespace) -> Outcome:
    """Turn a target, or a floor, into a plan."""
    check_target(arguments)
    model = open_model(arguments)
    groups = find_groups(model, arguments.granularity or "weight")
    made = make_plan(arguments, model, groups)
    if arguments.out:
        write_plan(made.plan, arguments.out)
    data = open_data(arguments, model) if arguments.data else None
    size = size_of_plan(groups, made.plan)
    budget = parse_budget(arguments.budget) if arguments.budget else None
    values = describe(model, data) | {
        "plan": made.plan.to_dict(),
        "predicted": size.to_dict() | (made.prediction.to_dict() if made.prediction else {}),
        "groups": cuts(groups, made.plan),
        "method": arguments.method,
        "budget": budget and {"unit": budget.unit, "kept": budget.kept},
        "achieved": {
            "params": size.num_nonzero / max(1, size.num_params),
            "macs": size.macs / max(1, size.dense_macs),
            "bytes": size.bytes / max(1, size.dense_bytes),
            **({"latency": made.fit.achieved} if made.fit else {}),
        },
        **made.to_dict(),
    }  # fmt: skip
    comment = (
        f"# {model.name}: keeps {size.num_nonzero:,} of {size.num_params:,} parameters, "
        f"{size.macs:,} of {size.dense_macs:,} MACs, "
        f"{size.bytes:,} of {size.dense_bytes:,} bytes\n"
    )
    lines = "".join(f"# {line}\n" for line in _told(made))
    plan = format_plan(made.plan).rstrip()
    return values, comment + lines + cuts_comment(groups, made.plan) + plan


def check_target(arguments: Namespace) -> None:
    """Refuse a floor beside a target, and units that are none.

    Raises:
        SettingsError: If so.
    """
    if arguments.budget:
        check_choice("budget", arguments.budget.partition("=")[0].strip(), BUDGETS)
    if arguments.floor is not None and (arguments.budget or arguments.sparsity is not None):
        raise SettingsError(
            "A floor is given and a target as well.",
            "Leave out --budget and --sparsity: the floor decides how much goes.",
        )
    if arguments.floor is not None and (arguments.method, arguments.trade_off) == (LEARNT, LEARN):
        raise SettingsError(
            "A trade-off is learnt at one budget, and a floor tries many.",
            "Give --trade-off a number, such as 0.4.",
        )


def make_plan(
    arguments: Namespace, model: Model, groups: Groups, repair: str | None = None
) -> Made:  # fmt: skip
    """The plan that ``--method`` and its target, or its floor, ask for.

    Args:
        arguments: Of ``allocate`` or ``prune``.
        model: The dense model.
        groups: What can be pruned.
        repair: What is done before measuring; that of the arguments if None.

    Raises:
        WorkbenchError: If they cannot be met.
    """
    maker = _Maker(arguments, model, groups, repair or arguments.repair)
    budget = parse_budget(arguments.budget) if arguments.budget else None
    fit = search = None
    learnt = maker.learn(budget)
    if getattr(arguments, "floor", None) is not None:
        search = maker.search()
        assert search.best is not None
        plan = search.best.plan
    elif budget is not None and budget.unit == "latency":
        fit = maker.fit(budget)
        plan = fit.plan
    else:
        plan = maker.plan(budget, arguments.sparsity)
    refined = None
    if arguments.refine:
        unit = budget.unit if budget else arguments.unit if search else "params"
        rivals = maker.rivals(budget) if budget and not fit else []
        refined = maker.refine(plan, rivals, unit)
        plan = refined.plan
    return Made(
        plan, maker.curves, maker.source, fit, search, refined, maker.predict(plan), learnt,
        maker.prices(plan, budget),
    )  # fmt: skip


class _Maker:
    """Makes plans; measures curves and times once, when they are needed."""

    def __init__(
        self, arguments: Namespace, model: Model, groups: Groups, repair: str
    ) -> None:  # fmt: skip
        self._arguments, self._model, self._groups = arguments, model, groups
        self._device = choose_device(arguments.device)
        self._settings = TrialSettings(repair, arguments.samples, arguments.seed or 0)
        self.curves: SensitivityCurves | None = None
        self.source = ""
        self._latencies: LatencyTable | None = None
        self._locked = hold_frozen(groups, arguments.freeze, dict(arguments.lock))
        self._trade_off = 1.0 if arguments.trade_off == LEARN else arguments.trade_off
        get_allocation(arguments.method)
        self._spread("uniform", None, 0.0)  # refuses wrong names before anything is measured
        needs = get_allocation(arguments.method).needs_curves or arguments.refine
        if needs or arguments.curves:
            self.curves, self.source = self._find_curves()
        floored = getattr(arguments, "floor", None) is not None
        unit = arguments.unit if floored else (arguments.budget or "").partition("=")[0]
        if unit.strip() == "latency":
            self._latencies = self._time_groups()

    @property
    def _granularity(self) -> str:
        return self._arguments.granularity or "weight"

    def plan(self, budget: Budget | None, sparsity: float | None = None) -> PruningPlan:
        """The plan for a target."""
        return self._spread(self._arguments.method, budget, sparsity)

    def _spread(
        self, method: str, budget: Budget | None, sparsity: float | None
    ) -> PruningPlan:  # fmt: skip
        arguments = self._arguments
        return spread(
            self._model, method, sparsity=sparsity, budget=budget,
            granularity=self._granularity,
            channel_multiple=(
                1 if arguments.channel_multiple is None else arguments.channel_multiple
            ),
            criterion=arguments.criterion or "l1", seed=arguments.seed or 0,
            protected=arguments.protect, groups=self._groups, curves=self.curves,
            bounds=dict(arguments.bound), locked=self._locked, latencies=self._latencies,
            trade_off=self._trade_off,
        )  # fmt: skip

    def predict(self, plan: PruningPlan) -> Prediction | None:
        """What the curves say of a plan."""
        if self.curves is None or self.curves.baseline is None:
            return None
        chance = 1 / max(2, self._model.num_classes)
        settings = self.curves.settings
        predictor = fit_predictor(
            self.curves.baseline, self.curves.points, chance=chance,
            repaired=settings.repair != "none", same_criterion=settings.criterion == plan.criterion,
        )  # fmt: skip
        return predictor.predict(plan.sparsities)

    def learn(self, budget: Budget | None) -> LearntTradeOff | None:
        """Learn how much costs should count, where that is asked for; later plans go by it."""
        arguments = self._arguments
        if arguments.method != LEARNT or arguments.trade_off != LEARN or budget is None:
            return None

        def make(trade_off: float) -> PruningPlan:
            self._trade_off = trade_off
            return self.plan(budget)

        with ProgressLine() as line:
            line.start("Learning how much costs should count")
            found = learn_trade_off(
                self._model, self._data, make, groups=self._groups, settings=self._settings,
                device=self._device, report=line,
            )  # fmt: skip
        assert found is not None  # nothing stops it
        self._trade_off = found.trade_off
        return found

    def prices(self, plan: PruningPlan, budget: Budget | None) -> Prices | None:
        """What the groups pay in predicted loss for what the budget counts."""
        if self.curves is None or self.curves.baseline is None or budget is None:
            return None
        return price_plan(
            self._groups, plan, self.curves, budget.unit, bounds=dict(self._arguments.bound),
            locked=self._locked, latencies=self._latencies, num_classes=self._model.num_classes,
        )  # fmt: skip

    def search(self) -> FloorSearch:
        """The smallest model above the floor."""
        arguments = self._arguments
        with ProgressLine() as line:
            line.start(f"Looking for the smallest model above {percent(arguments.floor)}")
            return smallest_above_floor(
                self._model, self._data, self.plan, arguments.floor, groups=self._groups,
                unit=arguments.unit, settings=self._settings, device=self._device, report=line,
            )  # fmt: skip

    def fit(self, budget: Budget) -> LatencyFit:
        """The plan whose measured time meets a budget, or comes nearest."""
        assert self._latencies is not None
        with ProgressLine() as line:
            line.start("Timing plans beside the dense model")
            found = fit_latency(
                self._model, partial(_at_latency, self), budget.kept, groups=self._groups,
                table=self._latencies, report=line,
            )  # fmt: skip
        assert found is not None  # nothing stops it
        return found

    def rivals(self, budget: Budget) -> list[PruningPlan]:
        """The plans of other methods where the optimal one is asked for, as far as there are."""
        found = []
        for method in RIVALS if self._arguments.method == REFINABLE else ():
            with suppress(PlanError):  # what one method cannot meet another can
                found.append(self._spread(method, budget, None))
        return found

    def refine(self, plan: PruningPlan, rivals: list[PruningPlan], unit: str) -> Refined:
        """The best of a plan and its rivals, after measured exchanges."""
        assert self.curves is not None
        arguments = self._arguments
        with ProgressLine() as line:
            line.start("Exchanging between groups")
            return refine(
                self._model, self._data, plan, self.curves, unit, groups=self._groups,
                rivals=rivals, evaluations=arguments.refine, settings=self._settings,
                bounds=dict(arguments.bound), locked=self._locked,
                latencies=self._latencies, device=self._device, report=line,
            )  # fmt: skip

    @property
    def _data(self) -> Data:
        return open_data(self._arguments, self._model)

    def _find_curves(self) -> tuple[SensitivityCurves, str]:
        arguments = self._arguments
        if arguments.curves:
            return read_curves(Path(arguments.curves)), arguments.curves
        repair = "bn" if self._settings.repair == "full" else self._settings.repair
        shipped = {
            curves.settings.repair: curves
            for curves in sample_curves(self._model, self._granularity)
        }
        if repair in shipped and arguments.precision is None:
            return shipped[repair], "shipped with the sample"
        settings = SensitivitySettings(
            num_samples=arguments.samples, criterion=arguments.criterion or "l1", repair=repair,
            granularity=self._granularity, seed=arguments.seed or 0,
            precision=arguments.precision or "fast",
        )  # fmt: skip
        with ProgressLine() as line:
            line.start(f"Measuring the sensitivity of {self._model.name}")
            curves = measure_sensitivity(
                self._model, self._data, settings, device=self._device, report=line
            )
        return curves, "measured now"

    def _time_groups(self) -> LatencyTable:
        if not self._groups.granularity.structured:
            raise PlanError(
                "Latency cannot be a budget for weights: zeros in a layer do not make it faster.",
                "Choose --granularity channel, or a budget in params, macs or bytes.",
            )
        with ProgressLine() as line:
            line.start(f"Timing the groups of {self._model.name}")
            table = measure_latency_table(self._model, groups=self._groups, report=line)
        assert table is not None  # nothing stops it
        return table


def _at_latency(maker: _Maker, kept: float) -> PruningPlan:
    return maker.plan(Budget("latency", kept))


def _told(made: Made) -> list[str]:
    """What a person reads about how the plan came about."""
    lines = []
    if made.curves is not None:
        lines.append(f"sensitivity: {made.source}, repair {made.curves.settings.repair}")
    if (p := made.prediction) is not None:
        told = f"at most {percent(p.accuracy_high)}" if p.is_vague else percent(p.accuracy)
        lines.append(
            f"predicted accuracy {told} ({percent(p.accuracy_low)} to "
            f"{percent(p.accuracy_high)}), loss {p.loss:.4f}; not measured"
        )
    if made.learnt is not None:
        lines.append(_told_of_trade_off(made.learnt))
    if made.fit is not None:
        off = "within" if made.fit.met else "still above"
        lines.append(
            f"measured {percent(made.fit.achieved)} of the dense model's latency, {off} the "
            f"budget of {percent(made.fit.kept)}; {made.fit.tries} plans timed"
        )
    if made.search is not None and made.search.best is not None:
        best = made.search.best
        lines.append(
            f"{made.search.unit}={best.kept:.4g} is the smallest of {len(made.search.trials)} "
            f"tried that keeps {percent(made.search.floor)}: {percent(best.accuracy)} of "
            f"{best.samples:,} validation images"
        )
    if made.prices is not None and made.prices.average is not None:
        saved = "millisecond" if made.prices.per == "ms" else f"percent of {made.prices.unit}"
        average = f"{made.prices.average:.3g} on average"
        lines.append(f"predicted loss increase for each {saved} saved: {average}")
    if made.refined is not None:
        r = made.refined
        lines.append(
            f"{sum(move.accepted for move in r.moves)} of {len(r.moves)} exchanges accepted: "
            f"validation loss {r.loss_before:.4f} before, {r.loss:.4f} after"
        )
    return lines


def _told_of_trade_off(learnt: LearntTradeOff) -> str:
    """The exponent that won, and what every other lost."""
    tried = ", ".join(
        f"{trial.trade_off:g}: {'no plan' if trial.loss is None else f'{trial.loss:.4f}'}"
        for trial in learnt.trials
    )
    return (
        f"trade-off {learnt.trade_off:g} learnt on {learnt.samples:,} validation images; loss of "
        f"each: {tried}"
    )
