"""Precision, the place where points are measured, and curves that grow in on the plan page."""

import json

import pytest

from tests.ui import digits
from tests.ui.conftest import go_to
from tests.ui.digits import button, captions, labels
from tests.ui.test_job_panel import view
from workbench import ray_points
from workbench.curves import SensitivityCurves, SensitivitySettings
from workbench.metrics import wilson_interval
from workbench.plan import PruningPlan
from workbench.sensitivity import measure_sensitivity
from workbench.ui import bench, plan_state, running_curves
from workbench.ui.charts import curves_figure, damage_figure, multiples_figure
from workbench.ui.errors import plain

SETTINGS = SensitivitySettings(levels=(0.5, 0.9), num_samples=100)
FAST = SensitivitySettings(
    levels=tuple(round(0.1 * step, 1) for step in range(1, 10)), num_samples=200,
    precision="fast", half_width=0.02,
)  # fmt: skip


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


@pytest.fixture(scope="module")
def curves() -> SensitivityCurves:
    return measure_sensitivity(digits.model(), digits.data(), SETTINGS)


@pytest.fixture(scope="module")
def fast() -> SensitivityCurves:
    found = measure_sensitivity(digits.model(), digits.data(), FAST)
    assert found.interpolated
    return found


def measuring(workspace_id, curves, count, **more):
    """A job that has found so many points."""
    request = digits.arguments(settings=curves.settings.to_dict())
    points = [curves.baseline, *curves.points, *curves.interpolated]
    series = tuple(point.to_dict() for point in points[:count])
    progress = {"done": count, "total": len(points)} if count else {}
    return view(
        owner=workspace_id, kind="sensitivity", request=request, series=series, **progress, **more
    )


def choice(app, label):
    return next(box for box in app.selectbox if box.label == label)


def precision(app):
    return next(one for one in app.segmented_control if one.label == "Precision")


def columns(app):
    return json.loads(app.get("bidi_component")[0].proto.json)["columns"]


def num_points(app) -> int:
    return sum(len(column["points"]) for column in columns(app))


# Precision


def test_the_first_measurement_is_fast_to_a_stated_half_width(open_app, registry):
    app = open_app(ws=digits.workspace(), page="sensitivity")
    button(app, "Measure now").click().run()
    asked = SensitivitySettings.from_dict(registry.requests[0][2]["settings"])
    assert (asked.precision, asked.half_width) == ("fast", 0.01)
    assert registry.requests[0][2]["ray"] == "", "here"


def test_precision_and_half_width_are_asked_and_remembered(open_app, registry):
    ws = digits.workspace()
    app = open_app(ws=ws, page="sensitivity")
    assert choice(app, "Half-width at 95 %").options == ["± 0.5 points", "± 1 point", "± 2 points"]
    choice(app, "Half-width at 95 %").select_index(2)
    button(app, "Measure").click().run()
    assert registry.requests[0][2]["settings"]["half_width"] == 0.02
    registry.job = None
    app.run()
    precision(app).set_value("exact").run()
    assert "on all images asked for" in captions(app)
    assert "Half-width at 95 %" not in [box.label for box in app.selectbox]
    button(app, "Measure").click().run()
    assert registry.requests[1][2]["settings"]["precision"] == "exact"


def test_interpolated_points_are_hollow_on_a_dotted_line(fast):
    named = list(fast.groups)[:2]
    figure = curves_figure(fast, "accuracy", highlighted=named)
    hollow = [one for one in figure.data if one.marker.symbol == "circle-open" and one.x[0] != None]  # noqa: E711
    drawn = {
        (one.name, x)
        for one in hollow
        for x, size in zip(one.x, one.marker.size, strict=True)
        if size
    }
    assert drawn == {(p.group, p.level) for p in fast.interpolated if p.group in named}
    assert {one.line.dash for one in hollow} == {"dot"}
    solid = [one for one in figure.data if one.name in named and one not in hollow]
    assert {(one.name, x) for one in solid for x in one.x if x} == {
        (p.group, p.level) for p in fast.points if p.group in named
    }
    assert "Interpolated" in [one.name for one in figure.data]


