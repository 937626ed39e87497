"""The arena page: the form, what is drawn of an arena, and taking a plan."""

import json
from dataclasses import replace

import pytest

from tests.ui import digits
from tests.ui.conftest import go_to
from tests.ui.digits import button, captions, labels, texts, uniform
from workbench.allocation import ALLOCATIONS
from workbench.arena import Arena, ArenaSettings
from workbench.arena.task import load_arena, save_arena
from workbench.finetune_settings import FineTuneSettings
from workbench.ui import arena_form, arena_panels, arena_words, bench, plan_record
from workbench.ui.charts import arena_figure, sparsities_figure
from workbench.ui.charts.arena import _LOOKS

METHODS = ("uniform", "global")


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


def settings(**more) -> ArenaSettings:
    asked = {"factors": (2.0, 4.0), "methods": METHODS, "repair": "none", "num_samples": 100}
    return ArenaSettings(**asked | more)


def run(ws: str, asked: ArenaSettings) -> Arena:
    """Run an arena as a worker would, and put it where the page looks."""
    request = digits.arguments(settings=asked.to_dict(), curves=[])
    key = digits.do("arena", ws, request)["key"]
    bench.store().save_settings(ws, {"arenas": [key]})
    found = load_arena(bench.store(), key)
    assert found is not None
    return found


@pytest.fixture
def shown(open_app, registry):
    """A page with an arena in which the person's plan takes part, and that arena."""
    ws = digits.workspace(uniform(0.9))
    found = run(ws, settings(own=uniform(0.9)))
    return open_app(ws=ws, page="arena"), found, ws


@pytest.fixture(scope="module")
def found() -> Arena:
    """The same arena without a page."""
    return run(digits.workspace(), settings(own=uniform(0.9)))


def chart(app, name: str) -> dict:
    (one,) = (c for c in app.get("plotly_chart") if name in c.proto.id)
    return json.loads(one.proto.spec)


def alt(app, name: str) -> str:
    (one,) = (c for c in app.get("plotly_chart") if name in c.proto.id)
    return one.proto.alt


def lines(app) -> list[str]:
    return [t["name"] for t in chart(app, "arena_params_accuracy")["data"]]


def test_at_first_one_button_runs_it_with_the_plan(open_app, registry):
    app = open_app(ws=digits.workspace(uniform(0.5)), page="arena")
    assert "Nobody has competed yet." in app.info[0].value
    assert "your plan takes part" in app.info[0].value
    button(app, "Run the arena").click().run()
    ((_owner, kind, request),) = registry.requests
    assert kind == "arena"
    asked = ArenaSettings.from_dict(request["settings"])
    assert asked.factors == (2, 4, 8, 16)
    assert asked.unit == "params"
    assert asked.own is not None
    assert asked.own.sparsities == uniform(0.5).sparsities
    assert len(app.get("progress")) == 1


def test_the_limits_of_the_plan_page_hold_for_all(open_app, registry):
    plan = uniform(0.5)
    ws = digits.workspace(plan)
    app = open_app(ws=ws, page="arena")
    limits = {"bounds": {"hidden.1": [0.1, 0.6]}, "locked": ["hidden.0"]}
    owner = bench.key_of(digits.MODEL_REF)
    kept = {"plan_limits": {"of": owner, "kept": {"weight": limits}}, "classifier_unlocked": True}
    bench.store().save_settings(ws, kept)
    button(app.run(), "Run the arena").click().run()
    asked = ArenaSettings.from_dict(registry.requests[0][2]["settings"])
    assert asked.locked == {"hidden.0": 0.5}
    assert asked.bounds == {"hidden.1": (0.1, 0.6)}
    assert asked.protected == ()


def test_an_empty_plan_stays_out_and_channels_count_macs(open_app, registry):
    plan = replace(uniform(0.5), sparsities={}, granularity="channel")
    app = open_app(ws=digits.workspace(plan), page="arena")
    button(app, "Run the arena").click().run()
    asked = ArenaSettings.from_dict(registry.requests[0][2]["settings"])
    assert asked.own is None
    assert (asked.granularity, asked.unit) == ("channel", "macs")


