"""The sensitivity curves of the model on the bench: measured in this workspace, or shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from workbench.ui import bench, session
from workbench.ui.i18n import _

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves
    from workbench.store import DataRef, ModelRef

SHOWN = "shown_curves"


def shelf() -> dict[str, SensitivityCurves]:
    """Every set of curves at hand by its key: this workspace's own first, then those shipped."""
    found = {}
    own = session.workspace().curves
    if own and (curves := _stored(own)) is not None:
        found[own] = curves
    data = session.workspace().data_ref
    if data is not None:
        found.update(_shipped(session.model_ref(), data))
    return found


def current() -> SensitivityCurves | None:
    """The curves that every page shows: the chosen ones, else the best at hand; None without."""
    found = shelf()
    key = current_key()
    return found.get(key) if key else None


def current_key() -> str:
    """Key of the current curves; empty where there are none."""
    found = shelf()
    chosen = str(session.setting(SHOWN, ""))
    return chosen if chosen in found else next(iter(found), "")


def choose(key: str) -> None:
    """Make a set of curves the current one."""
    session.remember(**{SHOWN: key})


def title(key: str) -> str:
    """What a set of curves is called in a list: its repair, images and criterion."""
    from workbench.criteria import get_criterion
    from workbench.repair import get_repair

    curves = shelf()[key]
    settings = curves.settings
    state = (
        _("no repair")
        if settings.repair == "none"
        else _("after repair: {repair}").format(repair=get_repair(settings.repair).title)
    )
    name = _("{criterion}, {state}, {samples:,} images").format(
        criterion=get_criterion(settings.criterion).title,
        state=state,
        samples=curves.baseline.samples if curves.baseline else settings.num_samples,
    )
    origin = _("measured here") if key == session.workspace().curves else _("came with the model")
    partial = "" if curves.complete else _(", not finished")
    return f"{name} ({origin}{partial})"


def _stored(key: str) -> SensitivityCurves | None:
    from workbench.curves import SensitivityCurves

    values = bench.store().load_curves(key)
    return None if values is None else SensitivityCurves.from_dict(values)


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=bench.BY_REFERENCE)
def _shipped(model: ModelRef, data: DataRef) -> dict[str, SensitivityCurves]:
    """The curves that came with a sample model, where they were measured on these data.

    Curves after repair come first: they tell what a person gets who repairs.
    """
    from workbench.plan import digest_of_json
    from workbench.sensitivity import sample_curves

    digest = bench.data(data).digest
    fitting = [c for c in sample_curves(bench.model(model)) if c.data == digest]
    fitting.sort(key=lambda curves: curves.settings.repair == "none")
    return {
        digest_of_json({"model": c.model, "data": c.data, "settings": c.settings.to_dict()}): c
        for c in fitting
    }