def test_small_charts_and_the_heat_map_tell_interpolated_points(fast):
    figure = multiples_figure(fast, fast.groups, "loss")
    assert any(one.marker.symbol == "circle-open" for one in figure.data)
    texts = damage_figure(fast, dark=False).data[0].text
    told = {
        (fast.groups[row], FAST.levels[column])
        for row, line in enumerate(texts)
        for column, text in enumerate(line)
        if text.startswith("(")
    }
    assert told == {(p.group, p.level) for p in fast.interpolated}


def test_the_dense_accuracy_has_the_interval_of_other_images(open_app, registry, fast):
    ws = digits.workspace()
    bench.store().save_curves(ws, fast.to_dict())
    app = open_app(ws=ws, page="sensitivity")
    low, high = wilson_interval(round(fast.baseline.accuracy * 200), 200)
    assert f"({100 * low:.1f}–{100 * high:.1f}" in digits.texts(app)
    assert "intervals of what all images would give. Hollow points" in captions(app)


def test_exact_curves_have_no_word_of_interpolation(curves):
    figure = curves_figure(curves, "accuracy", highlighted=list(curves.groups))
    assert "Interpolated" not in [one.name for one in figure.data]


# Where to compute


@pytest.mark.parametrize(
    ("address", "titles"),
    [
        ("", ["This machine", "Ray, started on this machine"]),
        ("head:6379", ["This machine", "Ray at head:6379", "Ray, started on this machine"]),
    ],
)
def test_only_who_starts_the_app_names_a_cluster(open_app, registry, monkeypatch, address, titles):
    monkeypatch.setenv("WORKBENCH_RAY", address)
    app = open_app(ws=digits.workspace(), page="sensitivity")
    place = choice(app, "Measure on")
    assert place.options == titles
    place.select_index(1)
    button(app, "Measure").click().run()
    assert registry.requests[0][2]["ray"] == (address or "local")
    registry.job = None
    assert choice(app.run(), "Measure on").index == 1, "it is kept"
    monkeypatch.setenv("WORKBENCH_RAY", "other:1")
    assert choice(app.run(), "Measure on").index == (0 if address else 2)


def test_without_the_package_the_choice_says_how_to_get_it(open_app, registry, monkeypatch):
    monkeypatch.setattr(ray_points, "has_ray", lambda: False)
    app = open_app(ws=digits.workspace(), page="sensitivity")
    place = choice(app, "Measure on")
    assert (place.options, place.disabled) == (["This machine"], True)
    assert "pip install 'pruning-workbench[ray]'" in place.help


def test_an_address_of_nobody_is_one_message_and_loses_nothing(curves):
    ws = digits.workspace()
    bench.store().save_curves(ws, curves.to_dict())
    before = bench.store().open_workspace(ws)
    with pytest.raises(Exception, match=r"Ray at localhost:1 cannot be reached"):
        digits.do("sensitivity", ws, digits.arguments(settings=FAST.to_dict(), ray="localhost:1"))
    assert bench.store().open_workspace(ws) == before


# Growing in on the plan page


def test_the_plan_page_measures_and_the_columns_fill(open_app, registry, curves):
    ws = digits.workspace(PruningPlan({"hidden.0": 0.5}))
    app = open_app(ws=ws, page="plan")
    button(app, "Measure now").click().run()
    assert registry.requests[0][1] == "sensitivity"
    assert "Measuring: getting ready." in captions(app)
    seen = []
    for count in (1, 2, 4, 7):
        registry.job = measuring(ws, curves, count)
        app.run()
        assert f"Measuring: {count} of 7 points" in captions(app)
        seen.append(num_points(app))
    assert seen == [0, 1, 3, 6]
    assert not app.error
    registry.job = measuring(ws, curves, 7, stopping=True)
    app.run()
    assert "stopping" in captions(app)
    assert button(app, "Stop now")