def field(app, kind: str, label: str):
    return next(one for one in getattr(app, kind) if one.label == label)


def test_the_form_says_what_is_asked(open_app, registry):
    app = open_app(ws=digits.workspace(uniform(0.5)), page="arena")
    field(app, "text_input", "Budgets, times smaller").set_value("3x, 10")
    field(app, "selectbox", "Budget counts").set_value("bytes")
    field(app, "multiselect", "Allocations").set_value(["global"])
    field(app, "number_input", "Fine-tuning, epochs").set_value(2)
    field(app, "number_input", "Validation images").set_value(200)
    field(app, "checkbox", "Your plan, too").uncheck()
    field(app, "checkbox", "Time every model").check()
    field(app, "number_input", "Refining, plans").set_value(6)
    button(app, "Run").click().run()
    asked = ArenaSettings.from_dict(registry.requests[0][2]["settings"])
    assert asked == ArenaSettings(
        unit="bytes", factors=(3, 10), methods=("global",), finetune=FineTuneSettings(epochs=2),
        num_samples=200, repair_samples=500, timed=True, refine=6, protected=("classifier",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("two", "The budgets 'two' are not all numbers."),
        ("0.5", "The budget 0.5 is no factor above 1."),
    ],
)
def test_bad_budgets_are_told_and_nothing_runs(open_app, registry, text, told):
    app = open_app(ws=digits.workspace(), page="arena")
    field(app, "text_input", "Budgets, times smaller").set_value(text)
    button(app, "Run").click().run()
    assert told in app.error[0].value.replace("\\", "")
    assert not registry.requests


def test_every_method_is_a_line_and_the_plan_a_star(shown):
    app, found, _ws = shown
    assert lines(app) == ["Dense model", "Your plan", "Uniform", "Global ranking"]
    own, plain_ = (
        next(t for t in chart(app, "arena_params")["data"] if t["name"] == name)
        for name in ("Your plan", "Uniform")
    )
    assert sorted(own["marker"]["symbol"]) == ["star", "star-open", "star-open"]
    assert own["marker"]["symbol"][0] == "star", "its own size is the smallest"
    assert set(plain_["marker"]["symbol"]) == {"circle"}
    assert found.dense is not None
    assert f"(dense {100 * found.dense.accuracy:.1f}" in texts(app)
    assert alt(app, "arena_params").startswith("Chart of validation accuracy")
    assert not app.error


def test_the_table_marks_the_best_and_its_ties(shown):
    app, found, _ws = shown
    frame = app.dataframe[0].value
    assert list(frame["method"]) == ["Your plan", "Uniform", "Global ranking"]
    titles = [arena_words.budget_title(found, factor) for factor in found.factors]
    assert list(frame.columns[1:]) == titles
    assert titles[-1].endswith("(your size)")
    for factor, title in zip(found.factors, titles, strict=True):
        marked = [m for m, cell in zip(found.methods, frame[title], strict=True) if "★" in cell]
        assert marked == [found.best(factor).method]
        tied = [m for m, cell in zip(found.methods, frame[title], strict=True) if "≈" in cell]
        assert tied == list(found.ties(factor))


def test_the_axis_and_the_measure_can_be_switched(shown):
    app, found, _ws = shown
    assert "latency" not in app.segmented_control[0].options
    app.segmented_control[0].set_value("bytes").run()
    assert not app.error
    assert "plans were made for budgets in parameters" in captions(app)
    field(app, "segmented_control", "Measure").set_value("loss").run()
    assert chart(app, "arena_bytes_loss")["layout"]["yaxis"]["title"]["text"] == "Validation loss"
    cells = [float(cell.split()[0]) for cell in app.dataframe[0].value["2×"]]
    losses = [found.entry(method, 2.0).score.loss for method in found.methods]
    assert cells == pytest.approx(losses, abs=5e-4)


