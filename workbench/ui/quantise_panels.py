"""The page that puts something else in the place of weights: results, proof and downloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.ui import bench, run_shelf, session
from workbench.ui.charts import show_chart
from workbench.ui.charts.quantised import FileMark, quantised_figure
from workbench.ui.errors import plain
from workbench.ui.i18n import _
from workbench.ui.job_panel import show_job
from workbench.ui.job_scope import job_of_bench
from workbench.ui.quantise_form import REPLACEMENT, show_form
from workbench.ui.theme import in_bytes, interval, milliseconds, percent

if TYPE_CHECKING:
    from workbench.replacement import ReplacementSettings
    from workbench.replacement_tasks import Replacements
    from workbench.replacing import Replaced

_DENSE = 0


def show_quantise() -> None:
    """Choose a model, what to do, start, and look at what came out."""
    found = {one.number: one for one in run_shelf.runs()}
    numbers = [*reversed(found), _DENSE]
    current = run_shelf.chosen()
    titles = {number: one.title for number, one in found.items()}
    titles[_DENSE] = _("{model}, dense").format(model=session.model_ref().name)
    number = st.selectbox(
        _("What to quantise"), numbers, format_func=titles.__getitem__,
        index=numbers.index(current.number) if current else 0,
        key=f"quantise_{numbers}_{current.number if current else 0}",
        help=_("A run with its zeros or removed channels, or the dense model."),
    )  # fmt: skip
    name = found[number].name if number else session.model_ref().name
    show_form(number, name)
    job = job_of_bench(REPLACEMENT)
    if job is not None and (job.active or job.request.get("run") == (number or None)):
        show_job(REPLACEMENT)
    kept = _kept(number)
    if kept is not None and kept.results:
        _show_results(kept, name)
    else:
        _explain()


def _kept(number: int) -> Replacements | None:
    """What the store's folder holds for a run, or for the dense model."""
    from workbench.replacement_tasks import load_replacements

    return load_replacements(
        bench.store(), session.workspace_id(), session.model_ref(), number or None
    )


def _explain() -> None:
    st.info(
        _(
            "Nothing has been put in the place of these weights yet. Every file is measured as "
            "it lies on disk: its bytes, its accuracy on test images, its time beside the model "
            "as it is, and whether every pruned weight is still exactly zero."
        ),
        icon=":material/compress:",
    )
    _tell_methods()


def _tell_methods() -> None:
    """Every method in full, folded away."""
    from workbench.replacement import REPLACEMENTS

    with st.expander(_("What the methods do"), icon=":material/menu_book:"):
        for method in REPLACEMENTS.values():
            st.markdown(f"**{plain(method.title)}**")
            st.markdown(plain(method.explanation))
            st.latex(method.formula)
            st.caption(plain(f"{method.strengths} {method.limits} ({method.paper})"))


def label(settings: ReplacementSettings) -> str:
    """What a page calls a file, in the words of the form."""
    from workbench.replacement import REPLACEMENTS

    huffman = _(", Huffman") if settings.coding == "huffman" else ""
    return {
        "cluster": _("Codebook, {bits} bits").format(bits=settings.bits) + huffman,
        "nm": _("Pattern {pattern}").format(pattern=settings.pattern),
        "channel_multiple": _("Multiples of {n} channels").format(n=settings.multiple),
    }.get(settings.method, REPLACEMENTS[settings.method].title)


def _show_results(kept: Replacements, name: str) -> None:
    """Headline numbers, the chart, the table, the proof and the files."""
    smallest = min(kept.results, key=lambda one: one.bytes)
    st.subheader(plain(name), anchor=False)
    columns = st.columns(4)
    columns[0].metric(
        _("Smallest file"), in_bytes(smallest.bytes), border=True, height="stretch",
        delta_description=label(smallest.settings), help=_("Measured on disk."),
    )  # fmt: skip
    columns[1].metric(
        _("Smaller than dense"), f"{kept.dense.bytes / smallest.bytes:.1f}×", border=True,
        height="stretch",
        delta_description=_("{bytes} in float32").format(bytes=in_bytes(kept.dense.bytes)),
        help=_("Bytes of the dense weights file divided by bytes of the smallest file."),
    )  # fmt: skip
    columns[2].metric(
        _("Its accuracy"), percent(smallest.accuracy, 2), border=True, height="stretch",
        delta_description=_("dense {dense}").format(dense=percent(kept.dense.accuracy, 2)),
        help=_("On all test images, with the restored file."),
    )  # fmt: skip
    columns[3].metric(
        _("Zeros that survived"), _survived(kept.results), border=True, height="stretch",
        delta_description=_("in all files"),
        help=_("Pruned weights that are still exactly zero, of those that were zero before."),
    )  # fmt: skip
    _show_chart(kept, name, smallest)
    _show_table(kept, name)
    _show_proof(kept.results)
    _show_files(kept)
    _tell_methods()


