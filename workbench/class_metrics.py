"""What a classifier does to each class: recall, precision, F1, and what it takes for what."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.metrics import wilson_interval
from workbench.paired import Paired, Proportion, adjust_p_values, compare_paired

TOP = 5
FAINTEST = 0.02
"""The least that a scale of differences spans either way, so that a single image does not glare."""
Shown = Literal["before", "after", "difference"]


@dataclass(frozen=True)
class ClassScore:
    """How well one class is told from the others.

    Attributes:
        class_name: Its name.
        samples: Its images.
        predicted: Images taken for it.
        recall: Fraction of its images that are found; None without images.
        recall_low: Lower end of the 95 % interval (Wilson); None without images.
        recall_high: Upper end.
        precision: Fraction of the images taken for it that are of it; None where none was.
        precision_low: Lower end of the 95 % interval (Wilson).
        precision_high: Upper end.
        f1: Harmonic mean of recall and precision; None without images.
        f1_low: Lower end of the 95 % interval (Goutte and Gaussier).
        f1_high: Upper end.
    """

    class_name: str
    samples: int
    predicted: int
    recall: float | None
    recall_low: float | None
    recall_high: float | None
    precision: float | None
    precision_low: float | None
    precision_high: float | None
    f1: float | None
    f1_low: float | None
    f1_high: float | None


@dataclass(frozen=True)
class Confusion:
    """What is taken for what, of one model or as the difference of two, ready to be drawn.

    Attributes:
        counts: Row: the true class; column: what it is taken for; images, or their difference.
        parts: The same as parts of the images that the first model was shown of the row's class.
        most: What a scale has to span: 1, or of differences the largest either way.
    """

    counts: tuple[tuple[int, ...], ...]
    parts: tuple[tuple[float, ...], ...]
    most: float


def confusion_of(
    before: Sequence[Sequence[int]], after: Sequence[Sequence[int]], shown: Shown
) -> Confusion:
    """What the first model takes for what, what the second does, or how they differ.

    Args:
        before: Counts of the first model; a row for each true class.
        after: Counts of the second on the same images.
        shown: Which of them; ``difference`` is the second less the first.
    """
    first, second = np.array(before), np.array(after)
    change = shown == "difference"
    counts = second - first if change else second if shown == "after" else first
    parts = counts / np.maximum(1, first.sum(1, keepdims=True))
    return Confusion(
        tuple(tuple(map(int, row)) for row in counts),
        tuple(tuple(map(float, row)) for row in parts),
        max(FAINTEST, float(np.abs(parts).max())) if change else 1.0,
    )


@dataclass(frozen=True)
class ClassMetrics:
    """All metrics of one model on one split.

    Attributes:
        split: Which images.
        accuracy: Fraction classified correctly, with its interval.
        loss: Mean cross-entropy, in nats; infinite where the network gives no finite number.
        top5: Fraction whose class is among the five of the highest scores; None with 5 classes or
            fewer.
        macro_recall: Mean over the classes that have images (balanced accuracy).
        macro_precision: Mean over the classes that were named; None where none was.
        macro_f1: Mean over the classes that have images.
        classes: One entry a class.
        confusion: Row: the true class; column: what it is taken for; counts of images.
        unanswered: For each class, its images whose scores hold a NaN; they are in no column.
        labels: True class of each image.
        predicted: What each image is taken for; the number of classes where unanswered.
    """

    split: str
    accuracy: Proportion
    loss: float
    top5: float | None
    macro_recall: float
    macro_precision: float | None
    macro_f1: float
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    unanswered: tuple[int, ...]
    labels: tuple[int, ...]
    predicted: tuple[int, ...]

    def summary(self) -> dict[str, Any]:
        """Plain values without the answer to every image; an infinite loss is None."""
        return {
            "top5": self.top5,
            "macro_recall": self.macro_recall,
            "macro_precision": self.macro_precision,
            "macro_f1": self.macro_f1,
            "classes": [asdict(one) for one in self.classes],
            "confusion": [list(row) for row in self.confusion],
            "unanswered": list(self.unanswered),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return self.summary() | {
            "split": self.split,
            "accuracy": self.accuracy.to_dict(),
            "loss": self.loss if math.isfinite(self.loss) else None,
            "labels": list(self.labels),
            "predicted": list(self.predicted),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ClassMetrics":
        """The reverse of ``to_dict``."""
        return cls(**dict(values) | {
            "accuracy": Proportion.from_dict(values["accuracy"]),
            "loss": math.inf if values["loss"] is None else values["loss"],
            "classes": tuple(ClassScore(**one) for one in values["classes"]),
            "confusion": tuple(tuple(row) for row in values["confusion"]),
            **{name: tuple(values[name]) for name in ("unanswered", "labels", "predicted")},
        })  # fmt: skip


@dataclass(frozen=True)
class ClassChange:
    """What pruning did to one class.

    Attributes:
        class_name: Its name.
        recall: Recall after minus recall before, on the same images of the class.
        p_adjusted: P-value of the change, adjusted for the number of classes (Holm).
    """

    class_name: str
    recall: Paired
    p_adjusted: float

    @property
    def is_hurt(self) -> bool:
        """Whether fewer of its images are found than before, at 5 % over all classes."""
        return self.recall.difference < 0 and self.p_adjusted < 0.05

    @property
    def is_helped(self) -> bool:
        """Whether more of its images are found than before, at 5 % over all classes."""
        return self.recall.difference > 0 and self.p_adjusted < 0.05


def measure_classes(
    outputs: Tensor, labels: Tensor, class_names: Sequence[str], split: str = "test"
) -> ClassMetrics:
    """All metrics from the class scores of a split; recall, precision and F1 by scikit-learn.

    Args:
        outputs: ``(samples, classes)``. An image whose scores hold a NaN counts as not answered.
        labels: True classes, ``(samples,)``.
        class_names: One a class.
        split: Which images they are.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    classes = len(class_names)
    names = list(range(classes))
    valid = ~outputs.isnan().any(1)
    predicted = torch.where(valid, outputs.nan_to_num().argmax(1), classes)
    truth, answer = labels.numpy(), predicted.numpy()
    precision, recall, f1, present = precision_recall_fscore_support(
        truth, answer, labels=names, average=None, zero_division=np.nan
    )
    whole = confusion_matrix(truth, answer, labels=[*names, classes])
    confusion, unanswered = whole[:classes, :classes], whole[:classes, classes]
    scores = tuple(
        _class_score(
            name, int(confusion[i, i]), int(present[i]), int(confusion[:, i].sum()),
            (recall[i], precision[i], f1[i]),
        )
        for i, name in enumerate(class_names)
    )  # fmt: skip
    loss = float(F.cross_entropy(outputs.double(), labels))
    top5 = _top5(outputs[valid], labels[valid], len(labels))
    named = [one.precision for one in scores if one.precision is not None]
    return ClassMetrics(
        split, Proportion.of(int((answer == truth).sum()), len(labels)),
        loss if math.isfinite(loss) else math.inf, top5,
        macro_recall=float(np.mean([one.recall for one in scores if one.recall is not None])),
        macro_precision=float(np.mean(named)) if named else None,
        macro_f1=float(np.mean([one.f1 for one in scores if one.f1 is not None])),
        classes=scores, confusion=tuple(tuple(map(int, row)) for row in confusion),
        unanswered=tuple(map(int, unanswered)), labels=tuple(truth.tolist()),
        predicted=tuple(answer.tolist()),
    )  # fmt: skip


