"""Whether a stopped job left anything: for every kind of work there is."""

import pytest

from workbench.jobs import kept_something
from workbench.jobs.job import JobView
from workbench.jobs.kept import KINDS
from workbench.tasks import TASKS


def job(kind, result=None, done=0, total=10, series=()):
    return JobView(
        id="j", owner="me", kind=kind, title="", request={}, state="cancelled", ahead=0,
        stopping=False, done=done, total=total, message="", series=series, seconds=1.0,
        seconds_left=None, result=result, error="", hint="",
    )  # fmt: skip


def test_every_kind_of_work_is_known():
    assert frozenset(TASKS) == KINDS


@pytest.mark.parametrize(
    ("kind", "nothing", "something"),
    [
        ("experiment", {"run": None}, {"run": 1}),
        ("finetune", None, {"run": 1}),
        ("export", {"exported": None}, {"exported": {"files": []}}),
        ("latency", {"speedups": {}}, {"speedups": {"torch": {}}}),
        ("staircase", {"complete": False}, {"complete": True}),
        ("floor", {"found": False}, {"found": True}),
        ("refine", {"found": False}, {"found": True}),
        ("latency_table", {"complete": False}, {"complete": True}),
        ("latency_fit", {"found": False}, {"found": True}),
        ("trade_off", {"found": False}, {"found": True}),
        ("trying", {"key": ""}, {"key": "k"}),
        ("replacement", {"made": []}, {"made": ["nm:2:4"]}),
        ("ensemble", {"key": None}, {"key": "k"}),
    ],
)
def test_work_that_keeps_its_result_at_the_end(kind, nothing, something):
    assert not kept_something(job(kind, nothing, done=9))
    assert kept_something(job(kind, something))
    assert not kept_something(job(kind, None)), "it was ended at once"


def test_a_stopped_classification_of_test_images_is_never_kept():
    assert not kept_something(job("evaluate", {"accuracy": 0.9}))


@pytest.mark.parametrize(
    ("kind", "step"),
    [("sparse_training", "attempt"), ("method_costs", "cost"), ("robustness", "condition")],
)
def test_work_that_keeps_every_part_also_where_it_was_ended_at_once(kind, step):
    assert not kept_something(job(kind, {"runs": []}, done=5, series=({"epoch": 1},)))
    assert kept_something(job(kind, None, series=({"epoch": 1}, {step: {}})))


@pytest.mark.parametrize("kind", ["sensitivity", "arena"])
def test_points_are_kept_as_they_come(kind):
    assert not kept_something(job(kind, {"complete": False}))
    assert kept_something(job(kind, {"complete": False}, done=1))


def test_the_first_model_of_two_is_kept_when_it_is_done():
    assert not kept_something(job("class_metrics", {"complete": False}, done=4))
    assert kept_something(job("class_metrics", None, done=5))
