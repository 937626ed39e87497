"""The curves of a sensitivity measurement that is still running."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.jobs import JobView
from workbench.ui.job_scope import concerns_bench, job_of_bench
from workbench.ui.sensitivity_form import KIND

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves
    from workbench.plan import PruningPlan


def curves_of_job(job: JobView) -> SensitivityCurves | None:
    """The curves so far of a running measurement; None before its first point."""
    from workbench.curves import SensitivityCurves, SensitivityPoint, SensitivitySettings

    request: Mapping[str, Any] = job.request
    fields = SensitivityPoint.__dataclass_fields__
    points = [
        SensitivityPoint.from_dict({key: values[key] for key in fields})
        for values in job.series
        if "group" in values
    ]
    if not points:
        return None
    baseline = next((point for point in points if not point.group), None)
    cut = [point for point in points if point.group]
    return SensitivityCurves(
        SensitivitySettings.from_dict(request["settings"]), "", "", baseline,
        tuple(point for point in cut if point.samples), job.seconds, len(points), False,
        tuple(point for point in cut if not point.samples),
    )  # fmt: skip


def job_for_plan(plan: PruningPlan) -> JobView | None:
    """The measurement that runs for a plan's granularity on the model and data on the bench."""
    job = job_of_bench(KIND)
    if job is None or not job.active or not concerns_bench(job):
        return None
    settings: Mapping[str, Any] = job.request["settings"]  # type: ignore[assignment]
    return job if settings["granularity"] == plan.granularity else None


def grown(plan: PruningPlan, others: SensitivityCurves | None) -> SensitivityCurves | None:
    """The curves of the running measurement, as soon as they tell more than the others.

    Args:
        plan: On the bench.
        others: What would be shown without it; None where there is nothing.

    Returns:
        Curves of the plan's granularity with a baseline. Where others of the plan's criterion are
        at hand, they stay until every one of their groups has a point.
    """
    job = job_for_plan(plan)
    curves = curves_of_job(job) if job is not None else None
    if curves is None or curves.baseline is None or not curves.points:
        return None
    criterion = curves.settings.criterion
    if others is None or criterion == plan.criterion != others.settings.criterion:
        return curves
    worse = criterion != plan.criterion == others.settings.criterion
    return curves if not worse and set(others.groups) <= set(curves.groups) else None
