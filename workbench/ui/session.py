"""What is on the bench: the workspace named in the address, mirrored for one browser session.

The store holds the truth; ``st.session_state`` mirrors it for the run of a script. Every change
goes to the store first and is then read back, so that a reload, a link or a restart loses nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.errors import DataError, StorageError
from workbench.plan import PruningPlan
from workbench.store import DataRef, ModelRef, Workspace
from workbench.ui import bench
from workbench.ui.facts import (
    MeasuredAccuracy,
    ModelFacts,
    facts_of_model,
    facts_of_sample,
)
from workbench.ui.i18n import _
from workbench.ui.warm import is_warm

if TYPE_CHECKING:
    from workbench.data import Data
    from workbench.groups import Groups
    from workbench.layers import Inspection
    from workbench.model import Model

ADDRESS_KEY = "ws"
MIRROR = "workspace"
FACTS = "model_facts"
_MEASURED = "measured"
_REVISION = "plan_revision"


def workspace() -> Workspace:
    """The workspace as last saved: references, plan, settings, curves."""
    found: Workspace = st.session_state[MIRROR]
    return found


def workspace_id() -> str:
    """The unguessable id of the current workspace."""
    return workspace().id


def refresh() -> None:
    """Read the workspace again after a change in the store."""
    found = bench.store().open_workspace(workspace_id())
    if found is not None:
        st.session_state[MIRROR] = found


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
    """The model on the bench, shared and read-only. Imports torch: see ``warm.when_warm``.

    Criteria may look at the images on the bench, if there are any.
    """
    return bench.seeing_model(model_ref(), workspace().data_ref)


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


def groups(granularity: str | None = None) -> Groups:
    """What a plan of a granularity can move in the model on the bench; None: the plan's own."""
    return bench.groups(model_ref(), granularity or plan().granularity)


def model_facts() -> ModelFacts | None:
    """Name, size and accuracy of the model; None while only torch could tell and is not in."""
    ref = model_ref()
    if ref.sample and (facts := facts_of_sample(ref.sample)):
        return facts
    kept = workspace().settings.get(FACTS)
    if isinstance(kept, dict) and kept.get("key") == bench.key_of(ref):
        return ModelFacts.from_dict(kept["facts"])
    if not is_warm():
        return None
    model = bench.model(ref)
    return facts_of_model(model, bench.inspection(ref), 4 * bench.inspection(ref).num_params)


def model_notes() -> list[str]:
    """What was assumed or converted when the model on the bench was uploaded, in sentences."""
    kept = workspace().settings.get(FACTS)
    if isinstance(kept, dict) and kept.get("key") == bench.key_of(model_ref()):
        return [str(note) for note in kept.get("notes", ())]
    return []


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
    """Keep a plan that did not come from the hand; the columns of the editor follow it.

    The next click may end the run anywhere, so the revision comes first: columns that follow a plan
    which was not kept are right, columns that do not follow one which was are not.
    """
    st.session_state[_REVISION] = plan_revision() + 1
    set_plan(changed)


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
