"""Finding the workspace that the address names, or beginning one."""

from __future__ import annotations

import os

import streamlit as st

from workbench.errors import JobError, StorageError, WorkbenchError
from workbench.loading.samples import sample_data_names
from workbench.store import DataRef, ModelRef, Workspace
from workbench.ui import bench, choosing, errors, session
from workbench.ui.facts import sample_choices
from workbench.ui.i18n import _


def open_workspace() -> None:
    """Find the workspace of this session and keep its id in the address.

    The address wins, so that a link or a reload brings its workspace back; navigation in the
    sidebar drops the address's parameters, and then the session remembers. An address that names
    no workspace is told, and a new workspace begins.
    """
    asked = st.query_params.get(session.ADDRESS_KEY, "")
    mirrored: Workspace | None = st.session_state.get(session.MIRROR)
    found = bench.store().open_workspace(asked) if asked else None
    if asked and found is None:
        errors.notify(
            StorageError(
                _("The address names the workspace {id}, which is not here.").format(id=asked[:40]),
                _("This is a new workspace; the address above now leads to it."),
            )
        )
    if found is None and mirrored is not None:
        found = bench.store().open_workspace(mirrored.id)
    if found is None:
        found = _begin_workspace()
    st.session_state[session.MIRROR] = found
    if asked != found.id:
        st.query_params[session.ADDRESS_KEY] = found.id
    if mirrored is None or mirrored.id != found.id:
        _tell_interrupted_jobs()
    if found.data_ref is None and (facts := session.model_facts()) is not None:
        choosing.choose_data(facts)


def _tell_interrupted_jobs() -> None:
    """Say, once, which background work ended because its server did."""
    bench.jobs()
    for job in bench.store().jobs.take_interrupted(session.workspace_id()):
        errors.notify(
            JobError(
                _("{title} was cut off when the server ended.").format(title=job.title),
                _("Whatever it had finished is kept; start it again to go on."),
            )
        )


def _begin_workspace() -> Workspace:
    """A new workspace with the model and data the server was started with."""
    store = bench.store()
    new_id = store.create_workspace()
    created = store.open_workspace(new_id)
    assert created is not None
    st.session_state[session.MIRROR] = created
    asked = os.environ.get("WORKBENCH_MODEL", "")
    try:
        choosing.put_model(_asked_model(asked))
    except WorkbenchError as error:
        errors.notify(error)
        choosing.use_sample_model(_default_sample())
    _use_asked_data(os.environ.get("WORKBENCH_DATA", ""))
    return session.workspace()


def _default_sample() -> str:
    """The usual sample model, or the next one where it is missing."""
    return sample_choices()[0]


def _asked_model(source: str) -> ModelRef:
    """Reference to what ``--model`` named: a sample, a file or a factory."""
    if not source or source in sample_choices():
        return ModelRef(name=source or _default_sample(), sample=source or _default_sample())
    model = bench.named_model(source)
    if not model.architecture:
        return ModelRef(name=model.name, factory=source)
    ref = ModelRef(
        name=model.name,
        architecture=model.architecture,
        arguments=dict(model.arguments),
        input_shape=model.input_shape,
    )
    return bench.store().save_model_ref(session.workspace_id(), ref, model.module.state_dict())


def _use_asked_data(source: str) -> None:
    """Put the data of ``--data`` on the bench, if any was named."""
    present = session.workspace().data_ref
    if not source or (present is not None and present.sample == source):
        return
    try:
        if source in sample_data_names():
            choosing.use_sample_data(source)
        else:
            content = bench.named_data(source)
            bench.store().save_data_ref(session.workspace_id(), DataRef(name=content.name), content)
            session.refresh()
    except WorkbenchError as error:
        errors.notify(error)
