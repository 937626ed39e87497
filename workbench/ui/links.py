"""Links from one page to the next step, and links that carry a plan to another person."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping

import streamlit as st

from workbench.errors import DataError, PlanError, WorkbenchError
from workbench.loading.samples import sample_data_names
from workbench.plan import PruningPlan
from workbench.store import ModelRef
from workbench.ui import session
from workbench.ui.errors import notify
from workbench.ui.facts import sample_choices
from workbench.ui.i18n import _
from workbench.ui.navigation import PAGE_FOLDER

PLAN_KEY = "plan"
_MOST_CHARACTERS = 50_000
_MOST_BYTES = 1_000_000


def link_to(name: str, label: str, icon: str) -> None:
    """Draw a link to another page, with the workspace in the address.

    Args:
        name: The page's script and address, such as ``plan``.
        label: What the link says.
        icon: Name of a Material icon.
    """
    st.page_link(
        PAGE_FOLDER / f"{name}.py", label=label, icon=f":material/{icon}:",
        query_params={session.ADDRESS_KEY: session.workspace_id()},
    )  # fmt: skip


def show_copy_link() -> None:
    """The link that brings model, data and plan to another person, ready to be copied."""
    model, data = session.model_ref(), session.workspace().data_ref
    if not model.sample:
        st.caption(
            _(
                "A link carries a plan for a sample model. For yours, share this page's address, "
                "which is your workspace, or send the plan file."
            )
        )
        return
    st.caption(_("This link opens the same model, data and plan in a workspace of its own:"))
    code = encode_plan(session.plan(), model.sample, data.sample if data else "")
    st.code(f"{_address()}?{PLAN_KEY}={code}", language=None, height=88, wrap_lines=True)


def _address() -> str:
    """This page's address without its parameters."""
    return (st.context.url or "").partition("?")[0] or "/plan"


def encode_plan(plan: PruningPlan, model: str, data: str) -> str:
    """Model, data and plan as one word of an address.

    Args:
        plan: The plan, with its granularity, rounding, criterion and seed.
        model: Name of a sample model.
        data: Name of sample data, or empty.
    """
    values = {"model": model, "data": data, "plan": plan.to_dict()}
    packed = zlib.compress(json.dumps(values, separators=(",", ":")).encode(), 9)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode_plan(word: str) -> tuple[PruningPlan, str, str]:
    """Read ``encode_plan``'s word back: the plan, the model's name and the data's.

    Raises:
        PlanError: If it is no such word, or the plan in it is malformed.
    """
    try:
        if len(word) > _MOST_CHARACTERS:
            raise ValueError("too long")
        packed = base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
        values = json.loads(zlib.decompressobj().decompress(packed, _MOST_BYTES))
        if not isinstance(values, Mapping):
            raise ValueError("no mapping")
    except (ValueError, binascii.Error, zlib.error, RecursionError) as error:
        raise PlanError(
            _("The plan in the link cannot be read."),
            _("Copy the whole link again; its end may be missing."),
        ) from error
    return PruningPlan.from_dict(values.get("plan")), str(values.get("model")), str(
        values.get("data", "")
    )  # fmt: skip


def open_link() -> None:
    """Put what a link in the address carries on the bench; a bad one is told and changes nothing.

    The address then names the workspace alone, so that a reload does not undo later changes.
    """
    word = st.query_params.get(PLAN_KEY, "")
    if not word:
        return
    try:
        _open(word)
    except WorkbenchError as error:
        notify(error)
    del st.query_params[PLAN_KEY]
    st.rerun()


def _open(word: str) -> None:
    from workbench.ui import choosing, plan_panels

    plan, model, data = decode_plan(word)
    if model not in sample_choices():
        raise PlanError(
            _("The link is for the model {name}, which is not among the samples here.").format(
                name=model[:60]
            ),
            _("Open one of: {names}.").format(names=", ".join(sample_choices())),
        )
    if data and data not in sample_data_names():
        raise DataError(
            _("The link is for the data {name}, which are not here.").format(name=data[:60]),
            _("Known data: {names}.").format(names=", ".join(sample_data_names())),
        )
    plan_panels.check_plan(plan, ModelRef(name=model, sample=model))
    if session.model_ref().sample != model:
        choosing.use_sample_model(model)
    if data:
        choosing.use_sample_data(data)
    plan_panels.put_plan(plan)
