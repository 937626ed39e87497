"""The plan page at every granularity: choosing, spreading, going back, and links that carry it."""

import pytest

from tests.ui import digits
from tests.ui.conftest import address, go_to
from tests.ui.digits import LAYERS, button, captions, texts
from tests.ui.test_plan_page import board, drag, number, saved, select, spread, unfold, upload
from workbench.accounting import size_of_plan
from workbench.allocation import Budget, allocate
from workbench.curves import SensitivityCurves, SensitivityPoint, SensitivitySettings
from workbench.groups import find_groups
from workbench.plan import PruningPlan
from workbench.plan_file import format_plan
from workbench.store import ModelRef
from workbench.ui import bench, links, plan_state
from workbench.ui.theme import compact

FIRST, SECOND, CLASSIFIER = LAYERS


def control(app, label):
    return next(one for one in app.segmented_control if one.label == label)


def choose(app, kind):
    control(app, "Granularity").set_value(kind).run()
    assert not app.error
    return app


@pytest.fixture
def channels(open_app):
    """The plan page with an empty plan of channels."""
    return choose(open_app(ws=digits.workspace(), page="plan"), "channel")


def test_channels_get_one_column_a_group(channels):
    shown = board(channels)
    assert shown["granularity"] == saved(channels).granularity == "channel"
    assert [column["kind"] for column in shown["columns"]] == [
        "128 neurons", "64 neurons", "10 neurons",
    ]  # fmt: skip
    assert shown["columns"][2]["reason"].startswith("Its outputs are the class scores")
    assert "the file and the latency really shrink" in captions(channels)


def test_a_dragged_group_is_saved_and_its_size_is_exact(channels):
    drag(channels, **{FIRST: 96 / 128})
    assert dict(saved(channels).sparsities) == {FIRST: 0.75}
    size = size_of_plan(find_groups(digits.model(), "channel"), saved(channels))
    assert size.num_params - size.num_nonzero == 96 * (64 + 1 + 64)
    assert f"**{compact(size.num_nonzero)}** of {compact(size.num_params)}" in texts(channels)


@pytest.mark.parametrize("name", ["weight", "nm", "block", "channel"])
def test_every_kind_can_be_planned(open_app, name):
    app = choose(open_app(ws=digits.workspace(), page="plan"), name)
    select(app, "Target").set_value("sparsity").run()
    spread(app, 50)
    plan = saved(app)
    locked = (CLASSIFIER,) if name != "channel" else ()
    expected = allocate(
        digits.model(), "uniform", sparsity=0.5, granularity=plan.granularity, protected=locked
    )
    assert plan == expected
    assert any(plan.sparsities.values())


def test_the_plan_of_a_granularity_waits_until_it_is_chosen_again(channels):
    drag(channels, **{FIRST: 0.75})
    choose(channels, "weight")
    assert not any(board(channels)["values"])
    drag(channels, **{SECOND: 0.6})
    before = saved(channels)
    choose(channels, "channel")
    assert dict(saved(channels).sparsities) == {FIRST: 0.75}
    choose(channels, "weight")
    assert saved(channels) == before


def test_undo_may_lead_back_to_another_granularity(channels):
    choose(channels, "weight")
    drag(channels, **{SECOND: 0.6})
    choose(channels, "channel")
    revision = board(channels)["revision"]
    message = {"revision": revision, "granularity": "weight", "multiple": 1}
    values = [0.25, 0.5, 0.0]
    channels.session_state["equaliser"] = {"edit": message | {"values": values}}
    channels.run()
    assert dict(saved(channels).sparsities) == {FIRST: 0.25, SECOND: 0.5}
    assert saved(channels).granularity == board(channels)["granularity"] == "weight"
    assert control(channels, "Granularity").value == "weight"
    assert board(channels)["revision"] > revision


def test_another_tab_may_change_the_granularity(open_app):
    app = drag(open_app(ws=digits.workspace(), page="plan"), **{FIRST: 0.6})
    other = PruningPlan({SECOND: 0.5}, "channel", model=digits.model().digest)
    bench.store().save_plan(address(app), other)
    drag(app, **{FIRST: 0.7})
    assert saved(app) == other
    assert board(app)["granularity"] == "channel"
    assert control(app, "Granularity").value == "channel"


