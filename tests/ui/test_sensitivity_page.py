"""The sensitivity page: measuring, showing, choosing among sets of curves."""

import json
from dataclasses import replace

import pytest

from tests.ui import digits
from tests.ui.conftest import go_to
from tests.ui.digits import button, captions, labels
from tests.ui.test_job_panel import view
from workbench.curves import SensitivityCurves, SensitivitySettings, most_fragile
from workbench.plan import PruningPlan
from workbench.sensitivity import measure_sensitivity
from workbench.ui import bench
from workbench.ui.errors import plain

COARSE = SensitivitySettings(levels=(0.5, 0.9), num_samples=100)
FINE = SensitivitySettings(levels=(0.5, 0.7, 0.9), num_samples=100)


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


@pytest.fixture(scope="module")
def curves() -> SensitivityCurves:
    return measure_sensitivity(digits.model(), digits.data(), COARSE)


def partial(curves: SensitivityCurves) -> SensitivityCurves:
    return replace(curves, points=curves.points[:2], complete=False)


def measuring(workspace_id, curves, count, model=digits.MODEL_REF):
    """A job that has found so many points."""
    request = digits.arguments(settings=curves.settings.to_dict()) | {"model": model.to_dict()}
    points = [curves.baseline, *curves.points][:count]
    series = tuple(point.to_dict() for point in points)
    return view(owner=workspace_id, kind="sensitivity", request=request, series=series)


def chosen_curves(app):
    return next(box for box in app.selectbox if box.label == "Curves")


def sentence(app) -> str:
    return next(text.value for text in app.markdown if "fragile" in text.value)


def test_a_model_without_curves_offers_to_measure_them(open_app, registry):
    ws = digits.workspace()
    app = open_app(ws=ws, page="sensitivity")
    assert app.info[0].value == "The sensitivity of this model has not been measured yet."
    button(app, "Measure now").click().run()
    ((owner, kind, request),) = registry.requests
    assert (owner, kind) == (ws, "sensitivity")
    assert SensitivitySettings.from_dict(request["settings"]).repair == "none", "no BatchNorm"
    assert "Measure now" not in labels(app)
    assert len(app.get("progress")) == 1
    assert not app.error
    assert not app.warning


def test_the_default_model_comes_with_curves(open_app, registry):
    app = open_app(page="sensitivity")
    assert "came with the model" in chosen_curves(app).options[0]
    assert "after repair" in chosen_curves(app).options[0], "what a person gets who repairs"
    assert len(app.get("plotly_chart")) == 1
    assert "**" in sentence(app)


def test_the_sentence_names_the_most_fragile_layers(open_app, registry, curves):
    ws = digits.workspace()
    bench.store().save_curves(ws, curves.to_dict())
    app = open_app(ws=ws, page="sensitivity")
    worst = most_fragile(curves, 3, 0.01)
    named = [part.split("**")[0] for part in sentence(app).split("**")[1::2]]
    assert named == [fragility.group for fragility in worst]
    assert "100 images" in sentence(app)


def test_three_views_and_two_measures(open_app, registry, curves):
    ws = digits.workspace()
    bench.store().save_curves(ws, curves.to_dict())
    app = open_app(ws=ws, page="sensitivity")
    for shown in ("each", "map", "together"):
        app.segmented_control(key="view").set_value(shown).run()
        assert len(app.get("plotly_chart")) == 1
        assert not app.error
        assert app.segmented_control(key="metric").disabled == (shown == "map")
    app.segmented_control(key="metric").set_value("loss").run()
    assert not app.error
    assert "intervals" not in captions(app), "loss has none"


def test_unfinished_curves_are_shown_and_can_be_resumed(open_app, registry, curves):
    ws = digits.workspace()
    bench.store().save_curves(ws, partial(curves).to_dict())
    app = open_app(ws=ws, page="sensitivity")
    assert "not finished" in captions(app)
    button(app, "Resume").click().run()
    assert not app.warning, "a callback that asks for a rerun is warned about"
    assert SensitivitySettings.from_dict(registry.requests[0][2]["settings"]) == COARSE


