"""The sensitivity curves of the model on the bench: measured in this workspace, or shipped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import streamlit as st

from workbench.plan import digest_of_json
from workbench.ui import bench, session
from workbench.ui.i18n import _

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves, SensitivitySettings
    from workbench.store import DataRef, ModelRef

_SHOWN = "shown_curves"
_OWN = "measured_curves"
_MOST_KEPT = 40


def shelf() -> Mapping[str, SensitivityCurves]:
    """Every set of curves at hand by its key: this workspace's own first, then those shipped."""
    data = session.workspace().data_ref
    if data is None:
        return {}
    model, found = session.model_ref(), {}
    digests = _digests(model, data)
    for key in _own_keys():
        curves = _stored(key)
        if curves is not None and curves.points and (curves.model, curves.data) == digests:
            found[key] = curves
    return {**found, **_shipped(model, data)}


def current() -> SensitivityCurves | None:
    """The curves that every page shows: the chosen ones, else the best at hand; None without."""
    return shelf().get(current_key())


def current_key() -> str:
    """Key of the current curves; empty where there are none."""
    found = shelf()
    chosen = str(session.setting(_SHOWN, ""))
    return chosen if chosen in found else next(iter(found), "")


def choose(key: str) -> None:
    """Make a set of curves the current one."""
    session.remember(**{_SHOWN: key})


def expect_curves(settings: SensitivitySettings) -> None:
    """Make the curves that are about to be measured the current ones, as soon as they are there."""
    model, data = _digests(session.model_ref(), session.data_ref())
    key = _key(model, data, settings)
    own = [key, *(other for other in _own_keys() if other != key)]
    session.remember(**{_SHOWN: key, _OWN: own[:_MOST_KEPT]})


def title(key: str) -> str:
    """What a set of curves is called in a list: its criterion, repair, images and origin."""
    from workbench.criteria import get_criterion
    from workbench.repair import get_repair

    curves = shelf()[key]
    settings = curves.settings
    state = (
        _("no repair")
        if settings.repair == "none"
        else _("after repair: {repair}").format(repair=get_repair(settings.repair).title)
    )
    name = _("{criterion}, {state}, {samples:,} images, {levels} levels").format(
        criterion=get_criterion(settings.criterion).title,
        state=state,
        samples=curves.baseline.samples if curves.baseline else settings.num_samples,
        levels=len(settings.levels),
    )
    origin = _("measured here") if key in _own_keys() else _("came with the model")
    partial = "" if curves.complete else _(", not finished")
    return f"{name} ({origin}{partial})"


def _own_keys() -> list[str]:
    """Keys of the curves measured in this workspace, for any model, the newest first."""
    own = [str(key) for key in session.setting(_OWN, [])]
    last = session.workspace().curves
    return [last, *own] if last and last not in own else own


def _key(model_digest: str, data_digest: str, settings: SensitivitySettings) -> str:
    """The name under which the store keeps curves."""
    return digest_of_json(
        {"model": model_digest, "data": data_digest, "settings": settings.to_dict()}
    )


@st.cache_resource(show_spinner=False, max_entries=64, hash_funcs=bench.BY_REFERENCE)
def _digests(model: ModelRef, data: DataRef) -> tuple[str, str]:
    """Digests of the model and the data that two references point to."""
    return bench.model(model).digest, bench.data(data).digest


def _stored(key: str) -> SensitivityCurves | None:
    """Curves from the store, read again only where the file has changed."""
    try:
        changed = (bench.store().curves_folder / f"{key}.json").stat().st_mtime_ns
    except OSError:
        return None
    return _read(key, changed)


@st.cache_resource(show_spinner=False, max_entries=64)
def _read(key: str, changed: int) -> SensitivityCurves | None:  # noqa: ARG001  part of the key
    from workbench.curves import SensitivityCurves

    values = bench.store().load_curves(key)
    return None if values is None else SensitivityCurves.from_dict(values)


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=bench.BY_REFERENCE)
def _shipped(model: ModelRef, data: DataRef) -> dict[str, SensitivityCurves]:
    """The curves that came with a sample model, where they were measured on these data.

    Curves after repair come first: they tell what a person gets who repairs.
    """
    from workbench.sensitivity import sample_curves

    digest = bench.data(data).digest
    fitting = [c for c in sample_curves(bench.model(model)) if c.data == digest]
    fitting.sort(key=lambda curves: curves.settings.repair == "none")
    return {_key(c.model, c.data, c.settings): c for c in fitting}
