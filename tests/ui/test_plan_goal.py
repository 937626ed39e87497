"""A goal on the plan page: one click, what has to be measured first, bounds and locks."""

from dataclasses import replace

import pandas as pd
import pytest

from tests.ui import digits
from tests.ui.conftest import address
from tests.ui.digits import LAYERS, button, captions, labels
from tests.ui.test_plan_granularities import choose
from tests.ui.test_plan_page import board, drag, number, saved, select, spread
from workbench.accounting import size_of_plan
from workbench.allocation import ALLOCATIONS, Budget, allocate
from workbench.curves import SensitivityCurves, SensitivitySettings
from workbench.groups import find_groups
from workbench.loading import load_model
from workbench.sensitivity import measure_sensitivity, sample_curves
from workbench.ui import bench, plan_bounds, plan_goal, plan_limits
from workbench.ui.errors import plain

FIRST, SECOND, CLASSIFIER = LAYERS
SETTINGS = SensitivitySettings(levels=(0.5, 0.9), num_samples=100, granularity="channel")


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


@pytest.fixture(scope="module")
def curves() -> SensitivityCurves:
    return measure_sensitivity(digits.model(), digits.data(), SETTINGS)


@pytest.fixture
def channels(open_app):
    return choose(open_app(ws=digits.workspace(), page="plan"), "channel")


def best(curves, **more):
    return allocate(
        digits.model(), "optimal", budget=Budget("macs", 0.25), granularity="channel",
        curves=curves, **more,
    )  # fmt: skip


def quick(app):
    return button(app, "4× fewer MACs, smallest loss")


def test_one_click_gives_the_best_plan_for_a_quarter_of_the_macs(open_app):
    app = quick(open_app(page="plan")).click().run()
    assert not app.error
    model = load_model("fashion-resnet20")
    curves = next(c for c in sample_curves(model, "channel") if c.settings.repair == "bn")
    assert saved(app) == allocate(
        model, "optimal", budget=Budget("macs", 0.25), granularity="channel", curves=curves
    )
    size = size_of_plan(find_groups(model, "channel"), saved(app))
    assert 0.24 < size.macs / size.dense_macs <= 0.25
    assert (number(app, "Times fewer").value, number(app, "Percent kept").value) == (4, 25)
    assert select(app, "Allocation").value == "optimal"


def test_the_allocations_are_named_and_told_with_their_papers(open_app):
    app = open_app(page="plan")
    assert select(app, "Allocation").options == [
        ALLOCATIONS[name].title for name in ("optimal", *(n for n in ALLOCATIONS if n != "optimal"))
    ]
    assert select(app, "Allocation").value == "optimal", "curves came with the model"
    for name, one in ALLOCATIONS.items():
        select(app, "Allocation").set_value(name).run()
        told = captions(app)
        assert plain(one.summary) in told
        assert not one.paper or f"From {plain(one.paper)}." in told


def test_without_curves_the_plain_allocation_stands_there(channels):
    assert select(channels, "Allocation").value == "uniform"


@pytest.mark.parametrize(
    ("label", "typed", "other", "follows"),
    [("Times fewer", 8, "Percent kept", 12.5), ("Percent kept", 40, "Times fewer", 2.5)],
)
def test_factor_and_percentage_say_the_same(channels, label, typed, other, follows):
    number(channels, label).set_value(typed).run()
    assert number(channels, other).value == follows


def test_a_factor_typed_with_the_click_counts(channels):
    number(channels, "Times fewer").set_value(2)
    button(channels, "Spread").click().run()
    expected = allocate(
        digits.model(), "uniform", budget=Budget("macs", 0.5), granularity="channel"
    )
    assert saved(channels) == expected


def test_only_channels_have_a_latency(open_app):
    app = open_app(ws=digits.workspace(), page="plan")
    assert "Measured latency" not in select(app, "Target").options
    choose(app, "channel")
    assert "Measured latency" in select(app, "Target").options


# What has to be measured first


