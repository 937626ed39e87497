"""What the equaliser draws: a column for every group, its curve, and the sizes to add up."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from workbench.groups import num_kept
from workbench.patterns import nearest_sparsity
from workbench.plan import digest_of_json
from workbench.prediction import Predictor
from workbench.ui import theme
from workbench.ui.equaliser.forecast import Forecast, Grounds
from workbench.ui.equaliser.protocol import MAX_SPARSITY
from workbench.ui.equaliser.text import counted, members_line, unit_count
from workbench.ui.i18n import _

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves
    from workbench.groups import Group, Groups
    from workbench.layers import LayerInfo

MOST_COLUMNS_WITH_FIXED = 64
MOST_SNAPPED = 1000  # of more units than this a hand cannot tell one from the next


@dataclass(frozen=True)
class Column:
    """One group on the board.

    Attributes:
        name: Group name, as in the plan.
        label: Shorter name, shown under the column above its stage.
        stage: Part of the network the group belongs to, e.g. ``stages.1``; may be empty.
        kind: What it is, e.g. ``Conv2d · 16 × 3 × 3 × 3`` or ``32 channels across 4 layers``.
        num_weights: Weights that a sparsity counts; for channels all parameters that hang on it.
        macs: Multiply-accumulates of the dense layer for one input.
        num_units: Units that go one by one.
        unit: What a unit is called; empty for single weights.
        rounds: Whether kept units are rounded to the plan's multiple.
        thinned: The one sparsity that can be had beside 0, for N:M; 0 at other granularities.
        thinned_weights: Weights that go with it.
        most: The highest sparsity that the hand may set.
        reason: Why the column cannot be moved; empty where it can.
        prunable: False where nothing of it can be pruned.
        slim: Drawn as a thin line: a layer without weights that any plan could prune.
        layers: Layers whose outputs go together; channels only.
        consumers: Layers that lose the inputs that came from there; channels only.
        points: Measured curve: ``(level, accuracy, ci_low, ci_high, samples)``, by level.
    """

    name: str
    label: str
    stage: str
    kind: str
    num_weights: int
    macs: int
    num_units: int = 0
    unit: str = ""
    rounds: bool = True
    thinned: float = 0.0
    thinned_weights: int = 0
    most: float = MAX_SPARSITY
    reason: str = ""
    prunable: bool = True
    slim: bool = False
    layers: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    points: tuple[tuple[float, float, float, float, int], ...] = ()

    @property
    def locked(self) -> bool:
        """Whether the hand may not move it."""
        return bool(self.reason)

    @property
    def snaps(self) -> bool:
        """Whether only whole numbers of units can be set."""
        return bool(self.unit) and 0 < self.num_units <= MOST_SNAPPED

    def settled(self, sparsity: float, multiple: int = 1) -> float:
        """The allowed sparsity that a plan's value comes to; the scripts hold the same rule."""
        if self.thinned:
            return self.thinned if sparsity >= self.thinned / 2 else 0.0
        if not self.snaps or sparsity <= 0:
            return sparsity
        kept = num_kept(self.num_units, sparsity, multiple if self.rounds else 1)
        return (self.num_units - kept) / self.num_units

    def to_dict(self) -> dict[str, object]:
        """Plain values for the scripts."""
        return {
            "name": self.name,
            "label": self.label,
            "stage": self.stage,
            "kind": self.kind,
            "weights": self.num_weights,
            "macs": self.macs,
            "units": self.num_units or self.num_weights,
            "counted": counted(self.unit),
            "snaps": self.snaps,
            "rounds": self.rounds,
            "thinned": self.thinned,
            "thinned_weights": self.thinned_weights,
            "most": self.most,
            "reason": self.reason,
            "prunable": self.prunable,
            "slim": self.slim,
            "layers": list(self.layers),
            "consumers": list(self.consumers),
            "points": [list(point) for point in self.points],
        }


@dataclass(frozen=True)
class Measured:
    """A measured accuracy to show beside the prediction, and the plan it belongs to.

    Attributes:
        accuracy: Fraction of images.
        ci_low: Lower end of its 95 % interval.
        ci_high: Upper end of its 95 % interval.
        samples: Images it rests on.
        sparsities: The plan it was measured for, as in ``PruningPlan.sparsities``.
        label: What was measured, e.g. "Measured after fine-tuning".
        other: Whether it belongs to a plan of another granularity or rounding than the board's.
    """

    accuracy: float
    ci_low: float
    ci_high: float
    samples: int
    sparsities: Mapping[str, float]
    label: str
    other: bool = False