def _survived(results: Sequence[Replaced]) -> str:
    before = sum(proof.zeros_before for one in results for proof in one.proof)
    after = sum(proof.zeros_kept for one in results for proof in one.proof)
    if not before:
        return _("none to keep")
    return percent(after / before, 2 if after < before else 0)


def _show_chart(kept: Replacements, name: str, smallest: Replaced) -> None:
    dense, before = kept.dense, kept.before
    marks = [
        FileMark(
            _("dense"), "dense", dense.bytes, dense.accuracy, dense.ci_low, dense.ci_high
        )
    ]  # fmt: skip
    if before != dense:
        marks.append(
            FileMark(name, "run", before.bytes, before.accuracy, before.ci_low, before.ci_high)
        )
    kinds = {"int8_static": "int8", "int8_dynamic": "int8", "cluster": "cluster"}
    marks += [
        FileMark(
            label(one.settings), kinds.get(one.settings.method, "pattern"), one.bytes, one.accuracy,
            one.ci_low, one.ci_high,
        )
        for one in kept.results
    ]  # fmt: skip
    takeaway = _(
        "{key} is the smallest file: {bytes}, {factor}× smaller than the dense weights file, with "
        "{points} points of test accuracy beside it."
    ).format(
        key=label(smallest.settings), bytes=in_bytes(smallest.bytes),
        factor=f"{dense.bytes / smallest.bytes:.1f}",
        points=f"{100 * (smallest.accuracy - dense.accuracy):+.2f}".replace("-", "−"),
    )  # fmt: skip
    show_chart(
        quantised_figure(marks), key="quantised", takeaway=takeaway,
        alt=_("Test accuracy against bytes on disk for {n} files. ").format(n=len(marks))
        + takeaway,
    )  # fmt: skip


def _show_table(kept: Replacements, name: str) -> None:
    """Every file with its numbers, the model as it is first."""
    before = kept.before
    former = next((one.latency.dense.median_ms for one in kept.results if one.latency), None)
    rows: list[dict[str, Any]] = [
        {
            "what": _("{name}, float32").format(name=name),
            "accuracy": 100 * before.accuracy,
            "interval": interval(before.ci_low, before.ci_high, before.samples),
            "bytes": before.bytes, "zipped": before.zipped_bytes,
            "factor": kept.dense.bytes / before.bytes,
            "latency": milliseconds(former) if former else "", "speedup": "",
        }
    ]  # fmt: skip
    for one in kept.results:
        time = one.latency
        rows.append(
            {
                "what": label(one.settings),
                "accuracy": 100 * one.accuracy,
                "interval": interval(one.ci_low, one.ci_high, one.samples),
                "bytes": one.bytes, "zipped": one.zipped_bytes,
                "factor": kept.dense.bytes / one.bytes,
                "latency": milliseconds(time.pruned.median_ms) if time else _("not timed"),
                "speedup": f"{time.measured_speedup:.2f}× ({time.speedup_low:.2f}–"
                f"{time.speedup_high:.2f})" if time else "",
            }
        )  # fmt: skip
    column = st.column_config
    st.dataframe(
        pd.DataFrame(rows), hide_index=True,
        alt=_("Table of {n} files with accuracy, bytes and latency.").format(n=len(rows)),
        column_config={
            "what": column.TextColumn(_("Weights"), pinned=True),
            "accuracy": column.NumberColumn(
                _("Accuracy"), format="%.2f %%", help=_("On all test images, of the file itself.")
            ),
            "interval": column.TextColumn(_("95 % interval")),
            "bytes": column.NumberColumn(
                _("Bytes"), format="localized", help=_("Length of the file on disk.")
            ),
            "zipped": column.NumberColumn(
                _("Zipped"), format="localized", help=_("After deflate, as in a zip archive.")
            ),
            "factor": column.NumberColumn(
                _("Smaller"), format="%.1f×", help=_("Than the dense weights file in float32.")
            ),
            "latency": column.TextColumn(
                _("Latency"),
                help=_("Median time of one image on one thread in ONNX Runtime, timed in turns "
                       "with the model as it is."),
            ),
            "speedup": column.TextColumn(
                _("Measured speedup"),
                help=_("Beside the same model in float32, with the 95 % interval."),
            ),
        },
    )  # fmt: skip
    notes = [
        f"- **{plain(label(one.settings))}**: {' '.join(plain(note) for note in one.notes)}"
        for one in kept.results
        if one.notes
    ]
    st.caption("\n".join(notes))


