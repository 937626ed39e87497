"""The parts of the export page: what to export, the checks, and the download."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.ui import bench, run_shelf, session
from workbench.ui.errors import callback, plain
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, show_job, start_job
from workbench.ui.job_scope import job_of_bench
from workbench.ui.run_shelf import ShelvedRun
from workbench.ui.theme import in_bytes, percent, plain_number

if TYPE_CHECKING:
    from workbench.export import Exported

EXPORT = "export"
_DENSE = 0


def show_export() -> None:
    """Choose what to export, start, and take the files away."""
    found = {one.number: one for one in run_shelf.runs()}
    numbers = [*reversed(found), _DENSE]
    current = run_shelf.chosen()

    titles = {number: one.title for number, one in found.items()}
    titles[_DENSE] = _("{model}, dense").format(model=session.model_ref().name)
    widget = f"export_{numbers}_{current.number if current else 0}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        number = st.selectbox(
            _("What to export"), numbers, index=numbers.index(current.number) if current else 0,
            format_func=titles.__getitem__, key=widget,
        )  # fmt: skip
        st.button(
            _("Export and verify"), type="primary", icon=":material/verified:",
            disabled=is_active(EXPORT), on_click=callback(partial(_export, widget)),
            help=_("Writes all files and runs each of them in a fresh process on real images."),
        )  # fmt: skip
    job = job_of_bench(EXPORT)
    if job is not None and (job.active or job.request.get("run") == (number or None)):
        show_job(EXPORT)
    if job is not None and job.active:
        return
    exported = _finished(number)
    if exported is not None:
        _show_exported(exported, titles[number], found.get(number))
    else:
        _explain()


def _export(widget: str) -> None:
    number = int(st.session_state[widget])
    session.require_data()
    found = {one.number: one.name for one in run_shelf.runs()}
    name = found.get(number, session.model_ref().name)
    start_job(
        EXPORT, _("Exporting {name}").format(name=name), session.job_request(run=number or None)
    )


def _finished(number: int) -> Exported | None:
    """The export of a run that lies in the store's folder, if it is still the same model."""
    from workbench.run_export import load_export

    return load_export(bench.store(), session.workspace_id(), session.model_ref(), number or None)


def _explain() -> None:
    st.info(
        _(
            "You get ONNX, a PyTorch program, the weights with a model.py that needs torch alone, "
            "the plan, and a report. Every file is run and compared before you can download it."
        ),
        icon=":material/inventory_2:",
    )


def _show_exported(exported: Exported, title: str, one: ShelvedRun | None) -> None:
    """The checks, the sizes, the files, and the downloads."""
    st.subheader(plain(title), anchor=False)
    columns = st.columns(4)
    accuracy = exported.accuracy
    columns[0].metric(
        _("Largest difference"), plain_number(exported.max_abs_diff), border=True,
        height="stretch", delta_description=_("to the model in memory"),
        help=_("Between a class score of a file and of the model in memory, on real images."),
    )  # fmt: skip
    columns[1].metric(
        _("Accuracy in ONNX Runtime"), percent(accuracy, 2) if accuracy is not None else "–",
        border=True, height="stretch", delta_description=_("all test images"),
        help=_("Measured on all test images with the ONNX file itself."),
    )  # fmt: skip
    onnx, weights = _bytes_of(exported, "model.onnx"), _bytes_of(exported, "weights.safetensors")
    columns[2].metric(
        _("ONNX file"), in_bytes(onnx) if onnx is not None else "–", border=True,
        height="stretch", delta_description=_("weights and network"), help=_size_help(one),
    )  # fmt: skip
    columns[3].metric(
        _("Weights file"), in_bytes(weights) if weights is not None else "–", border=True,
        height="stretch", delta_description=_against_dense(weights, one), help=_size_help(one),
    )  # fmt: skip
    _show_files(exported)
    for note in exported.notes:
        st.caption(plain(note))
    _show_downloads(exported.folder)


def _bytes_of(exported: Exported, name: str) -> int | None:
    return next((file.bytes for file in exported.files if file.name == name), None)


def _size_help(one: ShelvedRun | None) -> str:
    """What zeros or removed channels do to a file, and how large the dense model's weights are."""
    facts = session.model_facts()
    if one is None or facts is None:
        return _("As it came, nothing is pruned.")
    words = (
        _("Removed channels are not in the file: it is really smaller, unzipped too.")
        if one.structured
        else _("Zeros are stored like any other number; zipping the file makes it smaller.")
    )
    dense = _("The dense model's weights take {bytes}.").format(bytes=in_bytes(facts.file_bytes))
    return f"{words} {dense}"


def _against_dense(weights: int | None, one: ShelvedRun | None) -> str:
    """The weights file beside that of the dense model."""
    facts = session.model_facts()
    if weights is None or one is None or facts is None:
        return _("of the dense model")
    if one.structured:
        ratio = f"{facts.file_bytes / max(1, weights):.2f}"
        return _("really {ratio}× smaller").format(ratio=ratio)
    return _("zeros take room")


def _show_files(exported: Exported) -> None:
    """One line per file with its check."""
    checks = {check.file: check for check in exported.checks}
    rows: list[dict[str, Any]] = []
    for file in exported.files:
        check = checks.get(file.name)
        rows.append(
            {
                "file": file.name,
                "bytes": in_bytes(file.bytes),
                "difference": plain_number(check.max_abs_diff) if check else "",
                "agreement": percent(check.agreement, 2) if check else "",
                "samples": f"{check.samples:,}" if check else "",
            }
        )
    column = st.column_config
    st.dataframe(
        pd.DataFrame(rows), hide_index=True,
        alt=_("Table of {n} exported files with size and largest difference.").format(n=len(rows)),
        column_config={
            "file": column.TextColumn(_("File"), pinned=True),
            "bytes": column.TextColumn(_("Size")),
            "difference": column.TextColumn(_("Largest difference")),
            "agreement": column.TextColumn(
                _("Same class"), help=_("Images that file and model put into the same class.")
            ),
            "samples": column.TextColumn(_("Images compared")),
        },
    )  # fmt: skip


def _show_downloads(folder: Path) -> None:
    """Everything in one archive, and the ONNX file alone."""
    from workbench.export import zip_export

    onnx = folder / "model.onnx"
    with st.container(horizontal=True):
        if onnx.is_file():
            st.download_button(
                _("Download model.onnx"), onnx.read_bytes, file_name="model.onnx",
                mime="application/octet-stream", icon=":material/download:", type="primary",
                on_click="ignore",
            )  # fmt: skip
        st.download_button(
            _("Download everything"), lambda: zip_export(folder), file_name="pruned-model.zip",
            mime="application/zip", icon=":material/folder_zip:", on_click="ignore",
        )  # fmt: skip