@dataclass(frozen=True)
class Board:
    """Everything about the equaliser that does not change while values are dragged.

    Attributes:
        columns: Drawn groups, in the order of the network.
        num_params: Parameters of the whole dense model.
        macs: Multiply-accumulates of the whole dense model for one input.
        forecast: What is predicted after the repair of the curves; None before anything was
            measured.
        final_forecast: What is predicted after the repair that the model will get in the end;
            None where that is the same.
        hidden: Reason to number of groups that cannot be pruned and are not drawn for space.
        granularity: What goes together, as plans name it.
        channel_multiple: Kept channels are a multiple of this.
        terms: The network as ``(parameters, MACs, columns that it shrinks with)``; channels only.
        layers: ``(name, kind)`` of the layers that hold weights, to show which hang together;
            channels only.
    """

    columns: tuple[Column, ...]
    num_params: int
    macs: int
    forecast: Forecast | None = None
    final_forecast: Forecast | None = None
    hidden: Mapping[str, int] = field(default_factory=dict)
    granularity: str = "weight"
    channel_multiple: int = 1
    terms: tuple[tuple[int, int, tuple[int, ...]], ...] = ()
    layers: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Group names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def predictor(self) -> Predictor | None:
        """Predicts what measuring would give after the curves' repair; None without curves."""
        return self.forecast.predictor if self.forecast else None

    @property
    def locked(self) -> frozenset[str]:
        """Names of the columns that the hand may not move."""
        return frozenset(column.name for column in self.columns if column.locked)

    def settled(self, sparsities: Mapping[str, float]) -> dict[str, float]:
        """What the values of a plan come to, rounded to what can be pruned."""
        return {
            column.name: column.settled(sparsities[column.name], self.channel_multiple)
            for column in self.columns
            if column.name in sparsities
        }

    @cached_property
    def data(self) -> dict[str, object]:
        """The board for the browser: plain values, with digests that tell when to redraw."""
        columns = [column.to_dict() for column in self.columns]
        return {
            "board": digest_of_json([self.granularity, *self.names]),
            "digest": digest_of_json([columns, dict(self.hidden), self.channel_multiple]),
            "columns": columns,
            "num_params": self.num_params,
            "macs": self.macs,
            "granularity": self.granularity,
            "multiple": self.channel_multiple,
            "terms": [[params, macs, list(places)] for params, macs, places in self.terms],
            "layers": [list(layer) for layer in self.layers],
            "prediction": self.forecast.to_dict(self.names) if self.forecast else None,
            "final_prediction": self._final_prediction(),
            "hidden": [[reason, count] for reason, count in self.hidden.items()],
        }

    def _final_prediction(self) -> dict[str, object] | None:
        """What the final prediction has of its own; the curves are the same."""
        if self.final_forecast is None:
            return None
        table = self.final_forecast.to_dict(self.names)
        return {name: value for name, value in table.items() if name not in ("curves", "worst")}


def board_of(
    groups: "Groups",
    curves: "SensitivityCurves | None" = None,
    *,
    num_classes: int,
    locked: Mapping[str, str],
    channel_multiple: int = 1,
    grounds: Grounds | None = None,
) -> Board:
    """Lay out what a plan of one granularity can move for the equaliser.

    Args:
        groups: What ``find_groups(model, granularity)`` returned.
        curves: Sensitivity measured at that granularity, whole or partial; None without.
        num_classes: Classes the model tells apart: guessing is right once in so many.
        locked: Group name to the reason, one sentence, why its sparsity may not be changed now.
        channel_multiple: Kept channels are rounded to a multiple of this.
        grounds: What the prediction takes into account beside the curves.

    Returns:
        A board with every prunable group, and the others where there is room for them.
    """
    drawn, kind = list(groups.groups), groups.granularity
    hidden: Counter[str] = Counter()
    if len(drawn) > MOST_COLUMNS_WITH_FIXED and groups.prunable and not kind.structured:
        hidden.update(group.reason for group in drawn if not group.prunable)
        drawn = [group for group in drawn if group.prunable]
    stages = stages_of([group.name for group in drawn if group.prunable])
    columns = []
    stage = ""
    for group in drawn:
        if group.prunable:
            stage = stages[group.name]
        elif not group.name.startswith(f"{stage}."):
            stage = ""
        reason = locked.get(group.name, "") if group.prunable else group.reason
        columns.append(_column(groups, group, stage, reason, channel_multiple, curves))
    forecast, final = (grounds or Grounds()).forecasts(curves, num_classes)
    places = {column.name: place for place, column in enumerate(columns)}
    inspection = groups.inspection
    return Board(
        tuple(columns), inspection.num_params, inspection.macs, forecast, final, dict(hidden),
        groups.granularity.name, channel_multiple,
        tuple((t.num_params, t.macs, tuple(places[g] for g in t.groups)) for t in groups.terms),
        _layers_in(groups),
    )  # fmt: skip


