"""Why each group got its value, and what the hand's moves cost."""

import re

import pytest

from tests.ui.digits import button, captions, texts
from tests.ui.test_plan_page import board, drag, saved, unfold
from workbench.accounting import size_of_plan
from workbench.allocation.reasons import Kind, Reason, explain_plan
from workbench.groups import find_groups
from workbench.loading import load_model
from workbench.sensitivity import sample_curves
from workbench.ui import plan_why
from workbench.ui.equaliser import board_of
from workbench.ui.plan_moves import Move, Scale

MOVED, OTHER = "stem", "stages.1.1.conv1"


@pytest.fixture(scope="module")
def model():
    return load_model("fashion-resnet20")


@pytest.fixture(scope="module")
def curves(model):
    return next(c for c in sample_curves(model, "channel") if c.settings.repair == "bn")


@pytest.fixture
def planned(open_app):
    return button(open_app(page="plan"), "4× fewer MACs, smallest loss").click().run()


def test_an_empty_plan_has_nothing_to_explain(open_app):
    app = open_app(page="plan")
    assert "Common price" not in captions(app)
    assert "You cut" not in texts(app)


def test_every_group_has_its_reason(planned, model, curves):
    assert "Common price" in captions(planned)
    assert "You cut" not in texts(planned)
    unfold(planned, "plan_why")
    frame = planned.dataframe[0].value
    groups = find_groups(model, "channel")
    expected = explain_plan(groups, saved(planned), curves, "macs")
    assert list(frame["group"]) == list(expected) == [group.name for group in groups.prunable]
    assert frame["saved"].tolist() == pytest.approx([100 * r.saved for r in expected.values()])
    assert frame["why"].tolist() == [plan_why.why(reason) for reason in expected.values()]
    assert not planned.error


def test_hand_moves_are_told_with_what_they_cost(planned):
    values = {column["name"]: value for column, value in zip(
        board(planned)["columns"], board(planned)["values"], strict=True)}  # fmt: skip
    drag(planned, **{MOVED: 0.5, OTHER: values[OTHER] - 0.25})
    told = texts(planned)
    assert re.search(r"You cut \*\*stem\*\* further, from \d+ % to 50 %: it costs about", told)
    assert re.search(r"You spared \*\*stages\\\.1|You spared \*\*stages.1.1.conv1\*\*", told)
    assert "more of the MACs" in told
    button(planned, "Spread").click().run()
    assert "You cut" not in texts(planned), "the new plan is the new beginning"


@pytest.mark.parametrize("value", [0.5, 0.0])
def test_a_move_is_weighed_with_all_others_as_they_are(model, curves, planned, value):
    groups, base = find_groups(model, "channel"), saved(planned)
    layout = board_of(groups, curves, num_classes=10, locked={})
    plan = base.with_sparsities({**base.sparsities, MOVED: value, OTHER: 0.25})
    reference = plan.with_sparsities({**plan.sparsities, MOVED: base.sparsities[MOVED]})
    move = Scale(layout, groups, plan, "macs").weigh(base, MOVED, list(layout.names[1:4]))
    sizes = [size_of_plan(groups, one).macs for one in (reference, plan)]
    assert move.saved == pytest.approx((sizes[0] - sizes[1]) / groups.inspection.macs)
    predicted = [
        layout.predictor.predict(layout.settled(one.sparsities)).accuracy
        for one in (reference, plan)
    ]
    assert move.lost == pytest.approx(predicted[0] - predicted[1])
    assert (move.lost > 0) == (move.saved > 0) == (value == 0.5)
    if move.elsewhere:
        assert move.lost_elsewhere < move.lost


def reason(kind, **values):
    usual = {"sparsity": 0.5, "damage": 0.1, "saved": 0.1, "price_next": 0.06, "price_last": 0.04,
             "price_common": 0.02}  # fmt: skip
    return Reason(Kind(kind), **usual | values)


@pytest.mark.parametrize("kind", [str(kind) for kind in Kind])
def test_every_kind_of_reason_is_one_sentence(kind):
    told = plan_why.why(reason(kind))
    assert told.endswith(".")
    assert "{" not in told


def test_prices_are_told_as_multiples_of_the_common_one():
    assert plan_why.why(reason("fragile")) == "Its next step costs 3× the common price."
    assert "2× the common price" in plan_why.why(reason("overdrawn"))
    assert "?" in plan_why.why(reason("fragile", price_next=None))
    assert "only <0.01× the" in plan_why.why(reason("cheap", price_next=1e-11))
    table = plan_why._table({"a": reason("cheap", price_next=1e-11), "b": reason("fair")})
    assert list(table["next"]) == [0.0, 0.06]


def test_a_move_in_words():
    move = Move("conv2", 0.31, 0.6, 0.004, 0.012, "conv1", 0.001)
    assert plan_why._move_in_words(move, "macs") == (
        "You cut **conv2** further, from 31 % to 60 %: it costs about 0.4 points for 1.2 % of the "
        "MACs. The same saving costs about 0.1 points in **conv1**."
    )
    spared = Move("conv2", 0.6, 0.31, -0.01, -0.012)
    assert plan_why._move_in_words(spared, "params") == (
        "You spared **conv2**, from 60 % to 31 %: it brings about 1.0 point for 1.2 % more of the "
        "parameters. Nowhere else does as much bring clearly more."
    )


def test_halves_go_up_as_on_the_columns_and_no_cost_is_below_nothing():
    move = Move("conv2", 0.125, 0.5, 0.02, 0.012, "conv1", -0.027)
    assert plan_why._move_in_words(move, "macs") == (
        "You cut **conv2** further, from 13 % to 50 %: it costs about 2.0 points for 1.2 % of the "
        "MACs. The same saving costs next to nothing in **conv1**."
    )
