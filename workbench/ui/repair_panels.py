"""What the repair of a run did and what each step gained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.ui.charts import repair_figure, show_chart
from workbench.ui.errors import plain
from workbench.ui.i18n import _, ngettext
from workbench.ui.theme import duration, percent, plain_number
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.experiment import Run, Stage
    from workbench.repair import RepairRecord


def show_repair(run: Run, number: int) -> None:
    """One sentence on the repair of a run, and every step of it; nothing where there was none."""
    stage = run.stage("repaired")
    if stage is None or stage.repair is None:
        return
    record = stage.repair
    st.caption(f":material/healing: {plain(repair_sentence(run, stage, record))}")
    if not record.steps:
        return
    with st.expander(_("What each step of the repair gained"), icon=":material/healing:"):
        sentence = _steps_sentence(record)
        show_chart(
            repair_figure(record.steps), key=f"repair_{number}", takeaway=sentence,
            alt=_("Marks of the error of every layer before and after repair. ") + sentence,
        )  # fmt: skip
        _show_table(record)
        for note in record.notes:
            st.caption(plain(note))


def repair_sentence(run: Run, stage: Stage, record: RepairRecord) -> str:
    """From which accuracy to which, in what time, and what was taken in the end."""
    from workbench.repair import REPAIRS

    before = run.stage("pruned")
    title = REPAIRS[run.repair].title
    sentence = _("{repair} took {time}.").format(repair=title, time=_spent(stage.seconds))
    if before is not None:
        sentence = _("{repair} brought {before} to {after} in {time}, without labels.").format(
            repair=title, before=percent(before.measurement.accuracy, 2),
            after=percent(stage.measurement.accuracy, 2), time=_spent(stage.seconds),
        )  # fmt: skip
    if record.chosen in REPAIRS and record.chosen != run.repair:
        sentence += " " + _(
            "“{chosen}” came closest to the dense model on held-out images, so that is what was "
            "kept."
        ).format(chosen=REPAIRS[record.chosen].title)
    return sentence


def _spent(seconds: float) -> str:
    return duration(seconds) if seconds >= 1 else _("less than a second")


def _steps_sentence(record: RepairRecord) -> str:
    """How many layers were solved anew, and where that helped most."""
    changed = [step for step in record.steps if step.kept]
    sentence = ngettext(
        "{n} of {total} steps was kept, the others did not lower the error.",
        "{n} of {total} steps were kept; a step that does not lower the error is undone.",
        len(changed),
    ).format(n=len(changed), total=len(record.steps))
    if changed:
        best = max(changed, key=lambda step: step.error_before - step.error_after)
        sentence += " " + _("The error fell most in {layer}: from {before} to {after}.").format(
            layer=best.layer, before=plain_number(best.error_before),
            after=plain_number(best.error_after),
        )  # fmt: skip
    if record.distances:
        from workbench.repair import REPAIRS

        titles = {name: repair.title for name, repair in REPAIRS.items()} | {
            "none": _("without repair")
        }
        listed = ", ".join(
            f"{titles.get(name, name)} {plain_number(value)}"
            for name, value in sorted(record.distances.items(), key=lambda one: -one[1])
        )
        sentence += " " + _(
            "Distance to the dense model's answers on held-out images, in nats, less is better: "
            "{listed}."
        ).format(listed=listed)
    return sentence


def _show_table(record: RepairRecord) -> None:
    rows = pd.DataFrame(
        {
            "layer": [step.layer for step in record.steps],
            "method": [step.method for step in record.steps],
            "before": [step.error_before for step in record.steps],
            "after": [step.error_after for step in record.steps],
            "kept": [_("Yes") if step.kept else _("No") for step in record.steps],
        }
    )
    column = st.column_config
    st.dataframe(
        rows, hide_index=True, height=min(35 * (len(rows) + 1) + 3, 320),
        alt=_("Table of {n} steps of the repair.").format(n=len(rows)),
        column_config={
            "layer": column.TextColumn(_("Layer"), pinned=True),
            "method": column.TextColumn(_("Method")),
            "before": column.NumberColumn(
                _("Error before"), format="%.3f", help=explain("reconstruction error")
            ),
            "after": column.NumberColumn(
                _("Error after"), format="%.3f", help=explain("reconstruction error")
            ),
            "kept": column.TextColumn(
                _("Kept"), help=_("A step that does not lower the error is undone.")
            ),
        },
    )  # fmt: skip