def test_a_plan_is_taken_into_the_editor(shown):
    app, found, ws = shown
    field(app, "segmented_control", "At the budget").set_value(4.0).run()
    field(app, "selectbox", "Plan of").set_value("global").run()
    button(app, "Take this plan").click().run()
    kept = bench.store().open_workspace(ws).plan
    assert kept.sparsities == found.entry("global", 4.0).plan.sparsities
    assert "The plan of Global ranking, 4× is on the plan page now" in app.success[0].value
    assert not app.run().success, "told once"
    go_to(app, "plan")
    assert not app.error


def test_the_prediction_learns_from_it_once(shown, monkeypatch):
    app, found, ws = shown
    kept = bench.store().open_workspace(ws).settings[plan_record.SETTING]
    assert {one["origin"] for one in kept} == {"arena"}
    different = {tuple(sorted(e.plan.sparsities.items())) for e in found.measured}
    assert len(kept) == len(different)
    monkeypatch.setattr(plan_record, "add", lambda *_: pytest.fail("learnt twice"))
    assert not app.run().error


def test_what_came_so_far_is_drawn_while_it_runs(open_app, registry):
    ws = digits.workspace()
    run(ws, settings())
    registry.submit(ws, "arena", "Arena", digits.arguments(settings=settings().to_dict()))
    app = open_app(ws=ws, page="arena")
    assert len(app.get("progress")) == 1
    assert "Uniform" in lines(app)
    assert "Run the arena" not in labels(app)


def test_a_stopped_arena_can_be_resumed(open_app, registry):
    ws = digits.workspace()
    found = run(ws, settings())
    save_arena(bench.store(), replace(found, entries=found.entries[:1], complete=False))
    app = open_app(ws=ws, page="arena")
    button(app, "Resume").click().run()
    assert ArenaSettings.from_dict(registry.requests[0][2]["settings"]) == settings()


def test_a_budget_that_cannot_be_met_says_why(open_app, registry):
    ws = digits.workspace()
    run(ws, settings(factors=(2.0, 500.0)))
    app = open_app(ws=ws, page="arena")
    assert list(app.dataframe[0].value["500×"]) == ["–", "–"]
    assert "cannot be met" in captions(app)
    run(ws, settings(factors=(500.0,)))
    app = open_app(ws=ws, page="arena")
    assert "None of the budgets could be met." in app.info[0].value
    assert not app.error


def test_the_csv_has_a_row_for_every_entry(found):
    frame = arena_panels.arena_frame(found)
    assert len(frame) == len(found.entries) == 9
    assert list(frame["accuracy"]) == [entry.score.accuracy for entry in found.entries]
    assert list(frame["scaled"]) == [entry.scaled for entry in found.entries]


def test_every_allocation_has_a_shape_of_its_own():
    assert set(ALLOCATIONS) <= set(_LOOKS)
    assert len({look.symbol for look in _LOOKS.values()}) == len(_LOOKS)


def test_the_heat_map_holds_every_sparsity(found):
    plans = {e.method: e.plan.sparsities for e in found.entries if e.factor == 2.0}
    figure = sparsities_figure(digits.LAYERS[:2], plans, dark=False, level_title="Sparsity")
    (map_,) = figure.data
    for row, layer in enumerate(digits.LAYERS[:2]):
        assert list(map_.z[row]) == [own.get(layer, 0.0) for own in plans.values()]


def test_accuracy_stands_on_an_axis_of_errors(found):
    names = arena_words.names(found)
    figure = arena_figure(found, "params", "accuracy", names=names, axis_title="Kept")
    line = next(trace for trace in figure.data if trace.name == "Uniform")
    own = sorted((e for e in found.measured if e.method == "uniform"), key=lambda e: -e.factor)
    assert list(line.x) == [entry.kept("params") for entry in own]
    assert list(line.y) == pytest.approx([1 - entry.score.accuracy for entry in own])
    assert figure.layout.yaxis.autorange == "reversed"


@pytest.mark.parametrize("text", ["2,4", "2 4", "2×, 4x", " 2 ,, 4 "])
def test_factors_are_read_as_people_write_them(text):
    assert arena_form.read_factors(text) == (2.0, 4.0)