def test_what_is_lacking_is_measured_and_then_it_goes_on(channels, registry, curves, monkeypatch):
    before = saved(channels)
    quick(channels).click().run()
    ((owner, kind, request),) = registry.requests
    assert (owner, kind) == (address(channels), "sensitivity")
    assert request["settings"]["precision"] == "fast"
    assert request["settings"]["granularity"] == "channel"
    assert saved(channels) == before
    assert button(channels, "Measure and spread").disabled
    assert "It goes on by itself" in captions(channels)

    monkeypatch.setattr(plan_goal, "curves_at_hand", lambda: curves)
    registry.job = replace(registry.job, state="done")
    channels.run()
    assert saved(channels) == best(curves)
    drag(channels, **{FIRST: 0.5})
    assert saved(channels.run()).sparsities[FIRST] == 0.5, "it is spread once"


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_measurement_that_ends_early_gives_the_goal_up(channels, registry, curves, monkeypatch,
                                                         state):  # fmt: skip
    before = saved(channels)
    quick(channels).click().run()
    registry.job = replace(registry.job, state=state, error="No.", hint="Try again.")
    channels.run()
    monkeypatch.setattr(plan_goal, "curves_at_hand", lambda: curves)
    assert saved(channels.run()) == before
    assert not button(channels, "Spread").disabled


def test_a_latency_needs_times_first(channels, registry):
    select(channels, "Target").set_value("latency").run()
    button(channels, "Measure and spread").click().run()
    ((_owner, kind, request),) = registry.requests
    assert kind == "latency_table"
    assert request["model"] == digits.MODEL_REF.to_dict()


def test_a_budget_out_of_reach_is_one_message_and_nothing_is_lost(channels):
    spread(channels, 50)
    before = saved(channels)
    number(channels, "Times fewer").set_value(1000)
    button(channels, "Spread").click().run()
    assert len(channels.error) == 1
    assert saved(channels) == before
    assert number(channels, "Times fewer").value == 1000
    assert "Dismiss" in labels(channels)


# Bounds and locks


def limit(app, bounds=(), locked=()):
    """What the table writes."""
    name = saved(app).granularity
    store = bench.store()
    ref = store.open_workspace(address(app)).model_ref
    own = {name: {"bounds": {k: list(v) for k, v in dict(bounds).items()}, "locked": list(locked)}}
    store.save_settings(address(app), {"plan_limits": {"of": bench.key_of(ref), "kept": own}})
    return app.run()


@pytest.mark.parametrize("method", ["uniform", "global", "optimal"])
def test_bounds_are_obeyed(channels, curves, monkeypatch, method):
    monkeypatch.setattr(plan_goal, "curves_at_hand", lambda: curves)
    drag(channels, **{FIRST: 0.5})
    limit(channels, bounds={FIRST: (0.0, 0.25)})
    spread(channels, 50, Allocation=method)
    assert saved(channels).sparsities[FIRST] <= 0.25
    assert saved(channels).sparsities[SECOND] > 0.25


def test_a_locked_column_keeps_its_value_and_says_why(channels):
    drag(channels, **{FIRST: 0.125})
    limit(channels, locked=[FIRST])
    assert board(channels)["columns"][0]["reason"].startswith("You locked it")
    spread(channels, 60)
    assert saved(channels).sparsities[FIRST] == 0.125
    drag(channels, **{FIRST: 0.5})
    assert saved(channels).sparsities[FIRST] == 0.125
    limit(channels)
    assert not board(channels)["columns"][0]["reason"]


def test_limits_belong_to_the_model(channels):
    drag(channels, **{FIRST: 0.125})
    limit(channels, locked=[FIRST])
    bench.store().save_model_ref(address(channels), digits.OTHER_REF)
    channels.run()
    assert not any("You locked it" in one["reason"] for one in board(channels)["columns"])


def table(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["group", "now", "least", "most", "locked"])


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (0.0, 100.0, None), (20.0, 100.0, (0.2, 1.0)), (None, 60.0, (0.0, 0.6)),
        (30.0, None, (0.3, 1.0)), (70.0, 50.0, (0.7, 0.7)), (40.0, 10.0, (0.1, 0.1)),
    ],
)  # fmt: skip
def test_typed_bounds_are_read(least, most, expected):
    before = table(("a", 10.0, 40.0, 50.0, False))
    after = table(("a", 10.0, least, most, True))
    within, held = plan_bounds.changed_limits(before, after)
    assert within == ({} if expected is None else {"a": pytest.approx(expected)})
    assert held == ["a"]


def test_the_table_of_bounds_is_remembered(channels):
    drag(channels, **{FIRST: 0.125})
    limit(channels, bounds={SECOND: (0.1, 0.6)}, locked=[FIRST])
    channels.session_state["plan_bounds"] = True
    channels.run()
    frame = channels.data_editor[0].value
    assert list(frame["group"]) == [FIRST, SECOND]
    assert frame["least"].tolist() == [0, 10]
    assert frame["most"].tolist() == [100, 60]
    assert frame["locked"].tolist() == [True, False]
    assert not channels.error
    assert plan_limits.FREE == (0, 1)
