"""Accuracy, loss, size and latency of a model."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.accounting import PlanSize, size_with_zeros
from workbench.data import Data, Split, SplitName
from workbench.device import on_device
from workbench.errors import DataError
from workbench.latency import measure_latency
from workbench.layers import inspect
from workbench.model import Model, check_fit
from workbench.progress import Progress, Report, ShouldStop, StoppedError, ignore, never

BATCH = 100
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Score:
    """How well a network classifies some images.

    Attributes:
        accuracy: Fraction classified correctly.
        loss: Mean cross-entropy, in nats; infinite where the network gives no finite number.
        correct: Images classified correctly.
        samples: Images looked at; fewer than asked for where stopped.
        ci_low: Lower end of the 95 % interval of the accuracy.
        ci_high: Upper end.
        recall: For each class the fraction of its images found; None for a class without images.
    """

    accuracy: float
    loss: float
    correct: int
    samples: int
    ci_low: float
    ci_high: float
    recall: tuple[float | None, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; an infinite loss is None."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Score":
        """The reverse of ``to_dict``."""
        return cls(**_revived(values))


@dataclass(frozen=True)
class Measurement:
    """What a model does and what it costs.

    Attributes:
        split: The images behind accuracy and loss.
        accuracy: Fraction classified correctly.
        loss: Mean cross-entropy, in nats.
        samples: Images looked at.
        ci_low: Lower end of the 95 % interval of the accuracy (Wilson).
        ci_high: Upper end.
        recall: For each class the fraction of its images found; None for a class without images.
        num_params: Parameters; buffers are not counted.
        num_nonzero: Parameters that are not zero.
        macs: Theoretical multiply-accumulates for one input: each layer's by its density.
        bytes: Stored size: each layer's weight dense or as bit mask and values, whichever is
            smaller; all else at 4 bytes a parameter.
        latency_ms: Median time of one image through PyTorch on one thread, in milliseconds; None
            if not asked.
        latency_spread_ms: Distance between the quartiles of that time.
    """

    split: str
    accuracy: float
    loss: float
    samples: int
    ci_low: float
    ci_high: float
    recall: tuple[float | None, ...]
    num_params: int
    num_nonzero: int
    macs: int
    bytes: int
    latency_ms: float | None = None
    latency_spread_ms: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; an infinite loss is None."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Measurement":
        """The reverse of ``to_dict``."""
        return cls(**_revived(values))


def measure(
    model: Model, data: Data, *, split: SplitName = "test", num_samples: int | None = None,
    latency: bool = True, device: torch.device | str = "cpu", report: Report = ignore,
    should_stop: ShouldStop = never, outputs: list[Tensor] | None = None,
) -> Measurement:  # fmt: skip
    """Measure accuracy, size and latency of a model.

    Args:
        model: Dense or pruned; zeros among its weights are counted, whatever made them.
        data: Images that fit the model.
        split: ``test`` for final numbers, ``validation`` for choices.
        num_samples: At most so many images; all if None.
        latency: Whether to time it, which takes up to a second or so.
        device: Where to run.
        report: Hears of every batch.
        should_stop: Ends early; ``samples`` then tells how far scoring came, and there may be no
            latency.
        outputs: Gets the class scores of every batch, ``(batch, classes)``.

    Raises:
        DataError: If the data do not fit the model or the split is empty.
    """
    check_fit(model, data)
    module = on_device(model.module, device)
    images = data.split(split, num_samples)
    scored = score(
        module, images, device=device, report=report, should_stop=should_stop, outputs=outputs
    )
    size = measure_size(model)
    result = Measurement(
        split, scored.accuracy, scored.loss, scored.samples, scored.ci_low, scored.ci_high,
        scored.recall, num_params=size.num_params, num_nonzero=count_nonzero(model.module),
        macs=size.macs, bytes=size.bytes,
    )  # fmt: skip
    if not latency:
        return result
    try:
        timed = measure_latency(
            module, model.input_shape, threads=1, device=device, should_stop=should_stop
        )
    except StoppedError:
        return result
    return replace(result, latency_ms=timed.median_ms, latency_spread_ms=timed.spread_ms)


def measure_size(model: Model) -> PlanSize:
    """Parameters, MACs and bytes of a model as it is; zeros among its weights are counted."""
    inspection = inspect(model)
    zeros = {layer.layer_name: layer.num_zeros for layer in inspection.prunable}
    return size_with_zeros(inspection, zeros)


def score(
    module: nn.Module, split: Split, *, batch_size: int = BATCH, device: torch.device | str = "cpu",
    report: Report = ignore, should_stop: ShouldStop = never, outputs: list[Tensor] | None = None,
) -> Score:  # fmt: skip
    """Classify the images of a split in eval mode; the module stays as it is.

    Args:
        module: Takes ``(batch, channels, height, width)``, gives ``(batch, classes)``.
        split: Images and labels.
        batch_size: Images in a pass; small ones stay in the processor's cache.
        device: Where to run.
        report: Hears of every pass.
        should_stop: Asked before every pass but the first; True ends with what is there so far.
        outputs: Gets the class scores of every pass, ``(batch, classes)``, on the CPU.

    Raises:
        DataError: If the split is empty.
    """
    if not len(split):
        raise DataError(f"The {split.name} split has no images.", "Choose data that has some.")
    module = on_device(module, device)
    loss, samples = 0.0, 0
    hits = totals = torch.zeros(0)
    with torch.inference_mode():
        for start in range(0, len(split), batch_size):
            if start and should_stop():
                break
            labels = split.labels[start : start + batch_size]
            answers = module(split.images[start : start + batch_size].to(device)).float().cpu()
            if outputs is not None:
                outputs.append(answers)
            loss += float(F.cross_entropy(answers, labels, reduction="sum"))
            found, present = _count_by_class(answers, labels)
            hits, totals = (found, present) if not samples else (hits + found, totals + present)
            samples += len(labels)
            report(Progress(samples, len(split), f"Classifying {split.name} images"))
    return _summarise(loss, samples, hits, totals)


def is_right(outputs: Tensor, labels: Tensor) -> Tensor:
    """Whether each image gets its class, ``(batch,)``; ``outputs`` is ``(batch, classes)``.

    An image whose scores hold a NaN does not: NaN counts as the highest score otherwise.
    """
    return (outputs.argmax(1) == labels) & ~outputs.isnan().any(1)


def _count_by_class(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Images found and images present of each class; ``outputs`` is ``(batch, classes)``."""
    classes = outputs.shape[1]
    right = is_right(outputs, labels)
    return torch.bincount(labels[right], minlength=classes), torch.bincount(
        labels, minlength=classes
    )