def _show_proof(results: Sequence[Replaced]) -> None:
    """Zeros of every weight before and in the file."""
    whole = all(one.survived for one in results)
    title = (
        _("Proof: every weight that was zero is exactly zero in every file")
        if whole
        else _("Some zeros did not survive")
    )
    icon = ":material/check_circle:" if whole else ":material/warning:"
    with st.expander(title, icon=icon, expanded=not whole):
        st.write(
            _(
                "Counted in the files themselves: each weight's entries are read back and compared "
                "with those before. In 8 bits the number that stands for zero must be 0 in every "
                "channel, or a pruned weight would come back as something else."
            )
        )
        rows = [
            {
                "what": label(one.settings), "weight": proof.name, "kind": proof.kind,
                "count": proof.num_weights, "before": proof.num_weights - proof.zeros_before,
                "after": proof.num_weights - proof.zeros_after, "zeros": proof.zeros_before,
                "kept": proof.zeros_kept,
                "point": "–" if proof.zero_point is None else str(proof.zero_point),
                "survived": proof.survived,
            }
            for one in results
            for proof in one.proof
        ]  # fmt: skip
        column = st.column_config
        st.dataframe(
            pd.DataFrame(rows), hide_index=True,
            alt=_("Table of zeros before and after, {n} weights.").format(n=len(rows)),
            column_config={
                "what": column.TextColumn(_("File"), pinned=True, width=100),
                "weight": column.TextColumn(_("Weight"), pinned=True, width=98),
                "kind": column.TextColumn(_("Held as"), width=60),
                "count": column.NumberColumn(_("Entries"), format="localized", width=60),
                "before": column.NumberColumn(
                    _("Non-zero before"), format="localized", width=108
                ),
                "after": column.NumberColumn(
                    _("Non-zero after"), format="localized", width=100,
                    help=_("Fewer where small weights were rounded to zero as well."),
                ),
                "zeros": column.NumberColumn(_("Zeros before"), format="localized", width=90),
                "kept": column.NumberColumn(
                    _("Still zero"), format="localized", width=70,
                    help=_("Of those, entries that are exactly zero in the file."),
                ),
                "point": column.TextColumn(
                    _("Zero point"), width=75, help=_("The 8-bit number that stands for zero.")
                ),
                "survived": column.CheckboxColumn(_("Survived"), width=65),
            },
        )  # fmt: skip


def _show_files(kept: Replacements) -> None:
    """A download for every file, and how a compressed one is restored."""
    with st.container(horizontal=True):
        for one in kept.results:
            path = kept.folder / one.file
            if path.is_file():
                st.download_button(
                    _("Download {file}").format(file=one.file), path.read_bytes,
                    file_name=one.file, mime="application/octet-stream",
                    icon=":material/download:", on_click="ignore", key=f"get_{one.file}",
                    help=_("{bytes} on disk.").format(bytes=in_bytes(one.bytes)),
                )  # fmt: skip
    if any(one.settings.method == "cluster" for one in kept.results):
        st.caption(
            _("A .pwc file is restored by `workbench restore FILE --out weights.safetensors`, or "
              "in Python by `workbench.load_compressed(FILE)`.")
        )  # fmt: skip