def _column(
    groups: "Groups",
    group: "Group",
    stage: str,
    reason: str,
    multiple: int,
    curves: "SensitivityCurves | None",
) -> Column:
    kind = groups.granularity
    unit = "" if kind.kind == "nm" or group.unit == "weight" else group.unit
    thinned, most = 0.0, MAX_SPARSITY
    if group.prunable and kind.kind == "nm" and group.layer is not None:
        thinned = most = nearest_sparsity(group.layer.shape, kind, MAX_SPARSITY)
    elif group.prunable and kind.kind == "subblock" and group.layer is not None:
        most = min(MAX_SPARSITY, nearest_sparsity(group.layer.shape, kind, MAX_SPARSITY))
    elif group.prunable and unit and group.num_units <= MOST_SNAPPED:
        fewest = group.num_kept(MAX_SPARSITY, multiple)
        most = (group.num_units - fewest) / group.num_units
        if not most and not reason:
            reason = _(
                "It has {count}, no multiple of {multiple} that is less: all of it stays."
            ).format(count=unit_count(group.unit, group.num_units), multiple=multiple)
    return Column(
        name=group.name,
        label=group.name.removeprefix(f"{stage}.") if stage else group.name,
        stage=stage,
        kind=_kind_of_layer(group.layer) if group.layer else members_line(group),
        num_weights=group.num_params,
        macs=group.macs,
        num_units=group.num_units,
        unit=unit,
        rounds=group.rounds,
        thinned=thinned,
        thinned_weights=groups.num_pruned_weights(group.name, thinned) if thinned else 0,
        most=most,
        reason=reason,
        prunable=group.prunable,
        slim=group.layer is not None and not group.layer.prunable,
        layers=group.layers if kind.structured else (),
        consumers=group.consumers,
        points=_points(curves, group.name),
    )


def protected_locks(groups: "Groups") -> dict[str, str]:
    """The locks every plan starts with: the classifier, and why."""
    return {
        group.name: _("The classifier is protected: cutting it costs most and saves least.")
        for group in groups.prunable
        if group.protected
    }


def _layers_in(groups: "Groups") -> tuple[tuple[str, str], ...]:
    """Layers to draw as a lane, which shows those that hang together: all that hold weights."""
    if not groups.granularity.structured:
        return ()
    members = {name for group in groups.groups for name in group.layers}
    return tuple(
        (layer.layer_name, _kind_of_layer(layer))
        for layer in groups.inspection.layers
        if layer.prunable or layer.layer_name in members
    )


def stages_of(names: Sequence[str]) -> dict[str, str]:
    """Part of the network each group belongs to, read from the dotted names.

    ``layer1.0.conv1`` belongs to ``layer1``. Where most groups sit in one numbered container, as
    in ``stages.0.conv1`` or ``blocks.3.fc1``, the number counts too. Groups that are alone in
    their part belong to none.
    """
    depth = 1
    first = Counter(name.split(".")[0] for name in names)
    if first and first.most_common(1)[0][1] > len(names) / 2:
        depth = 2
    stages = {}
    for name in names:
        parts = name.split(".")
        numbered = depth == 2 and len(parts) > 2 and re.fullmatch(r"\d+", parts[1])
        stages[name] = ".".join(parts[: 2 if numbered else 1]) if len(parts) > 1 else ""
    size = Counter(stages.values())
    return {name: stage if size[stage] > 1 else "" for name, stage in stages.items()}


def _kind_of_layer(layer: "LayerInfo") -> str:
    return f"{layer.type} · {theme.shape(layer.shape)}" if layer.shape else layer.type


def _points(
    curves: "SensitivityCurves | None", name: str
) -> tuple[tuple[float, float, float, float, int], ...]:
    if curves is None or curves.baseline is None:
        return ()
    return tuple((p.level, p.accuracy, p.ci_low, p.ci_high, p.samples) for p in curves.curve(name))
