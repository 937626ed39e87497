"""What is on the bench: the workspace named in the address, mirrored for one browser session.

The store holds the truth; ``st.session_state`` mirrors it for the run of a script. Every change
goes to the store first and is then read back, so that a reload, a link or a restart loses nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.errors import DataError, JobError, StorageError, WorkbenchError
from workbench.loading.samples import sample_data_names
from workbench.plan import PruningPlan
from workbench.store import DataRef, ModelRef, Workspace
from workbench.ui import bench, errors
from workbench.ui.facts import (
    MeasuredAccuracy,
    ModelFacts,
    facts_of_model,
    facts_of_sample,
    sample_choices,
)
from workbench.ui.i18n import _
from workbench.ui.warm import is_warm

if TYPE_CHECKING:
    from workbench.data import Data
    from workbench.layers import Inspection
    from workbench.model import Model

ADDRESS_KEY = "ws"
_MIRROR = "workspace"
_FACTS = "model_facts"
_MEASURED = "measured"
_REVISION = "plan_revision"


def open_workspace() -> None:
    """Find the workspace of this session and keep its id in the address.

    The address wins, so that a link or a reload brings its workspace back; navigation in the
    sidebar drops the address's parameters, and then the session remembers. An address that names
    no workspace is told, and a new workspace begins.
    """
    asked = st.query_params.get(ADDRESS_KEY, "")
    mirrored: Workspace | None = st.session_state.get(_MIRROR)
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
    st.session_state[_MIRROR] = found
    if asked != found.id:
        st.query_params[ADDRESS_KEY] = found.id
    if mirrored is None or mirrored.id != found.id:
        _tell_interrupted_jobs()
    if found.data_ref is None and (facts := model_facts()) is not None:
        _choose_data(facts)


def _tell_interrupted_jobs() -> None:
    """Say, once, which background work ended because its server did."""
    bench.jobs()
    for job in bench.store().jobs.take_interrupted(workspace_id()):
        errors.notify(
            JobError(
                _("{title} was cut off when the server ended.").format(title=job.title),
                _("What was finished is kept; start it again to go on."),
            )
        )


def workspace() -> Workspace:
    """The workspace as last saved: references, plan, settings, curves."""
    found: Workspace = st.session_state[_MIRROR]
    return found


def workspace_id() -> str:
    """The unguessable id of the current workspace."""
    return workspace().id


def refresh() -> None:
    """Read the workspace again after a change in the store."""
    found = bench.store().open_workspace(workspace_id())
    if found is not None:
        st.session_state[_MIRROR] = found


# Model and data


def model_ref() -> ModelRef:
    """Reference to the model on the bench; there always is one."""
    ref = workspace().model_ref
    if ref is None:
        raise StorageError(_("There is no model on the bench."), _("Choose one on the model page."))
    return ref


def data_ref() -> DataRef:
    """Reference to the data on the bench; there always is one.

    Raises:
        DataError: If the model came without data and none was chosen yet.
    """
    ref = workspace().data_ref
    if ref is None:
        raise DataError(
            _("There are no images for {model} yet.").format(model=model_ref().name),
            _("Choose or upload data on the model page."),
        )
    return ref


def require_model() -> Model:
    """The model on the bench, shared and read-only. Imports torch: see ``warm.when_warm``."""
    return bench.model(model_ref())


def require_data() -> Data:
    """The data on the bench, shared and read-only.

    Raises:
        DataError: If there is none, or it does not fit the model.
    """
    from workbench.model import check_fit

    data = bench.data(data_ref())
    check_fit(require_model(), data)
    return data


def inspection() -> Inspection:
    """The layers of the model on the bench."""
    return bench.inspection(model_ref())


def model_facts() -> ModelFacts | None:
    """Name, size and accuracy of the model; None while only torch could tell and is not in."""
    ref = model_ref()
    if ref.sample and (facts := facts_of_sample(ref.sample)):
        return facts
    kept = workspace().settings.get(_FACTS)
    if isinstance(kept, dict) and kept.get("key") == bench.key_of(ref):
        return ModelFacts.from_dict(kept["facts"])
    if not is_warm():
        return None
    model = bench.model(ref)
    return facts_of_model(model, bench.inspection(ref), 4 * bench.inspection(ref).num_params)


def measured_accuracy() -> MeasuredAccuracy | None:
    """Accuracy of the model on the test split of the data on the bench; None if not measured."""
    facts, ref = model_facts(), workspace().data_ref
    if facts is None or ref is None:
        return None
    if facts.measured is not None and ref.sample == facts.data_name:
        return facts.measured
    kept = setting(_MEASURED)
    if kept and kept["key"] == measurement_key():
        return MeasuredAccuracy(**kept["accuracy"])
    return None


def measurement_key() -> str:
    """Names the model and the data on the bench together."""
    return f"{bench.key_of(model_ref())}-{bench.key_of(data_ref())}"


def use_sample_model(name: str) -> None:
    """Put a sample model on the bench, with its data unless uploaded data fits it."""
    _put_model(ModelRef(name=name, sample=name))


def use_uploaded_model(filename: str, content: bytes, architecture: str = "") -> None:
    """Put uploaded weights on the bench; what was there before stays where they are refused.

    Args:
        filename: Its ending tells the format.
        content: The file.
        architecture: Family of networks; empty finds it by the names of the tensors.

    Raises:
        LoadError: If the file cannot be used.
    """
    from workbench.layers import inspect
    from workbench.loading import load_uploaded_model

    model = load_uploaded_model(filename, content, architecture)
    facts = facts_of_model(model, inspect(model), len(content))
    ref = ModelRef(
        name=model.name,
        architecture=model.architecture,
        arguments=dict(model.arguments),
        input_shape=model.input_shape,
    )
    ref = bench.store().save_model_ref(workspace_id(), ref, model.module.state_dict())
    remember(**{_FACTS: {"key": bench.key_of(ref), "facts": facts.to_dict()}})
    _choose_data(facts)


def use_sample_data(name: str) -> None:
    """Put sample data on the bench.

    Raises:
        DataError: If it does not fit the model; the former data stay.
    """
    from workbench.model import check_fit

    ref = DataRef(name=name, sample=name)
    check_fit(require_model(), bench.data(ref))
    bench.store().save_data_ref(workspace_id(), ref)
    refresh()


def use_uploaded_data(filename: str, content: bytes) -> None:
    """Put an uploaded ``.npz`` on the bench.

    Raises:
        DataError: If it cannot be read or does not fit the model; the former data stay.
    """
    from workbench.loading import load_uploaded_data
    from workbench.model import check_fit

    data = load_uploaded_data(filename, content)
    check_fit(require_model(), data)
    bench.store().save_data_ref(workspace_id(), DataRef(name=data.name), data)
    refresh()


# Plan and settings


def plan() -> PruningPlan:
    """The plan on the bench; an empty one, which keeps everything, where there is none."""
    return workspace().plan or PruningPlan()


def set_plan(changed: PruningPlan) -> None:
    """Keep a plan on the bench, marked as made for the model there."""
    own = PruningPlan.from_dict(changed.to_dict() | {"model": require_model().digest})
    bench.store().save_plan(workspace_id(), own)
    refresh()


def replace_plan(changed: PruningPlan) -> None:
    """Keep a plan that did not come from the hand; the columns of the editor follow it."""
    set_plan(changed)
    st.session_state[_REVISION] = plan_revision() + 1


def plan_revision() -> int:
    """Counts the changes of the plan that did not come from the hand."""
    return int(st.session_state.get(_REVISION, 0))


def setting(name: str, default: Any = None) -> Any:
    """What the workspace remembers under a name; plain JSON."""
    return workspace().settings.get(name, default)


def remember(**settings: object) -> None:
    """Keep settings in the workspace; others stay as they are."""
    bench.store().save_settings(workspace_id(), settings)
    refresh()


def device() -> str:
    """Where computations run: ``cpu``, ``cuda``, ``mps``, or ``auto`` for the best one here."""
    return str(setting("device", os.environ.get("WORKBENCH_DEVICE", "auto")))


def job_request(**more: object) -> dict[str, object]:
    """What every background task is told: model, data and device, and what is its own."""
    return {
        "model": model_ref().to_dict(),
        "data": data_ref().to_dict(),
        "device": device(),
        **more,
    }


# Beginnings


def _begin_workspace() -> Workspace:
    """A new workspace with the model and data the server was started with."""
    store = bench.store()
    new_id = store.create_workspace()
    created = store.open_workspace(new_id)
    assert created is not None
    st.session_state[_MIRROR] = created
    asked = os.environ.get("WORKBENCH_MODEL", "")
    try:
        _put_model(_asked_model(asked))
    except WorkbenchError as error:
        errors.notify(error)
        use_sample_model(_default_sample())
    _use_asked_data(os.environ.get("WORKBENCH_DATA", ""))
    return workspace()


def _default_sample() -> str:
    """The usual sample model, or the next one where it is missing."""
    return sample_choices()[0]


def _asked_model(source: str) -> ModelRef:
    """Reference to what ``--model`` named: a sample, a file or a factory."""
    if not source or source in sample_choices():
        return ModelRef(name=source or _default_sample(), sample=source or _default_sample())
    from workbench.loading import load_model

    model = load_model(source, allow_factory=True)
    if not model.architecture:
        return ModelRef(name=model.name, factory=source)
    ref = ModelRef(
        name=model.name,
        architecture=model.architecture,
        arguments=dict(model.arguments),
        input_shape=model.input_shape,
    )
    return bench.store().save_model_ref(workspace_id(), ref, model.module.state_dict())


def _use_asked_data(source: str) -> None:
    """Put the data of ``--data`` on the bench, if any was named."""
    if not source:
        return
    from workbench.loading import load_data, sample_data_names

    try:
        if source in sample_data_names():
            use_sample_data(source)
        else:
            content = load_data(source)
            bench.store().save_data_ref(workspace_id(), DataRef(name=content.name), content)
            refresh()
    except WorkbenchError as error:
        errors.notify(error)


def _put_model(ref: ModelRef) -> None:
    bench.store().save_model_ref(workspace_id(), ref)
    refresh()
    facts = model_facts()
    if facts is not None:
        _choose_data(facts)


def _choose_data(facts: ModelFacts) -> None:
    """Keep uploaded data where they fit the model; else take the data it was trained on.

    A model that names no data keeps what is there, or gets the first sample data that fit.
    """
    refresh()
    kept = workspace().data_ref
    if kept is not None and (kept.digest or not facts.data_name) and _fits(kept, facts):
        return
    samples = [DataRef(name=name, sample=name) for name in sample_data_names()]
    named = [ref for ref in samples if ref.name == facts.data_name]
    for ref in named or [ref for ref in samples if _fits(ref, facts)]:
        bench.store().save_data_ref(workspace_id(), ref)
        refresh()
        return


def _fits(ref: DataRef, facts: ModelFacts) -> bool:
    data = bench.data(ref)
    return (tuple(data.input_shape), data.num_classes) == (facts.input_shape, facts.num_classes)
