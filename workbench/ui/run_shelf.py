"""The runs of the workspace, as values that pages show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.granularity import parse_granularity
from workbench.ui import bench, session
from workbench.ui.i18n import _
from workbench.ui.theme import percent

if TYPE_CHECKING:
    from workbench.experiment import Run
    from workbench.store import StoredRun

_CHOSEN = "chosen_run"
SWEEP = "sparse_sweep"  # as workbench.sparse_training.sweeping, which imports torch


@dataclass(frozen=True)
class ShelvedRun:
    """One attempt and where it is kept.

    Attributes:
        stored: Number, name, time and weights in the store.
        run: Plan, stages and numbers.
    """

    stored: StoredRun
    run: Run

    @property
    def number(self) -> int:
        """Number within the workspace."""
        return self.stored.number

    @property
    def name(self) -> str:
        """What a page shows."""
        return self.stored.name

    @property
    def structured(self) -> bool:
        """Whether its channels are gone; else weights are set to zero."""
        return parse_granularity(self.run.plan.granularity).structured

    @property
    def dense_params(self) -> int:
        """Parameters of the model that it began with."""
        dense = self.run.stage("dense")
        return (dense or self.run.final).measurement.num_params

    @property
    def title(self) -> str:
        """Name, last stage and its test accuracy."""
        final = self.run.final
        return _("{run}: {stage}, {accuracy}").format(
            run=self.name,
            stage=stage_title(final.name),
            accuracy=percent(final.measurement.accuracy, 2),
        )


def runs() -> list[ShelvedRun]:
    """All runs of the workspace with the model and data on the bench, oldest first."""
    return [found for found in everything() if _belongs(found.stored)]


def everything() -> list[ShelvedRun]:
    """All runs of the workspace, whatever their model, oldest first."""
    workspace_id = session.workspace_id()
    return [
        ShelvedRun(one, _read(workspace_id, one.number, one.record))
        for one in bench.store().runs(workspace_id)
    ]


@st.cache_resource(show_spinner=False, max_entries=1024)
def _read(workspace_id: str, number: int, _record: Any) -> Run:  # noqa: ARG001  the cache's key
    """A run from its record, which never changes; numbers are never used twice."""
    from workbench.experiment import Run

    return Run.from_dict(_record)


def newest() -> ShelvedRun | None:
    """The latest run with the model and data on the bench, or None."""
    found = runs()
    return found[-1] if found else None


def stage_title(name: str) -> str:
    """What a page calls a stage."""
    return {
        "dense": _("dense"),
        "pruned": _("pruned"),
        "repaired": _("repaired"),
        "finetuned": _("fine-tuned"),
    }[name]


def _belongs(stored: StoredRun) -> bool:
    """Whether a run began with the model on the bench and was measured on its data."""
    model, data = session.model_ref(), session.workspace().data_ref
    return (
        data is not None
        and bench.key_of(stored.model_ref) == bench.key_of(model)
        and bench.key_of(stored.data_ref) == bench.key_of(data)
    )


def chosen() -> ShelvedRun | None:
    """The chosen run of the model on the bench, the newest where none was chosen."""
    found = runs()
    choice = session.setting(_CHOSEN) or {}
    number, after = choice.get("number"), choice.get("until_after")
    if after is not None and (later := [one for one in found if one.number > after]):
        best = (session.setting(SWEEP) or {}).get("best") if is_of_sweep(later[0]) else None
        return next((one for one in later if one.number == best), later[0])
    return next((one for one in found if one.number == number), found[-1] if found else None)


def is_of_sweep(one: ShelvedRun) -> bool:
    """Whether a run came of the last sweep over strengths of a penalty."""
    return one.number in (session.setting(SWEEP) or {}).get("runs", ())


def choose(number: int | None) -> None:
    """Choose a run by its number; None takes the newest."""
    session.remember(**{_CHOSEN: {"number": number}})


def choose_next() -> None:
    """Keep the choice until the work that begins now has added a run; then that is chosen."""
    current, everyone = chosen(), everything()
    session.remember(
        **{
            _CHOSEN: {
                "number": current.number if current else None,
                "until_after": everyone[-1].number if everyone else 0,
            }
        }
    )
