"""What to put in the place of the weights: the choices of the page, and the button."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.replacement.settings import (
    CODINGS,
    MAX_BITS,
    MAX_SAMPLES,
    MAX_TUNE_EPOCHS,
    MIN_BITS,
    ReplacementSettings,
)
from workbench.ui import session
from workbench.ui.errors import guard
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, start_job

if TYPE_CHECKING:
    from workbench.replacement import Replacement

REPLACEMENT = "replacement"
_SETTINGS = "quantise"
_PATTERNS = ("1:2", "2:4", "1:4", "4:8")
_MULTIPLES = (4, 8, 16, 32)
_BITS = tuple(range(MIN_BITS, MAX_BITS + 1))


def show_form(number: int, name: str) -> None:
    """Choose methods and their settings, and start.

    Args:
        number: Of the run whose weights are replaced; 0 for the dense model.
        name: What it is called.
    """
    from workbench.errors import SettingsError
    from workbench.replacement import REPLACEMENTS

    with st.form("quantise_settings"):
        values = _ask(REPLACEMENTS, session.setting(_SETTINGS) or {})
        sent = st.form_submit_button(
            _("Quantise and measure"), type="primary", icon=":material/compress:",
            disabled=is_active(REPLACEMENT),
            help=_("Writes a file for each, measures that very file, and times it beside the "
                   "model as it is."),
        )  # fmt: skip
    if not sent:
        return
    with guard():
        wanted = wanted_settings(values)
        if not wanted:
            raise SettingsError(
                _("Nothing is chosen."), _("Choose at least one replacement in the form.")
            )
        session.remember(**{_SETTINGS: dict(values)})
        start_job(
            REPLACEMENT, _("Quantising {name}").format(name=name),
            session.job_request(
                run=number or None, settings=[settings.to_dict() for settings in wanted]
            ),
        )  # fmt: skip
        st.rerun()


def wanted_settings(values: Mapping[str, Any]) -> list[ReplacementSettings]:
    """One replacement for each that is chosen in the form, for clustering one a width.

    Args:
        values: What the widgets hold, see ``_ask``.
    """
    common = {key: values[key] for key in ("coding", "tune_epochs", "samples", "seed")}
    wanted: list[dict[str, Any]] = [{"method": name} for name in values["int8"]]
    wanted += [{"method": "cluster", "bits": bits} for bits in values["bits"]]
    wanted += [{"method": "nm", "pattern": pattern} for pattern in values["patterns"]]
    wanted += [
        {"method": "channel_multiple", "multiple": multiple} for multiple in values["multiples"]
    ]
    return [ReplacementSettings(**(common | own)) for own in wanted]


def _ask(methods: Mapping[str, Replacement], before: Mapping[str, Any]) -> dict[str, Any]:
    """The widgets, filled with what was asked last."""
    titles = {name: methods[name].title for name in ("int8_static", "int8_dynamic")}
    first = st.columns(2)
    asked: dict[str, Any] = {
        "int8": first[0].pills(
            _("8-bit numbers"), list(titles), format_func=titles.__getitem__,
            selection_mode="multi", default=before.get("int8", ["int8_static"]),
            help="\n\n".join(f"**{methods[n].title}**: {methods[n].summary}" for n in titles),
        ),
        "bits": first[1].pills(
            _("k-means clustering, bits of a code"), _BITS, selection_mode="multi",
            default=before.get("bits", [5]),
            help=methods["cluster"].summary
            + " " + _("With b bits a layer keeps at most 2^b - 1 values, and zero."),
        ),
        "patterns": first[0].pills(
            _("N:M pattern"), _PATTERNS, selection_mode="multi",
            default=before.get("patterns", []), help=methods["nm"].summary,
        ),
        "multiples": first[1].pills(
            _("Channel multiples"), _MULTIPLES, selection_mode="multi",
            default=before.get("multiples", []), help=methods["channel_multiple"].summary,
        ),
    }  # fmt: skip
    usual = ReplacementSettings()
    with st.expander(_("More settings"), icon=":material/tune:"):
        second = st.columns(4, vertical_alignment="bottom")
        codings = list(CODINGS)
        asked |= {
            "coding": second[0].selectbox(
                _("Coding"), codings, codings.index(before.get("coding", usual.coding)),
                help="\n\n".join(f"**{name}**: {text}" for name, text in CODINGS.items()),
            ),
            "tune_epochs": second[1].number_input(
                _("Tuning epochs"), 0, MAX_TUNE_EPOCHS, before.get("tune_epochs", 1),
                help=_("Passes over the training images that move the values of a codebook, all "
                       "weights of a cluster together."),
            ),
            "samples": second[2].number_input(
                _("Calibration images"), 1, MAX_SAMPLES, before.get("samples", usual.samples),
                help=_("Images without labels: for the scales of static 8 bits, and for the "
                       "repair after a pattern or a multiple."),
            ),
            "seed": second[3].number_input(
                _("Seed"), 0, 2**31 - 1, before.get("seed", 0), help=_("Decides everything random.")
            ),
        }  # fmt: skip
    return asked