def test_what_does_not_fit_is_named_with_its_reason(open_app):
    app = open_app(ws=digits.workspace(), page="plan")
    assert "Kernels" not in control(app, "Granularity").options
    assert ":material/block: Kernels do not fit this model. It has no kernels." in captions(app)


def test_kept_channels_are_rounded_and_the_effect_is_told(channels):
    drag(channels, **{FIRST: 37 / 128})
    control(channels, "Round kept channels to multiples of").set_value(16).run()
    assert saved(channels).channel_multiple == 16
    assert dict(saved(channels).sparsities) == {FIRST: 37 / 128}
    assert board(channels)["multiple"] == 16
    free, rounded = (
        size_of_plan(
            find_groups(digits.model(), "channel"),
            PruningPlan({FIRST: 37 / 128}, "channel", channel_multiple=multiple),
        )
        for multiple in (1, 16)
    )
    assert free.num_nonzero != rounded.num_nonzero
    told = f"{compact(rounded.num_nonzero)} parameters instead of {compact(free.num_nonzero)}"
    assert told in captions(channels)
    assert "Rounded to multiples of 16: 1 group keeps" in captions(channels)
    drag(channels, **{FIRST: 48 / 128})
    assert "Rounding to multiples of 16 changes nothing" in captions(channels)


def test_a_pattern_can_be_typed_and_a_wrong_one_is_refused_once(open_app):
    app = choose(open_app(ws=digits.workspace(), page="plan"), "nm")
    assert saved(app).granularity == "nm:2:4"
    pattern = next(box for box in app.selectbox if box.label == "Pattern")
    pattern.set_value("1:4").run()
    assert saved(app).granularity == "nm:1:4"
    for wrong in ("9:4", "half"):
        typed = next(box for box in app.selectbox if box.label == "Pattern")
        typed.options.append(wrong)
        typed.set_value(wrong).run()
        assert len(app.error) == 1
        assert saved(app).granularity == "nm:1:4"


def test_blocks_have_rows_columns_and_a_place(open_app):
    app = choose(open_app(ws=digits.workspace(), page="plan"), "block")
    next(one for one in app.number_input if one.label == "Rows").set_value(8).run()
    assert saved(app).granularity == "block:8x4"
    drag(app, **{FIRST: 0.5})
    next(one for one in app.toggle if one.label == "Inside kernels").set_value(True).run()
    assert "do not fit this model" in app.error[0].value
    assert len(app.error) == 1
    assert saved(app).granularity == "block:8x4"


def test_a_budget_is_met(channels):
    assert select(channels, "Target").value == "macs"
    spread(channels, 40)
    assert number(channels, "Times fewer").value == 2.5
    expected = allocate(
        digits.model(), "uniform", budget=Budget("macs", 0.4), granularity="channel"
    )
    assert saved(channels) == expected
    size = size_of_plan(find_groups(digits.model(), "channel"), saved(channels))
    assert 0.35 < size.macs / size.dense_macs <= 0.4


def test_a_plan_file_of_channels_comes_back_as_it_went(open_app):
    plan = PruningPlan({FIRST: 0.5}, "channel", "l2", seed=3, channel_multiple=8)
    app = upload(open_app(ws=digits.workspace(), page="plan"), format_plan(plan).encode())
    assert not app.error
    assert saved(app) == PruningPlan.from_dict(plan.to_dict() | {"model": digits.model().digest})
    assert board(app)["multiple"] == 8


def test_a_plan_file_naming_a_member_of_a_group_is_refused(open_app):
    app = open_app(ws=digits.workspace(), page="plan")
    upload(app, format_plan(PruningPlan({CLASSIFIER: 0.5}, "channel")).encode())
    assert len(app.error) == 1
    assert "classifier cannot be pruned" in app.error[0].value


def test_a_measurement_of_another_granularity_belongs_to_another_plan(open_app):
    ws = digits.workspace(digits.uniform(0.8))
    digits.add_run(ws)
    app = open_app(ws=ws, page="plan")
    assert board(app)["measured"]["other"] is False
    choose(app, "channel")
    assert board(app)["measured"]["other"] is True
    choose(app, "weight")
    assert board(app)["measured"]["other"] is False


# Curves


