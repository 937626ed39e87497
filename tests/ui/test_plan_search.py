"""Searches that measure plans: above a floor, refined, within a latency; asked for and taken."""

from dataclasses import replace

import pytest

from tests.ui import digits
from tests.ui.conftest import address
from tests.ui.digits import LAYERS, button, captions, labels
from tests.ui.test_plan_granularities import choose
from tests.ui.test_plan_page import drag, number, saved, select, unfold
from tests.unit.made_up import made_up_latencies
from workbench import plan_tasks
from workbench.curves import SensitivitySettings
from workbench.groups import find_groups
from workbench.metrics import score
from workbench.plan import PruningPlan
from workbench.prune import prune
from workbench.sensitivity import measure_sensitivity
from workbench.ui import bench, plan_found, plan_goal

FIRST, SECOND, _CLASSIFIER = LAYERS
SETTINGS = SensitivitySettings(levels=(0.5, 0.9), num_samples=100, granularity="channel")


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


@pytest.fixture
def few(monkeypatch):
    """Fewer images, so that a search takes no time."""
    monkeypatch.setattr(plan_found, "SAMPLES", 100)


@pytest.fixture
def channels(open_app, registry, few, monkeypatch):
    """The plan page with channels and curves of them, its searches unfolded."""
    curves = measure_sensitivity(digits.model(), digits.data(), SETTINGS)
    monkeypatch.setattr(plan_goal, "curves_at_hand", lambda: curves)
    app = choose(open_app(ws=digits.workspace(), page="plan"), "channel")
    bench.store().save_curves(address(app), curves.to_dict())
    return unfold(app, "plan_search")


def do(app, registry):
    """What the worker does with the last request, and the page afterwards."""
    owner, kind, request = registry.requests[-1]
    digits.do(kind, owner, request)
    registry.job = replace(registry.job, state="done")
    return app.run()


def accuracy(plan: PruningPlan) -> float:
    pruned = prune(digits.model(), plan)
    return score(pruned.model.module, digits.data().split("validation", 100, 0)).accuracy


def test_the_smallest_model_above_a_floor_goes_into_the_editor(channels, registry):
    number(channels, "Least accuracy").set_value(90.0)
    button(channels, "Find it").click().run()
    assert button(channels, "Find it").disabled
    _owner, kind, request = registry.requests[-1]
    assert (kind, request["floor"], request["unit"]) == ("floor", 0.9, "macs")
    do(channels, registry)
    assert not channels.error
    assert any(saved(channels).sparsities.values())
    assert accuracy(saved(channels)) >= 0.9
    trials = channels.table[0].value
    assert len(trials) > 4
    assert set(trials["Above the floor"]) == {"yes", "no"}
    assert f"{100 * accuracy(saved(channels)):.2f} %" in captions(channels)


def test_what_is_found_does_not_replace_a_plan_changed_meanwhile(channels, registry):
    number(channels, "Least accuracy").set_value(90.0)
    button(channels, "Find it").click().run()
    drag(channels, **{FIRST: 0.25})
    do(channels, registry)
    assert dict(saved(channels).sparsities) == {FIRST: 0.25}
    button(channels, "Take this plan").click().run()
    assert accuracy(saved(channels)) >= 0.9
    assert "Take this plan" not in labels(channels)


def test_a_floor_above_the_dense_model_is_refused(channels, registry):
    from workbench.errors import SettingsError

    number(channels, "Least accuracy").set_value(99.9)
    button(channels, "Find it").click().run()
    with pytest.raises(SettingsError, match="less than the floor of 99"):
        do(channels, registry)


def test_refining_needs_a_plan(channels):
    assert button(channels, "Refine").disabled


def test_a_refined_plan_costs_no_more_and_is_told(channels, registry):
    button(channels, "4× fewer MACs, smallest loss").click().run()
    before = saved(channels)
    number(channels, "Plans to measure").set_value(8)
    button(channels, "Refine").click().run()
    _owner, kind, request = registry.requests[-1]
    assert (kind, request["evaluations"], request["plan"]) == ("refine", 8, before.to_dict())
    do(channels, registry)
    assert not channels.error
    groups = find_groups(digits.model(), "channel")
    macs = [
        groups.size({n: groups.group(n).num_units - groups.num_pruned(n, value)
                     for n, value in plan.sparsities.items()})[1]
        for plan in (before, saved(channels))
    ]  # fmt: skip
    assert macs[1] <= macs[0]
    told = plan_found_of(channels, "refine")
    assert told["loss"] <= told["loss_before"]
    assert f"loss {told['loss_before']:.4f} → {told['loss']:.4f}" in captions(channels)


def plan_found_of(app, way):
    return bench.store().open_workspace(address(app)).settings["found_plans"][way]["told"]


def test_locks_and_bounds_are_part_of_what_is_asked(channels, registry):
    drag(channels, **{FIRST: 0.25})
    ref = bench.store().open_workspace(address(channels)).model_ref
    own = {"channel": {"bounds": {SECOND: [0.1, 0.6]}, "locked": [FIRST]}}
    bench.store().save_settings(
        address(channels), {"plan_limits": {"of": bench.key_of(ref), "kept": own}}
    )
    channels.run()
    number(channels, "Least accuracy").set_value(60.0)
    button(channels, "Find it").click().run()
    request = registry.requests[-1][2]
    assert (request["locked"], request["bounds"]) == ([FIRST], {SECOND: [0.1, 0.6]})
    do(channels, registry)
    assert saved(channels).sparsities[FIRST] == 0.25
    assert 0.1 <= saved(channels).sparsities[SECOND] <= 0.6


def test_a_latency_is_timed_and_told(channels, registry, monkeypatch):
    def invented(model, **_how):  # so small a network may not become faster at all
        return made_up_latencies(find_groups(model, "channel"), model)

    monkeypatch.setattr(plan_tasks, "measure_latency_table", invented)
    select(channels, "Target").set_value("latency").run()
    number(channels, "Times faster").set_value(1.2)
    button(channels, "Measure and spread").click().run()
    do(channels, registry)
    assert registry.requests[-1][1] == "latency_fit", "it goes on by itself"
    plan = saved(channels)
    assert any(plan.sparsities.values())
    do(channels, registry)
    assert not channels.error
    told = captions(channels)
    assert "Timed on this machine: " in told.replace("\\", "")
    assert ("is met" in told) or ("is missed" in told)
    fit = plan_found_of(channels, "latency_fit")
    assert f"{100 * fit['achieved']:.1f} % of the dense time" in told
