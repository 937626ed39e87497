"""What a plan pays for what it saves: predicted loss for each millisecond, or for each percent."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace

from workbench.allocation.costs import Costs
from workbench.allocation.damage import predictor_of
from workbench.allocation.latencies import LatencyTable
from workbench.allocation.pool import Members
from workbench.allocation.reasons import Reason, explain_plan
from workbench.curves import SensitivityCurves
from workbench.groups import Groups
from workbench.plan import PruningPlan

PERCENT, MILLISECOND = "percent", "ms"


@dataclass(frozen=True)
class GroupPrice:
    """What a group pays.

    Attributes:
        saved: What its cut saves with all others as they are: percent of the dense model's, or
            milliseconds.
        last: Predicted loss increase of the whole plan that its last step added, for each percent
            or millisecond that the step saves; None where it is not known.
        next: The same for a further step.
    """

    saved: float
    last: float | None
    next: float | None


@dataclass(frozen=True)
class Prices:
    """What a plan pays.

    Attributes:
        unit: Of the budget.
        per: ``ms`` for a latency, else ``percent`` of the dense model's.
        average: Predicted loss increase of the plan for each percent or millisecond that it saves;
            None where it saves nothing.
        common: Median of what the groups pay; None where nothing is known.
        groups: Group name to what it pays.
    """

    unit: str
    per: str
    average: float | None
    common: float | None
    groups: Mapping[str, GroupPrice]

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        groups = {name: asdict(price) for name, price in self.groups.items()}
        return {
            "unit": self.unit, "per": self.per, "average": self.average, "common": self.common,
            "groups": groups,
        }  # fmt: skip


def price_plan(
    groups: Groups, plan: PruningPlan, curves: SensitivityCurves, unit: str, *,
    bounds: Mapping[str, tuple[float, float]] | None = None, locked: Collection[str] = (),
    latencies: LatencyTable | None = None, num_classes: int = 10,
) -> Prices:  # fmt: skip
    """Say what every group of a plan pays, and the plan as a whole.

    Plans of all allocations, those that go by scores among them, are priced alike and so become
    comparable: that of the least predicted loss for its milliseconds pays least on average.

    Args:
        groups: What ``find_groups(model, plan.granularity)`` returned.
        plan: Made by an allocation or by hand.
        curves: What cutting each group alone costs.
        unit: Of the budget: ``params``, ``macs``, ``bytes`` or ``latency``.
        bounds: Group name to its least and most sparsity.
        locked: Groups that are held.
        latencies: Measured times, for latency.
        num_classes: Of the model.

    Raises:
        PlanError: If the plan names a group that is unknown, or the unit does not fit it.
    """
    reasons = explain_plan(
        groups, plan, curves, unit, bounds=bounds, locked=locked, latencies=latencies,
        num_classes=num_classes,
    )  # fmt: skip
    per, percent = PERCENT, 1.0
    if latencies is not None and unit == "latency":
        per, percent = MILLISECOND, latencies.dense_ms / 100
        reasons = by_millisecond(reasons, latencies)
    found = {
        name: GroupPrice(100 * reason.saved * percent, reason.price_last, reason.price_next)
        for name, reason in reasons.items()
    }
    common = next((reason.price_common for reason in reasons.values()), None)
    saved = 100 * _saved(groups, plan, unit, latencies) * percent
    increase = _increase(plan, curves, num_classes)
    return Prices(unit, per, increase / saved if saved > 0 else None, common, found)


def by_millisecond(reasons: Mapping[str, Reason], latencies: LatencyTable) -> dict[str, Reason]:
    """Reasons in latency with prices for each millisecond instead of each percent of the time."""
    percent = latencies.dense_ms / 100

    def over(price: float | None) -> float | None:
        return None if price is None else price / percent

    return {
        name: replace(
            reason, price_next=over(reason.price_next), price_last=over(reason.price_last),
            price_common=over(reason.price_common),
        )
        for name, reason in reasons.items()
    }  # fmt: skip


def _saved(
    groups: Groups, plan: PruningPlan, unit: str, latencies: LatencyTable | None
) -> float:  # fmt: skip
    """What the plan saves, as a part of the dense model's."""
    members = Members(
        all=groups, members=groups.prunable, multiple=plan.channel_multiple, latencies=latencies
    )
    costs = Costs(members, unit)
    values = {group.name: plan.sparsities.get(group.name, 0.0) for group in groups.prunable}
    return 1 - costs.kept(values) / max(costs.dense, 1e-12)


def _increase(plan: PruningPlan, curves: SensitivityCurves, num_classes: int) -> float:
    """Predicted loss of the plan above that of the dense model, in nats."""
    predictor = predictor_of(curves, num_classes)
    known = {name: value for name, value in plan.sparsities.items() if name in curves.groups}
    return predictor.predict(known).loss - predictor.predict({}).loss
