"""What the equaliser draws: a column for every layer, its curve, and the sizes to add up."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from workbench.plan import digest_of_json
from workbench.prediction import Predictor, fit_predictor
from workbench.ui import theme
from workbench.ui.equaliser.text import prediction_basis
from workbench.ui.i18n import _

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves
    from workbench.layers import Inspection, LayerInfo

MOST_COLUMNS_WITH_FIXED = 64


@dataclass(frozen=True)
class Column:
    """One layer on the board.

    Attributes:
        name: Layer name, as in the plan.
        label: Shorter name, shown under the column above its stage.
        stage: Part of the network the layer belongs to, e.g. ``stages.1``; may be empty.
        kind: What the layer is, e.g. ``Conv2d · 16 × 3 × 3 × 3``.
        num_weights: Weights that a sparsity of this layer counts.
        macs: Multiply-accumulates of the dense layer for one input.
        reason: Why the column cannot be moved; empty where it can.
        prunable: False where the layer has no weights that could ever be pruned.
        points: Measured curve: ``(level, accuracy, ci_low, ci_high, samples)``, by level.
    """

    name: str
    label: str
    stage: str
    kind: str
    num_weights: int
    macs: int
    reason: str = ""
    prunable: bool = True
    points: tuple[tuple[float, float, float, float, int], ...] = ()

    @property
    def locked(self) -> bool:
        """Whether the hand may not move it."""
        return bool(self.reason)


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
    """

    accuracy: float
    ci_low: float
    ci_high: float
    samples: int
    sparsities: Mapping[str, float]
    label: str


@dataclass(frozen=True)
class Board:
    """Everything about the equaliser that does not change while values are dragged.

    Attributes:
        columns: Drawn layers, in the order of the network.
        num_params: Parameters of the whole dense model.
        macs: Multiply-accumulates of the whole dense model for one input.
        predictor: Predicts accuracy, or None before anything was measured.
        prediction_basis: The repair that the prediction counts on, in words.
        hidden: Reason to number of layers that cannot be pruned and are not drawn for space.
    """

    columns: tuple[Column, ...]
    num_params: int
    macs: int
    predictor: Predictor | None = None
    prediction_basis: str = ""
    hidden: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Layer names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def locked(self) -> frozenset[str]:
        """Names of the columns that the hand may not move."""
        return frozenset(column.name for column in self.columns if column.locked)

    @cached_property
    def data(self) -> dict[str, object]:
        """The board for the browser: plain values, with digests that tell when to redraw."""
        columns = [
            {
                "name": column.name,
                "label": column.label,
                "stage": column.stage,
                "kind": column.kind,
                "weights": column.num_weights,
                "macs": column.macs,
                "reason": column.reason,
                "prunable": column.prunable,
                "points": [list(point) for point in column.points],
            }
            for column in self.columns
        ]
        model = [[c.name, c.num_weights, c.macs] for c in self.columns]
        return {
            "model": digest_of_json([model, self.num_params, self.macs]),
            "digest": digest_of_json([columns, dict(self.hidden), self.prediction_basis]),
            "columns": columns,
            "num_params": self.num_params,
            "macs": self.macs,
            "prediction": self._prediction(),
            "prediction_basis": self.prediction_basis,
            "hidden": [[reason, count] for reason, count in self.hidden.items()],
        }

    def _prediction(self) -> dict[str, object] | None:
        """The prediction's table with one curve, or None, per column."""
        if self.predictor is None:
            return None
        table = self.predictor.to_dict()
        curves = table["curves"]
        assert isinstance(curves, dict)
        return table | {"curves": [curves.get(column.name) for column in self.columns]}


def board_of(
    inspection: "Inspection",
    curves: "SensitivityCurves | None" = None,
    *,
    num_classes: int,
    locked: Mapping[str, str],
) -> Board:
    """Lay out a model's layers for the equaliser.

    Args:
        inspection: The dense model.
        curves: Measured sensitivity, whole or partial; None before anything was measured.
        num_classes: Classes the model tells apart: guessing is right once in so many.
        locked: Layer name to the reason, one sentence, why its sparsity may not be changed now.

    Returns:
        A board with every prunable layer, and the others where there is room for them.
    """
    drawn = list(inspection.layers)
    hidden: Counter[str] = Counter()
    if len(drawn) > MOST_COLUMNS_WITH_FIXED and inspection.prunable:
        hidden.update(layer.reason for layer in drawn if not layer.prunable)
        drawn = [layer for layer in drawn if layer.prunable]
    stages = stages_of([layer.layer_name for layer in drawn if layer.prunable])
    columns = []
    stage = ""
    for layer in drawn:
        if layer.prunable:
            stage = stages[layer.layer_name]
        elif not layer.layer_name.startswith(f"{stage}."):
            stage = ""
        columns.append(
            Column(
                name=layer.layer_name,
                label=layer.layer_name.removeprefix(f"{stage}.") if stage else layer.layer_name,
                stage=stage,
                kind=_kind(layer),
                num_weights=layer.num_weights,
                macs=layer.macs,
                reason=locked.get(layer.layer_name, "") if layer.prunable else layer.reason,
                prunable=layer.prunable,
                points=_points(curves, layer.layer_name),
            )
        )
    predictor = None
    if curves is not None and curves.baseline is not None and curves.points:
        predictor = fit_predictor(curves.baseline, curves.points, chance=1 / num_classes)
    basis = prediction_basis(curves.settings.repair) if curves is not None else ""
    return Board(
        tuple(columns), inspection.num_params, inspection.macs, predictor, basis, dict(hidden)
    )


def protected_locks(inspection: "Inspection") -> dict[str, str]:
    """The locks every model starts with: its classifier, and why."""
    return {
        layer.layer_name: _("The classifier is protected: cutting it costs most and saves least.")
        for layer in inspection.prunable
        if layer.protected
    }


def stages_of(names: Sequence[str]) -> dict[str, str]:
    """Part of the network each layer belongs to, read from the dotted names.

    ``layer1.0.conv1`` belongs to ``layer1``. Where most layers sit in one numbered container, as
    in ``stages.0.conv1`` or ``blocks.3.fc1``, the number counts too. Layers that are alone in
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


def _kind(layer: "LayerInfo") -> str:
    return f"{layer.type} · {theme.shape(layer.shape)}" if layer.shape else layer.type


def _points(
    curves: "SensitivityCurves | None", name: str
) -> tuple[tuple[float, float, float, float, int], ...]:
    if curves is None or curves.baseline is None:
        return ()
    return tuple((p.level, p.accuracy, p.ci_low, p.ci_high, p.samples) for p in curves.curve(name))
