"""The runs of the workspace, as values that pages show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.ui import bench, session
from workbench.ui.i18n import _

if TYPE_CHECKING:
    from workbench.experiment import Run
    from workbench.store import StoredRun

_CHOSEN = "chosen_run"


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


def runs() -> list[ShelvedRun]:
    """All runs of the workspace with the model and data on the bench, oldest first."""
    return [found for found in everything() if _belongs(found.stored)]


def everything() -> list[ShelvedRun]:
    """All runs of the workspace, whatever their model, oldest first."""
    from workbench.experiment import Run

    stored = bench.store().runs(session.workspace_id())
    return [ShelvedRun(one, Run.from_dict(one.record)) for one in stored]


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
    number = session.setting(_CHOSEN)
    return next((one for one in found if one.number == number), found[-1] if found else None)


def choose(number: int | None) -> None:
    """Choose a run by its number; None follows the newest."""
    session.remember(**{_CHOSEN: number})
