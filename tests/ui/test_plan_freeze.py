"""Layers frozen on the plan page, the stages of its tables, and the trade-off that is learnt."""

from dataclasses import replace

import pytest

from tests.ui import digits
from tests.ui.conftest import address
from tests.ui.digits import LAYERS, button, captions
from tests.ui.test_plan_goal import limit
from tests.ui.test_plan_granularities import choose
from tests.ui.test_plan_page import board, drag, number, saved, select, spread
from tests.unit.made_up import made_up_latencies
from workbench import plan_tasks
from workbench.allocation import Budget, allocate
from workbench.cost_trade_off import TRADE_OFFS, learn_trade_off
from workbench.groups import find_groups
from workbench.latency import Latency, LatencyComparison
from workbench.latency_table import LatencyFit
from workbench.trials import TrialSettings
from workbench.ui import bench, plan_why

FIRST, SECOND, CLASSIFIER = LAYERS
PASS = Latency(2.0, 1.9, 2.1, 20, 1, 1)


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


@pytest.fixture
def plan_page(open_app):
    return open_app(ws=digits.workspace(), page="plan")


def frozen(app):
    return next(one for one in app.multiselect if one.label == "Freeze")


def toggle(app, label):
    return next(one for one in app.toggle if one.label == label)


def freeze(app, *patterns):
    frozen(app).set_value(list(patterns)).run()
    return app


def column(app, name):
    return next(one for one in board(app)["columns"] if one["name"] == name)


# Freezing


def test_a_pattern_locks_its_columns_at_0_and_says_so(plan_page):
    drag(plan_page, **{FIRST: 0.5, SECOND: 0.25})
    freeze(plan_page, FIRST)
    assert not plan_page.error
    assert dict(saved(plan_page).sparsities) == {FIRST: 0.0, SECOND: 0.25}
    assert column(plan_page, FIRST)["reason"] == (
        f"Frozen by {FIRST}; take that out of the field Freeze to set it free."
    )
    assert not column(plan_page, SECOND)["reason"]
    assert "1 layer frozen at 0." in captions(plan_page)
    drag(plan_page, **{FIRST: 0.75})
    assert saved(plan_page).sparsities[FIRST] == 0


def test_a_pattern_taken_out_gives_back_what_there_was(plan_page):
    drag(plan_page, **{FIRST: 0.5, SECOND: 0.25})
    before = saved(plan_page).sparsities
    freeze(plan_page, "hidden.0")
    freeze(plan_page)
    assert saved(plan_page).sparsities == before
    assert not column(plan_page, FIRST)["reason"]


def test_what_is_frozen_survives_a_reload_and_a_change_of_granularity(plan_page, open_app):
    freeze(plan_page, FIRST)
    again = open_app(ws=address(plan_page), page="plan")
    assert frozen(again).value == [FIRST]
    choose(again, "channel")
    assert column(again, FIRST)["reason"].startswith(f"Frozen by {FIRST}")
    spread(again, 50)
    assert (saved(again).sparsities[FIRST], saved(again).sparsities[SECOND] > 0) == (0, True)
    assert "Frozen layers keep their outputs" in captions(again)


@pytest.mark.parametrize("method", ["uniform", "global", "stage"])
def test_no_allocation_moves_what_is_frozen(plan_page, method):
    freeze(plan_page, FIRST)
    spread(plan_page, 40, Allocation=method)
    assert saved(plan_page) == allocate(digits.model(), method, sparsity=0.4, freeze=[FIRST])


def test_what_fits_nothing_is_refused_and_leaves_the_field(plan_page):
    freeze(plan_page, FIRST)
    freeze(plan_page, FIRST, "layer1.*")
    assert "No layer fits the pattern" in plan_page.error[0].value
    assert frozen(plan_page).value == [FIRST]


def test_what_fits_nothing_at_another_granularity_waits(plan_page):
    freeze(plan_page, "classifier")
    choose(plan_page, "channel")
    assert "Nothing fits classifier at this granularity." in captions(plan_page)
    choose(plan_page, "weight")
    assert "1 layer frozen at 0." in captions(plan_page)


def test_what_is_locked_above_0_is_not_frozen(plan_page):
    drag(plan_page, **{FIRST: 0.5})
    limit(plan_page, locked=[FIRST])
    freeze(plan_page, FIRST)
    assert len(plan_page.error) == 1
    assert "is locked at a sparsity of 0.5" in plan_page.error[0].value.replace("\\", "")
    assert frozen(plan_page).value == []
    assert saved(plan_page).sparsities[FIRST] == 0.5


def test_not_everything_can_be_frozen(plan_page):
    freeze(plan_page, *LAYERS)
    assert "would freeze every column" in plan_page.error[0].value
    assert frozen(plan_page).value == []


