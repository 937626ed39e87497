"""Each class before and after pruning: recall, precision, F1, and what is taken for what."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.ui import bench, run_shelf, session
from workbench.ui.charts.confusion import confusion_figure
from workbench.ui.charts.show import show_chart
from workbench.ui.errors import callback, fragment, plain
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, show_job, start_job
from workbench.ui.job_scope import job_of_bench
from workbench.ui.run_shelf import ShelvedRun
from workbench.ui.theme import is_dark, percent
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.class_metrics import ClassChange, ClassMetrics, ClassScore, Shown

KIND = "class_metrics"


def show_classes() -> None:
    """The classes of the chosen run beside those of the dense model; draws nothing without runs."""
    current = run_shelf.chosen()
    if current is None:
        return
    st.subheader(_("Classes"), anchor=False)
    job = job_of_bench(KIND)
    if job is not None:
        show_job(KIND)
    before, after = _measured(current)
    if before is None or after is None:
        st.write(
            _("Which classes did {run} hurt? Recall, precision and F1 of every class, and what is "
              "taken for what, on all test images.").format(run=plain(current.name))
        )  # fmt: skip
        st.button(
            _("Measure every class"), icon=":material/category:", disabled=is_active(KIND),
            on_click=callback(partial(_start, current)),
            help=_("Classifies the test images with the dense model and with this run; kept."),
        )  # fmt: skip
        return
    fragment(partial(_draw, before, after, current.name))


def _start(current: ShelvedRun) -> None:
    session.require_data()
    run_shelf.choose(current.number)
    start_job(KIND, _("Classes"), session.job_request(run=current.number))


def _measured(current: ShelvedRun) -> tuple[ClassMetrics | None, ClassMetrics | None]:
    """The dense model and the run, as far as they are kept."""
    data = session.require_data().digest
    return _read(session.require_model().digest, data), _read(current.run.final.digest, data)


def _read(model: str, data: str) -> ClassMetrics | None:
    from workbench.class_tasks import load_class_metrics

    return load_class_metrics(bench.store(), model, data)


def _draw(before: ClassMetrics, after: ClassMetrics, name: str) -> None:
    from workbench.class_metrics import compare_classes

    changes = compare_classes(before, after)
    words = _takeaway(changes, name)
    st.markdown(words)
    _show_means(before, after)
    _show_table(before, after, changes)
    _show_confusion(before, after, name, words)


def _takeaway(changes: tuple[ClassChange, ...], name: str) -> str:
    """Which classes were hurt and helped, by McNemar's test over all classes."""
    hurt = [one for one in changes if one.is_hurt]
    helped = [one for one in changes if one.is_helped]
    hurt.sort(key=lambda one: one.recall.difference)
    run = plain(name)
    if not hurt and not helped:
        return _("No class of {run} can be told from the dense model's: no change of recall is "
                 "beyond chance over {n} classes.").format(run=run, n=len(changes))  # fmt: skip
    parts = []
    if hurt:
        parts.append(_("Hurt by {run}: {classes}.").format(run=run, classes=_listed(hurt)))
    if helped:
        parts.append(_("Helped: {classes}.").format(classes=_listed(helped)))
    return " ".join([*parts, _("The others cannot be told from before.")])


def _listed(changes: list[ClassChange]) -> str:
    return ", ".join(
        f"**{plain(one.class_name)}** ({_signed(one.recall.difference)})" for one in changes
    )


def _show_means(before: ClassMetrics, after: ClassMetrics) -> None:
    """The means of both models side by side."""
    rows = [
        (_("Accuracy"), before.accuracy.accuracy, after.accuracy.accuracy),
        (_("Top-5 accuracy"), before.top5, after.top5),
        (_("Macro recall"), before.macro_recall, after.macro_recall),
        (_("Macro precision"), before.macro_precision, after.macro_precision),
        (_("Macro F1"), before.macro_f1, after.macro_f1),
    ]
    shown = [(title, b, a) for title, b, a in rows if a is not None and b is not None]
    columns = st.columns(len(shown) + 1)
    for column, (title, b, a) in zip(columns, shown, strict=False):
        column.metric(
            title, percent(a, 2), _("{points} points").format(points=_signed(a - b)),
            delta_color="off", delta_arrow="off",
            help=_("Of the run, and how far it is from the dense model's {dense}.").format(
                dense=percent(b, 2)),
        )  # fmt: skip
    columns[-1].metric(
        _("Loss"), f"{after.loss:.3f}", f"{after.loss - before.loss:+.3f}".replace("-", "−"),
        delta_color="off", delta_arrow="off",
        help=_("Mean cross-entropy of the run, and how far it is from the dense model's {dense}.")
        .format(dense=f"{before.loss:.3f}"),
    )  # fmt: skip