def test_points_are_drawn_as_they_come(open_app, registry, curves):
    ws = digits.workspace()
    registry.job = measuring(ws, curves, 0)
    app = open_app(ws=ws, page="sensitivity")
    assert not app.get("plotly_chart")
    registry.job = measuring(ws, curves, 3)
    assert len(app.run().get("plotly_chart")) == 1
    assert not app.error


def test_points_of_another_model_are_not_drawn(open_app, registry, curves):
    ws = digits.workspace()
    registry.job = measuring(ws, curves, 3, model=digits.OTHER_REF)
    app = open_app(ws=ws, page="sensitivity")
    assert len(app.get("progress")) == 1
    assert not app.get("plotly_chart")
    assert button(app, "Measure now").disabled


def test_curves_of_other_weights_are_not_shown(open_app, registry, curves):
    ws = digits.workspace()
    bench.store().save_curves(ws, curves.to_dict() | {"model": "0" * 16})
    app = open_app(ws=ws, page="sensitivity")
    assert "Measure now" in labels(app)


def test_every_set_of_curves_stays_at_hand(open_app, registry, curves):
    ws = digits.workspace()
    app = open_app(ws=ws, page="sensitivity")
    for settings in (COARSE, FINE):
        next(box for box in app.text_input).set_value(
            ", ".join(f"{100 * level:g}" for level in settings.levels)
        )
        next(box for box in app.number_input).set_value(100)
        button(app, "Measure").click().run()
        asked = registry.requests[-1][2]
        digits.do("sensitivity", ws, asked)
        registry.job = None
        app.run()
    assert ["2 levels" in one for one in chosen_curves(app).options] == [False, True]
    assert chosen_curves(app).index == 0, "the newest"
    chosen_curves(app).select_index(1).run()
    assert chosen_curves(app).index == 1
    assert open_app(ws=ws, page="sensitivity").selectbox[-1].index == 1, "it is kept"
    bench.store().save_model_ref(ws, digits.OTHER_REF)
    bench.store().save_model_ref(ws, digits.MODEL_REF)
    assert len(chosen_curves(open_app(ws=ws, page="sensitivity")).options) == 2


def test_the_plan_page_shows_the_damage_of_the_chosen_curves(open_app, registry, curves):
    ws = digits.workspace()
    bench.store().save_curves(ws, partial(curves).to_dict())
    app = open_app(ws=ws, page="plan")

    def measured_points():
        columns = json.loads(app.get("bidi_component")[0].proto.json)["columns"]
        return sum(len(column["points"]) for column in columns)

    few = measured_points()
    bench.store().save_curves(ws, curves.to_dict())
    go_to(app, "plan")
    assert (few, measured_points()) == (2, 6), "the same curves, grown"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("30; many", "The levels '30; many' are not all numbers."),
        ("50, 150", "The level 150 % is not between 0 and 100 %."),
        ("nan", "The level nan % is not between 0 and 100 %."),
        (" , ", "No level was given."),
    ],
)
def test_wrong_levels_are_refused(open_app, registry, text, message):
    app = open_app(ws=digits.workspace(), page="sensitivity")
    app.text_input[0].set_value(text)
    button(app, "Measure").click().run()
    assert plain(message) in app.error[0].value
    assert not registry.requests
    assert "Measure now" in labels(app)


def test_more_images_than_there_are_is_no_fault(open_app, registry):
    ws = digits.workspace()
    app = open_app(ws=ws, page="sensitivity")
    app.text_input[0].set_value("90")
    app.number_input[0].set_value(10_000)
    button(app, "Measure").click().run()
    digits.do("sensitivity", ws, registry.requests[0][2])
    registry.job = None
    app.run()
    assert not app.error
    assert f"{len(digits.data().split('validation'))} images" in digits.texts(app)