def compare_classes(before: ClassMetrics, after: ClassMetrics) -> tuple[ClassChange, ...]:
    """Which classes a change of the model hurt or helped; one entry a class that has images.

    Args:
        before: Of the dense model.
        after: Of the pruned model on the same images.
    """
    labels = np.array(before.labels)
    right = [np.array(one.predicted) == labels for one in (before, after)]
    found = []
    for number, one in enumerate(before.classes):
        own = labels == number
        if own.any():
            lost = int((right[0] & ~right[1] & own).sum())
            won = int((right[1] & ~right[0] & own).sum())
            found.append((one.class_name, compare_paired(lost, won, int(own.sum()))))
    adjusted = adjust_p_values([recall.p_value for _, recall in found])
    return tuple(
        ClassChange(name, recall, p) for (name, recall), p in zip(found, adjusted, strict=True)
    )


def _class_score(
    name: str, hits: int, present: int, predicted: int, scores: Sequence[float]
) -> ClassScore:
    """One class from counts and from what scikit-learn found: recall, precision, F1."""
    recall, precision, f1 = (None if math.isnan(value) else float(value) for value in scores)
    nothing = (None, None)
    recall_low, recall_high = wilson_interval(hits, present) if present else nothing
    precision_low, precision_high = wilson_interval(hits, predicted) if predicted else nothing
    mistakes = present + predicted - 2 * hits
    f1_low, f1_high = _f1_interval(hits, mistakes) if present else nothing
    return ClassScore(
        name, present, predicted, recall if present else None, recall_low, recall_high,
        precision if predicted else None, precision_low, precision_high,
        f1 if present else None, f1_low, f1_high,
    )  # fmt: skip


def _f1_interval(hits: int, wrong: int) -> tuple[float, float]:
    """The 95 % interval of F1, honest near 0 and 1.

    F1 is 2q / (1 + q), where q is the fraction of hits among hits and all mistakes about the class;
    q follows a beta distribution.

    Args:
        hits: Images of the class that are found.
        wrong: Images of it that are missed, and images of others taken for it.

    Reference:
        Goutte and Gaussier 2005, "A Probabilistic Interpretation of Precision, Recall and F-Score,
        with Implication for Evaluation", section 3; prior of Jeffreys.
    """
    from scipy.stats import beta

    low, high = beta.ppf([0.025, 0.975], hits + 0.5, wrong + 1)
    exact = hits / max(1, hits + wrong)
    low, high = min(float(low), exact), max(float(high), exact)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def _top5(outputs: Tensor, labels: Tensor, samples: int) -> float | None:
    """Fraction of all samples whose class is among the five highest; ties go to the first class."""
    from sklearn.metrics import top_k_accuracy_score

    classes = outputs.shape[1]
    if classes <= TOP:
        return None
    if not len(labels):
        return 0.0
    # scikit-learn gives ties to the last class, argmax to the first: seen from behind they agree.
    backwards = outputs.double().nan_to_num().flip(1).numpy()
    hits = top_k_accuracy_score(
        classes - 1 - labels.numpy(), backwards, k=TOP, normalize=False, labels=range(classes)
    )
    return float(hits) / samples
