"""All criteria compared on a sample, from what a benchmark measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.catalogue import methods_of
from workbench.catalogue_table import DENSE, FLOOR, CriteriaTable, load_table, marks
from workbench.ui import session
from workbench.ui.errors import plain
from workbench.ui.i18n import _, ngettext
from workbench.ui.theme import percent
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.catalogue_table import Cell


@st.cache_resource(show_spinner=False)
def _table() -> CriteriaTable | None:
    return load_table()


def show_table() -> None:
    """A sample, a granularity and a stage; a row for every criterion, a column for every level."""
    st.subheader(_("All criteria on the samples"), anchor=False)
    found = _table()
    if found is None or not found.models:
        st.info(
            _("This installation carries no measured comparison. In a checkout, make tables "
              "measures and writes it."),
            icon=":material/table_chart:",
        )  # fmt: skip
        return
    here = session.model_ref().sample
    columns = st.columns([1.3, 1.4, 1.4], vertical_alignment="bottom")
    models = list(found.models)
    model = str(
        columns[0].selectbox(
            _("Sample"), models, models.index(here) if here in models else 0,
            key=f"criteria_model_{here}", help=_("The network that everything was measured on."),
        )
    )  # fmt: skip
    granularities = list(found.granularities(model))
    titles = {"weight": _("Weights"), "channel": _("Channels")}
    granularity = str(
        columns[1].segmented_control(
            _("Granularity"), granularities, format_func=titles.__getitem__, required=True,
            default=granularities[0], key=f"criteria_granularity_{model}",
            help=explain("granularity"),
        )
    )  # fmt: skip
    stages = list(found.stages(model, granularity))
    stage_titles = {"raw": _("Raw"), "repaired": _("Repaired"), "tuned": _("Fine-tuned")}
    stage = str(
        columns[2].segmented_control(
            _("Measured"), stages, format_func=stage_titles.__getitem__, required=True,
            default=stages[min(1, len(stages) - 1)], key=f"criteria_stage_{model}_{granularity}",
            help=_("Right after the cut, after full repair, or after fine-tuning."),
        )
    )  # fmt: skip
    _draw(found, model, granularity, stage)


def _draw(found: CriteriaTable, model: str, granularity: str, stage: str) -> None:
    levels = found.levels(model, granularity)
    by_level = {level: found.column(model, granularity, level, stage) for level in levels}
    frame = table_frame(by_level)
    st.dataframe(
        frame, hide_index=True, height=35 * (len(frame) + 1) + 3,
        alt=_("Table of test accuracy on {model}, a row for each criterion and a column for each "
              "level.").format(model=model),
        column_config={_("Criterion"): st.column_config.TextColumn(pinned=True)},
    )  # fmt: skip
    cells = [cell for column in by_level.values() for cell in column.values()]
    dense = found.dense(model)
    st.caption(_legend(cells, dense))
    st.markdown(takeaway(by_level))
    st.download_button(
        _("Download as CSV"), frame.to_csv(index=False), file_name="criteria.csv",
        mime="text/csv", icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def table_frame(by_level: Mapping[float, Mapping[str, Cell]]) -> pd.DataFrame:
    """A row for every criterion, in the order of the catalogue, random last."""
    signs = {"best": " ★", "tie": " ≈", "floor": " ▼", "": ""}
    standing = {level: marks(column) for level, column in by_level.items()}
    present = {name for column in by_level.values() for name in column}
    order = [name for name in methods_of("criterion") if name in present and name != FLOOR]
    order += [FLOOR] if FLOOR in present else []
    rows = []
    for name in order:
        cells = [column[name] for column in by_level.values() if name in column]
        row = {_("Criterion"): methods_of("criterion")[name].title}
        for level, column in by_level.items():
            cell = column.get(name)
            row[percent(level, 0)] = _told(cell) + signs[standing[level][name]] if cell else ""
        row[_("Scores, s")] = f"{cells[0].seconds:.2g}"
        row[_("Images")] = f"{cells[0].images:,}" if cells[0].images else "–"
        rows.append(row)
    return pd.DataFrame(rows)


def _told(cell: Cell) -> str:
    spread = f" ± {100 * cell.spread:.1f}" if cell.seeds > 1 else ""
    return f"{100 * cell.accuracy:.1f}{spread} %"


def _legend(cells: list[Cell], dense: Cell | None) -> str:
    seeds, samples = max(cell.seeds for cell in cells), max(cell.samples for cell in cells)
    epochs = max(cell.epochs for cell in cells)
    words = [
        _("Test accuracy over {samples:,} images, mean ± standard deviation of {seeds} seeds.")
        .format(samples=samples, seeds=seeds),
        _("★ best at this level · ≈ cannot be told from it (95 %) · ▼ below random (95 %)."),
    ]  # fmt: skip
    if epochs:
        words.append(_("Trained for {n} epochs.").format(n=epochs))
    if dense is not None:
        words.append(_("Dense: {accuracy}.").format(accuracy=percent(dense.accuracy, 1)))
    return " ".join(words)


def takeaway(by_level: Mapping[float, Mapping[str, Cell]]) -> str:
    """Who wins at each level, and who is below random anywhere."""
    titles = {name: plain(one.title) for name, one in methods_of("criterion").items()}
    best = []
    for level, column in by_level.items():
        found = marks(column)
        if column:
            ties = sum(mark == "tie" for mark in found.values())
            name = titles.get(next(iter(column)), DENSE)
            tied = ngettext("{n} tie", "{n} ties", ties).format(n=ties)
            best.append(f"{percent(level, 0)}: **{name}**" + (f" ({tied})" if ties else ""))
    below = sorted({
        titles.get(name, name)
        for column in by_level.values()
        for name, mark in marks(column).items()
        if mark == "floor"
    })  # fmt: skip
    words = _("Best at {levels}.").format(levels=", ".join(best))
    if below:
        words += " " + _("Below random somewhere: {names}.").format(names=", ".join(below))
    return words
