"""Times of the model on the bench with single groups cut: measured once, kept in the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.ui import session
from workbench.ui.i18n import _
from workbench.ui.job_panel import start_job

if TYPE_CHECKING:
    from workbench.allocation import LatencyTable

KIND = "latency_table"
_SETTING = "latency_tables"


def table() -> LatencyTable | None:
    """What was measured of this model on this machine; None without."""
    from workbench.allocation import LatencyTable

    kept: Mapping[str, Any] = session.setting(_SETTING, {})
    found = kept.get(session.require_model().digest)
    return LatencyTable.from_dict(found) if found else None


def measure() -> None:
    """Time the model with every group cut, in the background."""
    name = session.model_ref().name
    request = {"model": session.model_ref().to_dict()}
    start_job(KIND, _("Timing every group of {model}").format(model=name), request)
