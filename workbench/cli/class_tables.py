"""Tables of what a model does to each class."""

from workbench.class_metrics import ClassMetrics
from workbench.cli.output import percent, table

MAX_COLUMNS = 20


def classes_text(found: ClassMetrics) -> str:
    """Recall, precision and F1 of each class with their means, then the confusion matrix."""
    rows = [
        [one.class_name, _percent(one.recall), _interval(one.recall_low, one.recall_high),
         _percent(one.precision), _interval(one.precision_low, one.precision_high),
         _percent(one.f1), _interval(one.f1_low, one.f1_high)]
        for one in found.classes
    ]  # fmt: skip
    rows.append(["macro mean", _percent(found.macro_recall), "", _percent(found.macro_precision),
                 "", _percent(found.macro_f1), ""])  # fmt: skip
    span = "95 % interval"
    parts = [table(["class", "recall", span, "precision", span, "F1", span], rows)]
    if found.top5 is not None:
        parts.append(f"Top-5 accuracy: {percent(found.top5)}")
    return "\n\n".join([*parts, *_confusion(found)])


def _confusion(found: ClassMetrics) -> list[str]:
    """True classes in rows, what they are taken for in columns, numbered as the rows are."""
    if len(found.classes) > MAX_COLUMNS:
        return []
    heads = ["true class", *map(str, range(len(found.classes)))]
    rows = [
        [f"{number} {one.class_name}", *map(str, counts)]
        for number, (one, counts) in enumerate(zip(found.classes, found.confusion, strict=True))
    ]
    return [f"Images by what they are taken for:\n{table(heads, rows)}"]


def _percent(value: float | None) -> str:
    return "" if value is None else percent(value)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"