CHANNELS = SensitivitySettings(levels=(0.25, 0.5), num_samples=100, granularity="channel")


@pytest.fixture(scope="module")
def channel_curves() -> SensitivityCurves:
    return measure_sensitivity(digits.model(), digits.data(), CHANNELS)


def with_both(curves, channel_curves, granularity: str) -> str:
    """A workspace with curves of weights and of channels, the plan of one of the two."""
    ws = digits.workspace(PruningPlan({"hidden.0": 0.5}, granularity=granularity))
    for one in (channel_curves, curves):
        bench.store().save_curves(ws, one.to_dict())
        keys = bench.store().open_workspace(ws).settings.get("measured_curves", [])
        last = bench.store().open_workspace(ws).curves
        bench.store().save_settings(ws, {"measured_curves": [last, *keys]})
    return ws


def axis_title(app) -> str:
    return json.loads(app.get("plotly_chart")[0].proto.spec)["layout"]["xaxis"]["title"]["text"]


@pytest.mark.parametrize(
    ("granularity", "title", "first"),
    [
        ("channel", "Channel pruning ratio of the one group", "Channels, neurons and heads"),
        ("weight", "Sparsity of the one layer", "Single weights"),
    ],
)
def test_curves_of_the_plans_granularity_come_first(
    open_app, registry, curves, channel_curves, granularity, title, first
):
    app = open_app(ws=with_both(curves, channel_curves, granularity), page="sensitivity")
    assert [one.startswith(first) for one in chosen_curves(app).options] == [True, False]
    assert axis_title(app) == title
    assert not app.info
    chosen_curves(app).select_index(1).run()
    assert axis_title(app) != title
    assert f"the plan is of “{first}”" in app.info[0].value
    assert "Measure for the plan" not in labels(app), "such curves are at hand"


def test_curves_of_another_granularity_offer_to_measure_those_of_the_plan(
    open_app, registry, curves
):
    ws = digits.workspace(PruningPlan({"hidden.0": 0.5}, granularity="channel", criterion="l2"))
    bench.store().save_curves(ws, curves.to_dict())
    app = open_app(ws=ws, page="sensitivity")
    button(app, "Measure for the plan").click().run()
    asked = SensitivitySettings.from_dict(registry.requests[0][2]["settings"])
    assert (asked.granularity, asked.criterion) == ("channel", "l2")


def test_any_granularity_can_be_measured(open_app, registry):
    ws = digits.workspace()
    app = open_app(ws=ws, page="sensitivity")
    choice = next(box for box in app.selectbox if box.label == "Granularity")
    assert choice.value == "weight"
    choice.set_value("channel").run()
    ratios = next(box for box in app.text_input if box.label == "Channel pruning ratios in percent")
    ratios.set_value("50")
    button(app, "Measure").click().run()
    asked = SensitivitySettings.from_dict(registry.requests[0][2]["settings"])
    assert (asked.granularity, asked.levels) == ("channel", (0.5,))
    digits.do("sensitivity", ws, registry.requests[0][2])
    registry.job = None
    app.run()
    assert axis_title(app) == "Channel pruning ratio of the one group"
    assert not app.error


def test_a_pattern_of_n_in_m_has_one_level(open_app, registry):
    app = open_app(ws=digits.workspace(), page="sensitivity")
    next(box for box in app.selectbox if box.label == "Granularity").set_value("nm:2:4").run()
    assert app.text_input[0].disabled
    button(app, "Measure").click().run()
    assert registry.requests[0][2]["settings"]["levels"] == [0.5]


def test_words_are_those_of_groups_where_channels_go(open_app, registry, channel_curves):
    ws = digits.workspace(PruningPlan({}, granularity="channel"))
    bench.store().save_curves(ws, channel_curves.to_dict())
    app = open_app(ws=ws, page="sensitivity")
    alt = app.get("plotly_chart")[0].proto.alt
    assert "against channel pruning ratio, one per group" in alt