def test_patterns_belong_to_the_model(plan_page):
    freeze(plan_page, FIRST)
    bench.store().save_model_ref(address(plan_page), digits.OTHER_REF)
    plan_page.run()
    assert frozen(plan_page).value == []


def test_searches_hold_what_is_frozen(plan_page, registry):
    freeze(plan_page, FIRST)
    by_cost(plan_page)
    button(plan_page, "Spread").click().run()
    ((_owner, _kind, request),) = registry.requests
    assert request["locked"] == [FIRST]


# Trade-off


def by_cost(app):
    choose(app, "channel")
    select(app, "Allocation").set_value("cost_aware").run()
    return app


def test_a_trade_off_that_was_typed_spreads_at_once(plan_page):
    by_cost(plan_page)
    toggle(plan_page, "Learn it").set_value(False).run()
    number(plan_page, "Trade-off").set_value(0.5).run()
    number(plan_page, "Times fewer").set_value(2).run()
    button(plan_page, "Spread").click().run()
    assert saved(plan_page) == allocate(
        digits.model(), "cost_aware", budget=Budget("macs", 0.5), granularity="channel",
        trade_off=0.5,
    )  # fmt: skip


def test_a_trade_off_is_learnt_in_the_background_and_its_plan_taken(plan_page, registry):
    by_cost(plan_page)
    number(plan_page, "Times fewer").set_value(2).run()
    button(plan_page, "Spread").click().run()
    ((owner, kind, request),) = registry.requests
    assert (owner, kind) == (address(plan_page), "trade_off")
    assert (request["unit"], request["kept"], request["method"]) == ("macs", 0.5, "cost_aware")
    digits.do("trade_off", address(plan_page), request | {"num_samples": 64, "repair": "none"})
    registry.job = replace(registry.job, state="done")
    plan_page.run()
    model = digits.model()
    expected = learn_trade_off(
        model, digits.data(),
        lambda exponent: allocate(
            model, "cost_aware", budget=Budget("macs", 0.5), granularity="channel",
            trade_off=exponent,
        ),
        groups=find_groups(model, "channel"), settings=TrialSettings("none", 64),
    )  # fmt: skip
    assert saved(plan_page).sparsities == expected.plan.sparsities
    assert f"Trade-off {expected.trade_off:g} lost least" in captions(plan_page).replace("\\", "")
    plan_page.run()
    assert number(plan_page, "Trade-off").value == expected.trade_off
    table = plan_page.table[0].value
    assert list(table["Trade-off"]) == [f"{value:g}" for value in TRADE_OFFS]
    assert list(table["Taken"]).count("yes") == 1


def test_for_a_latency_it_is_timed_learnt_and_timed_again_by_itself(
    plan_page, registry, monkeypatch
):
    """With invented times: a network as small as this may not become faster at all."""

    def invented(model, **_how):
        return made_up_latencies(find_groups(model, "channel"), model)

    def fitted(_model, make, kept, **_how):
        turns = LatencyComparison("torch", PASS, replace(PASS, median_ms=1.4), 1.43, 1.4, 1.5)
        return LatencyFit(make(kept), kept, kept, turns, 1)

    monkeypatch.setattr(plan_tasks, "measure_latency_table", invented)
    monkeypatch.setattr(plan_tasks, "fit_latency", fitted)
    by_cost(plan_page)
    select(plan_page, "Target").set_value("latency").run()
    number(plan_page, "Times faster").set_value(1.25)
    button(plan_page, "Measure and spread").click().run()
    for kind in ("latency_table", "trade_off"):
        owner, asked, request = registry.requests[-1]
        assert asked == kind, "it goes on by itself"
        digits.do(kind, owner, request | {"num_samples": 64, "repair": "none"})
        registry.job = replace(registry.job, state="done")
        plan_page.run()
    assert not plan_page.error
    assert [kind for _, kind, _ in registry.requests] == ["latency_table", "trade_off"]
    assert any(saved(plan_page).sparsities.values())
    told = captions(plan_page).replace("\\", "")
    assert "lost least on 64 validation images" in told
    assert "Timed on this machine: 69.9 % of the dense time." in told


def test_a_sparsity_has_no_costs_to_weigh(plan_page, registry):
    by_cost(plan_page)
    select(plan_page, "Target").set_value("sparsity").run()
    button(plan_page, "Spread").click().run()
    assert not registry.requests
    assert (
        saved(plan_page).sparsities
        == allocate(digits.model(), "global", sparsity=0.5, granularity="channel").sparsities
    )


def test_prices_name_what_they_are_for():
    assert plan_why._saved_unit("latency") == "millisecond"
    assert plan_why._saved_unit("macs") == "percent of the MACs"
