"""Whether a job that was stopped left anything behind."""

from collections.abc import Callable, Mapping
from typing import Any

from workbench.jobs.job import JobView

_BY_RESULT: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "experiment": lambda result: result["run"],
    "finetune": lambda result: result["run"],
    "export": lambda result: result["exported"],
    "evaluate": lambda _: False,  # a number from part of the images is not kept
    "latency": lambda result: result["speedups"],
    "staircase": lambda result: result["complete"],
    "floor": lambda result: result["found"],
    "refine": lambda result: result["found"],
    "latency_table": lambda result: result["complete"],
    "latency_fit": lambda result: result["found"],
    "trade_off": lambda result: result["found"],
    "trying": lambda result: result["key"],
    "replacement": lambda result: result["made"],
    "ensemble": lambda result: result["key"],
}
"""Kinds of work that keep what they found at their end, and where the result tells of it."""
_BY_STEPS: Mapping[str, str] = {
    "sparse_training": "attempt", "method_costs": "cost", "robustness": "condition",
}  # fmt: skip
"""Kinds that keep each finished part at once, and the value that a step has then."""
_BY_COUNT: Mapping[str, float] = {"sensitivity": 0.0, "arena": 0.0, "class_metrics": 0.5}
"""Kinds that keep each finished part at once, and the share of the work that it takes."""
KINDS = frozenset({*_BY_RESULT, *_BY_STEPS, *_BY_COUNT})


def kept_something(job: JobView) -> bool:
    """Whether a job that was stopped had finished anything, which then is kept.

    Args:
        job: Ended; also one that was ended at once, without a result.
    """
    if (value := _BY_STEPS.get(job.kind)) is not None:
        return any(value in point for point in job.series)
    if (share := _BY_COUNT.get(job.kind)) is not None:
        return job.completed > 0 and job.completed >= share
    if job.result is None:
        return False
    tell = _BY_RESULT.get(job.kind, bool)
    return bool(tell(job.result))
