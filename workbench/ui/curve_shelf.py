"""The sensitivity curves of the model on the bench: measured in this workspace, or shipped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import streamlit as st

from workbench.plan import digest_of_json
from workbench.ui import bench, session
from workbench.ui.granularity_choice import granularity_title
from workbench.ui.i18n import _

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves, SensitivitySettings
    from workbench.store import DataRef, ModelRef

_SHOWN = "shown_curves"
_OWN = "measured_curves"
_MOST_KEPT = 40
_SHIPPED = ("weight", "channel")


def shelf() -> Mapping[str, SensitivityCurves]:
    """Every set of curves at hand by its key.

    Those of the plan's granularity come first, then those of its criterion; among equals this
    workspace's own before those shipped.
    """
    data = session.workspace().data_ref
    if data is None:
        return {}
    model, found = session.model_ref(), {}
    digests = _digests(model, data)
    for key in _own_keys():
        curves = _stored(key)
        if curves is not None and curves.points and (curves.model, curves.data) == digests:
            found[key] = curves
    everything = [*found.items(), *_shipped(model, data).items()]
    plan = session.plan()
    everything.sort(key=lambda item: item[1].settings.criterion != plan.criterion)
    everything.sort(key=lambda item: item[1].settings.granularity != plan.granularity)
    return dict(everything)


def current() -> SensitivityCurves | None:
    """Curves of the plan's granularity: those shown if they are, else the best; None without."""
    return shelf().get(current_key())


def current_key() -> str:
    """Key of the current curves; empty where there are none of the plan's granularity."""
    found = shelf()
    fitting = [key for key, curves in found.items() if fits_plan(curves)]
    shown = shown_key()
    return shown if shown in fitting else next(iter(fitting), "")


def shown_key() -> str:
    """Key of the curves that the sensitivity page shows: chosen, else the first; may be empty.

    The choice holds for the granularity that the plan had when it was made.
    """
    found = shelf()
    chosen = _choices().get(session.plan().granularity, "")
    return chosen if chosen in found else next(iter(found), "")


def fits_plan(curves: SensitivityCurves) -> bool:
    """Whether curves tell about the granularity of the plan on the bench."""
    return curves.settings.granularity == session.plan().granularity


def choose(key: str) -> None:
    """Show a set of curves; every page shows it where it is of the plan's granularity."""
    session.remember(**{_SHOWN: _choices() | {session.plan().granularity: key}})


def _choices() -> dict[str, str]:
    """The chosen curves by granularity of the plan."""
    kept = session.setting(_SHOWN)
    return dict(kept) if isinstance(kept, dict) else {}


def expect_curves(settings: SensitivitySettings) -> None:
    """Make the curves that are about to be measured the current ones, as soon as they are there."""
    model, data = _digests(session.model_ref(), session.data_ref())
    key = _key(model, data, settings)
    own = [key, *(other for other in _own_keys() if other != key)]
    session.remember(**{_OWN: own[:_MOST_KEPT]})
    choose(key)


def title(key: str) -> str:
    """What a set of curves is called in a list: what was pruned, how, on how many images."""
    from workbench.criteria import get_criterion
    from workbench.repair import get_repair

    curves = shelf()[key]
    settings = curves.settings
    state = (
        _("no repair")
        if settings.repair == "none"
        else _("after repair: {repair}").format(repair=get_repair(settings.repair).title)
    )
    name = _("{granularity}: {criterion}, {state}, {samples:,} images, {levels} levels").format(
        granularity=granularity_title(settings.granularity),
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


def key_of(curves: SensitivityCurves) -> str:
    """The key of a set of curves."""
    return _key(curves.model, curves.data, curves.settings)


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
    everything = [c for kind in _SHIPPED for c in sample_curves(bench.model(model), kind)]
    fitting = [curves for curves in everything if curves.data == digest]
    fitting.sort(key=lambda curves: curves.settings.repair == "none")
    return {key_of(c): c for c in fitting}