def test_a_stopped_measurement_can_be_resumed_on_the_plan_page(open_app, registry, curves):
    ws = digits.workspace()
    part = SensitivityCurves(
        SETTINGS, curves.model, curves.data, curves.baseline, curves.points[:3], 1.0, 4, False
    )
    bench.store().save_curves(ws, part.to_dict())
    app = open_app(ws=ws, page="plan")
    assert "The measurement was stopped: 3 points are there." in captions(app)
    button(app, "Resume").click().run()
    assert SensitivitySettings.from_dict(registry.requests[0][2]["settings"]) == SETTINGS


def test_finished_curves_stay_until_the_running_ones_know_every_group(open_app, registry, curves):
    ws = digits.workspace()
    bench.store().save_curves(ws, curves.to_dict())
    app = open_app(ws=ws, page="plan")
    finished = num_points(app)
    levels = SensitivitySettings(levels=(0.3, 0.5, 0.7, 0.9), num_samples=100)
    finer = measure_sensitivity(digits.model(), digits.data(), levels)
    registry.job = measuring(ws, finer, 6)  # of the first two groups only
    assert num_points(app.run()) == finished
    assert "Measuring: 6 of 13 points" in captions(app)
    registry.job = measuring(ws, finer, 13)
    assert num_points(app.run()) == 12 > finished


@pytest.mark.parametrize(
    ("of_plan", "of_job", "of_others", "taken"),
    [
        ("l1", "l1", None, True),
        ("l1", "l2", None, True),
        ("l1", "l1", "l2", True),
        ("l1", "l2", "l1", False),
        ("l1", "l2", "l2", True),
    ],
)
def test_curves_of_the_plans_criterion_come_first(
    monkeypatch, curves, of_plan, of_job, of_others, taken
):
    def of(criterion):
        settings = SensitivitySettings((0.5, 0.9), 100, criterion)
        return SensitivityCurves(settings, "", "", curves.baseline, curves.points, 1.0, 7, False)

    monkeypatch.setattr(running_curves, "job_for_plan", lambda plan: measuring("", of(of_job), 7))
    grown = running_curves.grown(
        PruningPlan({}, criterion=of_plan), of(of_others) if of_others else None
    )
    assert (grown is not None) == taken


def test_points_of_another_granularity_do_not_colour_the_plan(open_app, registry, curves):
    ws = digits.workspace(PruningPlan({}, granularity="channel"))
    registry.job = measuring(ws, curves, 5)
    app = open_app(ws=ws, page="plan")
    assert num_points(app) == 0
    assert "Measuring" not in captions(app)
    assert button(app, "Measure now").disabled, "one at a time"


def test_a_failed_measurement_says_why_where_it_was_begun(open_app, registry, curves):
    ws = digits.workspace()
    app = open_app(ws=ws, page="plan")
    registry.job = measuring(
        ws, curves, 0, state="failed", error="Ray at head:1 cannot be reached: refused.",
        hint="Start it.",
    )  # fmt: skip
    go_to(app, "plan")
    assert plain("Ray at head:1 cannot be reached") in app.error[0].value
    assert "Measure now" in labels(app)


def test_the_board_is_built_anew_only_where_points_came(open_app, registry, curves, monkeypatch):
    ws = digits.workspace()
    registry.job = measuring(ws, curves, 4)
    app = open_app(ws=ws, page="plan")
    built = []
    board_of = plan_state.board_of
    monkeypatch.setattr(
        plan_state, "board_of", lambda *a, **k: built.append(1) or board_of(*a, **k)
    )
    app.run()
    assert not built
    registry.job = measuring(ws, curves, 5)
    app.run()
    assert built