def test_curves_of_another_granularity_are_not_shown(monkeypatch):
    def measured(granularity, criterion):
        settings = SensitivitySettings((0.5,), 100, criterion, granularity=granularity)
        points = (SensitivityPoint(FIRST, 0.5, 0.8, 0.5, 0.7, 0.9, 100),)
        baseline = SensitivityPoint("", 0.0, 0.9, 0.3, 0.85, 0.95, 100)
        return SensitivityCurves(settings, "m", "d", baseline, points, 1.0, 2, True)

    weights, other, own = measured("weight", "l1"), measured("channel", "l1"), measured(
        "channel", "l2"
    )  # fmt: skip
    found = {"a": weights, "b": other, "c": own}
    monkeypatch.setattr(plan_state.curve_shelf, "shelf", lambda: found)
    monkeypatch.setattr(plan_state.curve_shelf, "current", lambda: weights)
    monkeypatch.setattr(plan_state.running_curves, "grown", lambda plan, finished: None)
    assert plan_state.fitting_curves(PruningPlan({}, "channel", "l2")) is own
    assert plan_state.fitting_curves(PruningPlan({}, "channel", "random")) is other
    assert plan_state.fitting_curves(PruningPlan({}, "weight", "random")) is weights
    assert plan_state.fitting_curves(PruningPlan({}, "nm:2:4")) is None


# Links


PLAN = PruningPlan({FIRST: 1 / 3, SECOND: 0.5}, "channel", "random", seed=7, channel_multiple=4)


def open_link(open_app, word):
    """Open a link in a fresh browser, as in a private window."""
    app = open_app()
    app.query_params["plan"] = word
    app.switch_page("../../pages/plan.py").run()
    return app


def test_a_copied_link_brings_model_data_and_plan(open_app):
    app = open_link(open_app, links.encode_plan(PLAN, digits.MODEL, digits.DATA))
    assert not app.error
    found = bench.store().open_workspace(address(app))
    assert found.model_ref.sample == digits.MODEL
    assert found.data_ref.sample == digits.DATA
    assert found.plan == PruningPlan.from_dict(PLAN.to_dict() | {"model": digits.model().digest})
    assert "plan" not in app.query_params
    drag(app, **{FIRST: 0.75})
    assert saved(app.run()).sparsities[FIRST] == 0.75, "the link is followed once"


def test_the_page_offers_the_link_of_its_plan(open_app):
    app = unfold(open_app(ws=digits.workspace(PLAN), page="plan"), "plan_file_box")
    word = app.code[0].value.partition("?plan=")[2]
    assert links.decode_plan(word) == (PLAN, digits.MODEL, digits.DATA)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nonsense", "The plan in the link cannot be read."),
        (links.encode_plan(PLAN, digits.MODEL, "")[:-9], "The plan in the link cannot be read."),
        ("A" * 60_000, "The plan in the link cannot be read."),
        (links.encode_plan(PLAN, "no-model", ""), "is for the model no-model"),
        (links.encode_plan(PLAN, digits.MODEL, "no-data"), "is for the data no-data"),
        (
            links.encode_plan(PruningPlan({"hiden.0": 0.5}, "channel"), digits.MODEL, ""),
            "There is no group 'hiden.0'.",
        ),
        (
            links.encode_plan(PruningPlan(criterion="magic"), digits.MODEL, ""),
            "There is no criterion 'magic'.",
        ),
    ],
)
def test_a_bad_link_gives_one_message_and_a_usable_default(open_app, word, message):
    app = open_link(open_app, word)
    assert len(app.error) == 1
    assert message in app.error[0].value.replace("\\", "")
    found = bench.store().open_workspace(address(app))
    assert found.model_ref is not None
    assert found.plan is None
    assert len(app.get("bidi_component")) == 1


def test_an_uploaded_model_is_shared_otherwise(open_app):
    ws, model = digits.workspace(), digits.model()
    upload_ref = ModelRef(
        name="mine", architecture=model.architecture, arguments=dict(model.arguments),
        input_shape=model.input_shape,
    )  # fmt: skip
    bench.store().save_model_ref(ws, upload_ref, model.module.state_dict())
    app = unfold(open_app(ws=ws, page="plan"), "plan_file_box")
    assert "A link carries a plan for a sample model." in captions(app)
    assert not app.code


def test_the_spread_button_acts_on_the_granularity_on_the_page(channels):
    button(channels, "Spread").click().run()
    assert saved(channels).granularity == "channel"
    go_to(channels, "plan")
    assert saved(channels).allocation == "uniform"
