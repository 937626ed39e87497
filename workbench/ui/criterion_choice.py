"""How weights are ranked: which criteria can be chosen, and the images that they look at."""

from __future__ import annotations

import streamlit as st

from workbench.ui import session
from workbench.ui.i18n import _
from workbench.ui.methods_links import more_of
from workbench.ui.words import explain


def criterion_names(granularity: str, present: str = "") -> list[str]:
    """Names of the criteria that can rank a granularity of the model on the bench.

    Those that look at images are left out where there are none.

    Args:
        granularity: As in plans.
        present: Stays among them, whatever it needs: what a plan says now.
    """
    from workbench.criteria import CRITERIA, fitting_criteria

    found = fitting_criteria(granularity, session.workspace().data_ref is not None)
    return found if present in found or present not in CRITERIA else [*found, present]


def usual_criterion(granularity: str, kept: str) -> str:
    """The criterion that was chosen before, where it can rank a granularity; else magnitude."""
    return kept if kept in criterion_names(granularity) else "l1"


def criterion_title(name: str) -> str:
    """What a page calls a criterion."""
    from workbench.criteria import get_criterion

    return get_criterion(name).title


def criterion_help(name: str) -> str:
    """What the choice means, and what the chosen one does."""
    from workbench.criteria import get_criterion
    from workbench.ui.errors import plain

    told = f"{explain('criterion')} {plain(get_criterion(name).summary)}"
    if session.workspace().data_ref is None:
        told += " " + _("Criteria that look at images can be chosen once the model has data.")
    return f"{told} {more_of('criterion', name)}"


def prepare(criterion: str, granularity: str) -> None:
    """Let a criterion look at its images now, where it has not yet, and say so meanwhile.

    What it finds is kept, in memory and on disk, for everything that ranks later.

    Raises:
        PlanError: If it cannot rank the granularity.
        DataError: If it looks at images and there are none.
    """
    from workbench.criteria import get_criterion

    chosen = get_criterion(criterion, granularity)
    if not chosen.gathers:
        return
    session.data_ref()  # refuses where there is none
    from workbench.gathering import gather

    model = session.require_model()
    assert model.evidence is not None
    if model.evidence.knows(model.digest, chosen.gathers):
        return
    session.require_data()  # refuses what does not fit the model
    with st.spinner(_("Looking at images for the criterion: a few seconds, once.")):
        gather(chosen.gathers, model, model.evidence)