def _show_table(
    before: ClassMetrics, after: ClassMetrics, changes: tuple[ClassChange, ...]
) -> None:
    """A row for each class; those hurt most stand first."""
    changed = {one.class_name: one for one in changes}
    rows = [
        _row(b, a, changed.get(b.class_name))
        for b, a in zip(before.classes, after.classes, strict=True)
    ]
    frame = pd.DataFrame(rows).sort_values("order", kind="stable")
    column = st.column_config
    st.dataframe(
        frame, hide_index=True, height=min(35 * (len(frame) + 1) + 3, 480),
        alt=_("Recall, precision and F1 of every class, dense and pruned."),
        column_order=[name for name in frame.columns if name != "order"],
        column_config={
            "class": column.TextColumn(_("Class"), pinned=True, width=90),
            "samples": column.NumberColumn(_("Images"), width=60),
            "change": column.TextColumn(
                _("Recall, points"),
                help=_("Change of recall on the same images, with the 95 % interval of the paired "
                       "difference."),
            ),
            "verdict": column.TextColumn(
                _("Verdict"), width=65,
                help=_("McNemar's exact test at 5 %, adjusted for the number of classes (Holm)."),
            ),
            "recall": column.TextColumn(
                _("Recall, dense → pruned"),
                help=explain("recall"),
            ),
            "precision": column.TextColumn(
                _("Precision, dense → pruned"),
                help=explain("precision"),
            ),
            "f1": column.TextColumn(
                _("F1, dense → pruned"), help=explain("F1"),
            ),
        },
    )  # fmt: skip


def _row(before: ClassScore, after: ClassScore, change: ClassChange | None) -> dict[str, object]:
    paired = change.recall if change else None
    verdict = "" if change is None else (
        _("hurt") if change.is_hurt else _("helped") if change.is_helped else "–"
    )  # fmt: skip
    return {
        "class": before.class_name,
        "samples": before.samples,
        "verdict": verdict,
        "change": "" if paired is None else
        f"{_signed(paired.difference)} ({_signed(paired.ci_low)} to {_signed(paired.ci_high)})",
        "recall": _pair(_ends(before.recall, before.recall_low, before.recall_high),
                        _ends(after.recall, after.recall_low, after.recall_high)),
        "precision": _pair(_ends(before.precision, before.precision_low, before.precision_high),
                           _ends(after.precision, after.precision_low, after.precision_high)),
        "f1": _pair(_number(before.f1), _number(after.f1)),
        "order": paired.difference if paired else 1.0,
    }  # fmt: skip


def _ends(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "–"
    return f"{_number(value)} ({100 * low:.0f}–{100 * high:.0f})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _pair(before: str, after: str) -> str:
    return f"{before} → {after}"


def _show_confusion(before: ClassMetrics, after: ClassMetrics, name: str, words: str) -> None:
    """What is taken for what: of the dense model, of the run, or the difference."""
    from workbench.class_metrics import confusion_of

    titles = {"difference": _("Difference"), "before": _("Dense"), "after": name}
    chosen = st.segmented_control(
        _("What is taken for what"), list(titles), format_func=titles.__getitem__,
        default="difference", required=True, key="confusion_shown", persist_state="session",
        help=_("Rows are true classes. The difference is orange where the run answers so more "
               "often than the dense model, blue where less often."),
    )  # fmt: skip
    shown: Shown = (
        "before" if chosen == "before" else "after" if chosen == "after" else "difference"
    )
    show_chart(
        confusion_figure(
            confusion_of(before.confusion, after.confusion, shown),
            [one.class_name for one in before.classes], change=shown == "difference",
            dark=is_dark(),
        ),
        key=f"confusion_{shown}",
        alt=_("Heat map of true classes against answers, counts of test images. ")
        + words.replace("**", "").replace("\\", ""),
        takeaway=_unanswered(after),
    )  # fmt: skip


def _unanswered(after: ClassMetrics) -> str:
    missing = sum(after.unanswered)
    return _("{n:,} images got no answer: their scores hold a NaN.").format(n=missing) if (
        missing) else ""  # fmt: skip


def _signed(value: float) -> str:
    """Points with their sign; none where it rounds to nothing."""
    shown = f"{100 * value:+.1f}".replace("-", "−")
    return shown[1:] if shown[1:] == "0.0" else shown
