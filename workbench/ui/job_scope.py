"""Which background work belongs to what is on the bench now."""

from workbench.jobs import JobView
from workbench.store import DataRef, ModelRef
from workbench.ui import bench, session
from workbench.ui.job_panel import latest_job


def concerns_bench(job: JobView) -> bool:
    """Whether a job works with the model and the data that are on the bench now."""
    model, data = job.request.get("model"), job.request.get("data")
    here = session.workspace().data_ref
    if not isinstance(model, dict) or not isinstance(data, dict) or here is None:
        return False
    return bench.key_of(ModelRef.from_dict(model)) == bench.key_of(session.model_ref()) and (
        bench.key_of(DataRef.from_dict(data)) == bench.key_of(here)
    )


def job_of_bench(kind: str) -> JobView | None:
    """The newest job of a kind, if it is active or concerns what is on the bench; else None."""
    job = latest_job(kind)
    return job if job is not None and (job.active or concerns_bench(job)) else None
