"""All runs as a table and as a file."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from workbench.ui import run_shelf
from workbench.ui.i18n import _
from workbench.ui.run_shelf import ShelvedRun
from workbench.ui.shortening import shortened
from workbench.ui.words import explain

NAME_LENGTH = 21
"""Characters of a run's name that the table's first column has room for."""


def size_titles() -> dict[str, str]:
    """What may count as the size of a model, with its unit."""
    return {
        "nonzero": _("Non-zero parameters"),
        "macs": _("MACs, theoretical"),
        "bytes": _("Stored size, bytes"),
        "latency": _("Latency, ms"),
    }


def show_table(found: Sequence[ShelvedRun]) -> None:
    """All runs as numbers, and the same as a file."""
    frame = run_frame(found)
    shown = frame.assign(
        run=shortened([one.name for one in found], NAME_LENGTH),
        plan=(frame["allocation"] + ", " + frame["criterion"])
        .where(frame["made_by"] == "", _("training: ") + frame["made_by"])
        .str.replace("_", " "),
        accuracy=100 * frame["accuracy"],
    )
    column = st.column_config
    titles = size_titles()
    st.dataframe(
        shown, hide_index=True, alt=_("Table of {n} runs.").format(n=len(frame)),
        column_order=[
            "run", "stage", "granularity", "plan", "repair", "accuracy", "num_nonzero", "macs",
            "bytes", "latency_ms",
        ],
        column_config={
            "run": column.TextColumn(_("Run"), pinned=True, width=155),
            "stage": column.TextColumn(_("Stage"), width=80),
            "granularity": column.TextColumn(
                _("Granularity"), help=explain("granularity"), width=80
            ),
            "plan": column.TextColumn(
                _("Plan"), width=112,
                help=_("Allocation and criterion of the plan, or the method of sparse training."),
            ),
            "repair": column.TextColumn(_("Repair"), help=explain("repair"), width=50),
            "accuracy": column.NumberColumn(
                _("Accuracy"), format="%.2f %%", help=explain("test split"), width=70
            ),
            "num_nonzero": column.NumberColumn(
                _("Non-zero"), format="localized", help=titles["nonzero"], width=70
            ),
            "macs": column.NumberColumn(
                _("MACs"), format="localized", help=titles["macs"], width=80
            ),
            "bytes": column.NumberColumn(
                _("Bytes"), format="localized", help=titles["bytes"], width=72
            ),
            "latency_ms": column.NumberColumn(
                _("Latency, ms"), format="%.3g", help=explain("latency"), width=80
            ),
        },
    )  # fmt: skip
    st.download_button(
        _("Download as CSV"), frame.to_csv(index=False), file_name="runs.csv", mime="text/csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def run_frame(found: Sequence[ShelvedRun]) -> pd.DataFrame:
    """One row per run with its final numbers, plain units."""
    return pd.DataFrame(
        [
            {
                "number": one.number,
                "run": one.name,
                "stage": run_shelf.stage_title(one.run.final.name),
                "granularity": one.run.plan.granularity,
                "channel_multiple": one.run.plan.channel_multiple,
                "criterion": one.run.plan.criterion,
                "allocation": one.run.plan.allocation,
                "made_by": str(one.run.made_by.get("method", "")),
                "repair": one.run.repair,
                "accuracy": m.accuracy,
                "ci_low": m.ci_low,
                "ci_high": m.ci_high,
                "samples": m.samples,
                "loss": m.loss,
                "num_params": m.num_params,
                "num_nonzero": m.num_nonzero,
                "macs": m.macs,
                "bytes": m.bytes,
                "latency_ms": m.latency_ms,
            }
            for one in found
            for m in (one.run.final.measurement,)
        ]
    )