def _summarise(loss: float, samples: int, hits: Tensor, totals: Tensor) -> Score:
    correct = int(hits.sum())
    low, high = wilson_interval(correct, samples)
    recall = tuple(
        found / present if present else None
        for found, present in zip(hits.tolist(), totals.tolist(), strict=True)
    )
    mean = loss / samples if math.isfinite(loss) else math.inf
    return Score(correct / samples, mean, correct, samples, low, high, recall)


def wilson_interval(correct: int, samples: int, z: float = Z_95) -> tuple[float, float]:
    """The 95 % interval of a fraction, honest near 0 and 1.

    Args:
        correct: Successes.
        samples: Trials, at least 1.
        z: Normal quantile; the default gives 95 %.

    Reference:
        Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    p = correct / samples
    scale = 1 + z * z / samples
    centre = (p + z * z / (2 * samples)) / scale
    half = z * math.sqrt(p * (1 - p) / samples + z * z / (4 * samples**2)) / scale
    low = centre - half if correct else 0.0
    high = centre + half if correct < samples else 1.0
    return min(low, p), max(high, p)


def count_nonzero(module: nn.Module) -> int:
    """Parameters of a module that are not zero; buffers are not counted."""
    return sum(int(torch.count_nonzero(parameter)) for parameter in module.parameters())


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    loss = values["loss"] if math.isfinite(values["loss"]) else None
    return values | {"recall": list(values["recall"]), "loss": loss}


def _revived(values: Mapping[str, Any]) -> dict[str, Any]:
    loss = math.inf if values["loss"] is None else values["loss"]
    return dict(values) | {"recall": tuple(values["recall"]), "loss": loss}
