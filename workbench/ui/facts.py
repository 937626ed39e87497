"""What a page says about a model before torch is in: from its card, or kept from its upload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any

from workbench.loading.samples import sample_card, sample_names, sample_weights
from workbench.ui.i18n import _

if TYPE_CHECKING:
    from workbench.layers import Inspection
    from workbench.model import Model

DEFAULT_MODEL = "fashion-resnet20"


@dataclass(frozen=True)
class MeasuredAccuracy:
    """A measured accuracy and what it rests on.

    Attributes:
        accuracy: Fraction of images recognised; ``ci_low`` and ``ci_high`` bound it at 95 %.
        samples: Number of images.
        split: Which images.
    """

    accuracy: float
    ci_low: float
    ci_high: float
    samples: int
    split: str = "test"


@dataclass(frozen=True)
class ModelFacts:
    """Name, size and accuracy of a model.

    Attributes:
        name: What a page shows.
        digest: Names architecture and weights; empty where not yet known.
        architecture: Family of networks.
        num_params: Parameters.
        macs: Multiply-accumulates for one input.
        file_bytes: Size of the weights file.
        input_shape: ``(channels, height, width)``.
        num_classes: Classes told apart.
        data_name: Sample data the model was trained on, or empty.
        measured: Accuracy on the test split of ``data_name``, or None.
    """

    name: str
    digest: str
    architecture: str
    num_params: int
    macs: int
    file_bytes: int
    input_shape: tuple[int, ...]
    num_classes: int
    data_name: str = ""
    measured: MeasuredAccuracy | None = None

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return asdict(self) | {"input_shape": list(self.input_shape)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelFacts:
        """Read back what ``to_dict`` wrote, or the same keys of a sample's card."""
        names = [field.name for field in fields(cls)]
        known = {name: values[name] for name in names if name in values}
        known["input_shape"] = tuple(known["input_shape"])
        measured = known.get("measured")
        known["measured"] = MeasuredAccuracy(**measured) if measured else None
        return cls(**known)


def facts_of_model(model: Model, inspection: Inspection, file_bytes: int) -> ModelFacts:
    """Facts of a loaded model; nothing is measured."""
    return ModelFacts(
        name=model.name,
        digest=model.digest,
        architecture=model.architecture,
        num_params=inspection.num_params,
        macs=inspection.macs,
        file_bytes=file_bytes,
        input_shape=tuple(model.input_shape),
        num_classes=model.num_classes,
        data_name=model.data_name,
    )


@cache
def sample_choices() -> tuple[str, ...]:
    """Names of the sample models, the default first, then by size of their weights."""
    by_size = sorted(sample_names(), key=_file_bytes)
    return tuple(sorted(by_size, key=lambda name: name != DEFAULT_MODEL))


@cache
def facts_of_sample(name: str) -> ModelFacts | None:
    """Facts of a sample model from its card; None where it has no card."""
    card = sample_card(name)
    if not card:
        return None
    return ModelFacts.from_dict({**card, "name": name, "file_bytes": _file_bytes(name)})


def _file_bytes(name: str) -> int:
    return sample_weights(name).stat().st_size


def sample_line(name: str) -> str:
    """One line about a sample model: what it is, and how good."""
    lines = {
        "digits-resnet50": _("Fifty layers of bottlenecks, on 8 × 8 digits; a deep one, yet quick"),
        "digits-mlp": _("Fully connected, on 8 × 8 digits; small enough to see every weight"),
        "digits-shared": _("One residual block used three times, one kernel in two layers"),
        "fashion-lenet5": _("The LeNet-5 of the first pruning papers: most of it is one layer"),
        "fashion-resnet20": _("Residual blocks with batch normalisation"),
        "fashion-mobilenet": _("Depthwise-separable inverted residuals, already slim"),
        "fashion-vit": _("A small vision transformer"),
        "fashion-gru": _("A recurrent network that reads the image row by row"),
    }
    return lines.get(name, "")
