"""The page of sparse training, and its runs on the comparison."""

import pytest

from tests.ui import digits
from tests.ui.digits import MODEL_REF, add_run, button, captions, do, texts
from tests.ui.test_job_panel import view
from workbench.finetune_settings import FineTuneSettings
from workbench.sparse_training import SCHEDULES, SPARSE_METHODS, SparseTrainingSettings
from workbench.ui import bench
from workbench.ui.charts.sparse import reached_figure, sparse_figure, strength_figure, unroll
from workbench.ui.charts.tradeoff import Mark, tradeoff_figure
from workbench.ui.errors import plain

TRAINING = FineTuneSettings(epochs=1, shift=0)


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


def add_sparse_run(ws, method="l1", **more):
    values = {"method": method, "target": 0.4, "training": TRAINING} | more
    settings = SparseTrainingSettings(**values).to_dict()
    asked = digits.arguments(settings=settings, strengths=[], finetune=None, name="")
    (number,) = do("sparse_training", ws, asked)["runs"]
    return number


def field(app, label):
    everything = [*app.number_input, *app.text_input, *app.selectbox, *app.checkbox, *app.slider]
    return next(one for one in everything if one.label == label)


def test_a_new_workspace_says_that_nothing_was_trained_yet(open_app, registry):
    app = open_app(ws=digits.workspace(), page="sparse")
    assert not app.exception
    assert "No run of this model was cut during training yet" in app.info[0].value
    assert not button(app, "Train sparse").disabled


@pytest.mark.parametrize("name", [*SPARSE_METHODS, *SCHEDULES])
def test_every_method_can_be_chosen_and_asked_for(open_app, registry, name):
    ws = digits.workspace()
    bench.store().save_settings(ws, {"sparse_training": {"last": name}})
    app = open_app(ws=ws, page="sparse")
    method = (SPARSE_METHODS | SCHEDULES)[name]
    assert field(app, "Method").value == name
    assert plain(method.summary) in captions(app)
    assert plain(method.explanation) in texts(app)
    button(app, "Train sparse").click().run()
    ((owner, kind, request),) = registry.requests
    assert (owner, kind) == (ws, "sparse_training")
    settings = SparseTrainingSettings.from_dict(request["settings"])
    assert settings.method == name
    assert settings.used_target == method.usual_target(settings.granularity)
    assert settings.used_strength == (method.strength or 0)
    assert request["model"] == MODEL_REF.to_dict()
    assert button(app, "Train sparse").disabled


def test_without_a_target_the_penalty_decides_and_that_is_remembered(open_app, registry):
    ws = digits.workspace()
    app = open_app(ws=ws, page="sparse")
    assert field(app, "Target sparsity, %").value == 80.0
    assert "Without a target the penalty alone decides" in captions(app)
    field(app, "Aim at the target").uncheck()
    button(app, "Train sparse").click().run()
    settings = SparseTrainingSettings.from_dict(registry.requests[0][2]["settings"])
    assert settings.used_target is None
    registry.job = None
    again = open_app(ws=ws, page="sparse")
    assert not field(again, "Aim at the target").value
    channels = {"sparse_training": {"last": "group_lasso"}}
    bench.store().save_settings(ws, channels)
    assert field(open_app(ws=ws, page="sparse"), "Target pruning ratio, %").value == 50.0


def test_what_is_asked_is_sent_and_remembered(open_app, registry):
    ws = digits.workspace()
    app = open_app(ws=ws, page="sparse")
    field(app, "Or try several").set_value("1e-3, 0.01")
    field(app, "Target sparsity, %").set_value(80.0)
    field(app, "Freeze layers").set_value("hidden.0")
    field(app, "Fine-tune after, epochs").set_value(4)
    field(app, "Distillation").set_value(0.7)
    button(app, "Train sparse").click().run()
    request = registry.requests[0][2]
    assert request["strengths"] == [0.001, 0.01]
    assert request["settings"]["target"] == 0.8
    assert request["settings"]["freeze"] == ["hidden.0"]
    assert request["settings"]["training"]["distillation"] == 0.7
    assert request["finetune"]["epochs"] == 4
    registry.job = None
    again = open_app(ws=ws, page="sparse")
    assert field(again, "Or try several").value == "1e-3, 0.01"
    assert field(again, "Target sparsity, %").value == 80.0


def test_strengths_that_are_no_numbers_are_refused(open_app, registry):
    app = open_app(ws=digits.workspace(), page="sparse")
    field(app, "Or try several").set_value("a lot")
    button(app, "Train sparse").click().run()
    assert "are not all numbers" in app.error[0].value
    assert not registry.requests


def test_a_run_is_told_with_its_charts_and_leads_on(open_app):
    ws = digits.workspace()
    add_sparse_run(ws)
    app = open_app(ws=ws, page="sparse")
    assert not app.exception
    assert len(app.get("plotly_chart")) == 2
    assert "of what may go is gone" in texts(app)
    assert "1 strength was tried." in captions(app)
    links = [one.proto.label for one in app.main.get("page_link")]
    assert links == ["Compare with other runs", "Train it further", "Export it"]


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("target", "of the 3 strengths, 2 reach the target, and this one is the most accurate"),
        ("nearest", "none of the 3 strengths reaches the target, and this one comes nearest"),
        ("close", "2 stay within one point of dense on validation images"),
        ("accurate", "none of the 3 strengths stays within one point of dense"),
    ],
)
def test_after_a_sweep_the_best_strength_is_chosen_and_that_is_said(open_app, why, words):
    ws = digits.workspace()
    numbers = [add_sparse_run(ws, strength=strength) for strength in (1e-4, 1e-3, 1e-2)]
    sweep = {"runs": numbers, "best": numbers[1], "why": why, "among": 2}
    begun = {"number": None, "until_after": 0}
    bench.store().save_settings(ws, {"sparse_sweep": sweep, "chosen_run": begun})
    app = open_app(ws=ws, page="sparse")
    assert app.subheader[0].value == bench.store().run(ws, numbers[1]).name
    assert words in captions(app)
    bench.store().save_settings(ws, {"chosen_run": {"number": numbers[0]}})
    app = open_app(ws=ws, page="sparse")
    assert "Of the 3 strengths another one is the best; you chose this run." in captions(app)


def test_the_chart_of_a_running_training_grows(open_app, registry):
    ws = digits.workspace()
    asked = digits.arguments(
        settings=SparseTrainingSettings(training=TRAINING).to_dict(), strengths=[1e-3, 1e-2]
    )
    series = (
        {"number": 0, "epoch": 1, "step": 10, "sparsity": 0.2, "penalty": 1.0, "strength": 1e-3},
        {"attempt": {"strength": 1e-3, "sparsity": 0.3, "accuracy": 0.9}},
        {"number": 1, "epoch": 1, "step": 10, "sparsity": 0.5, "penalty": 2.0, "strength": 1e-2},
    )
    registry.job = view(
        owner=ws, kind="sparse_training", request=asked, state="running", series=series
    )
    app = open_app(ws=ws, page="sparse")
    assert not app.exception
    assert len(app.get("plotly_chart")) == 2
    assert "50.0 % of what may go is zero" in captions(app)


def test_the_comparison_tells_both_families_apart(open_app):
    ws = digits.workspace()
    add_run(ws)
    add_sparse_run(ws)
    app = open_app(ws=ws, page="compare")
    assert not app.exception
    assert "Cut during training: L1 penalty" in captions(app)
    assert list(app.dataframe[-1].value["plan"])[-1] == "training: l1"


def test_the_family_has_a_shape_and_a_key_of_its_own():
    cut = Mark("cut", 10, 0.8, 0.7, 0.9, stage="finetuned")
    grown = Mark("grown", 8, 0.8, 0.7, 0.9, stage="pruned", by_training=True)
    figure = tradeoff_figure([cut, grown], dense=None, front=[0], size_title="size")
    assert list(figure.data[0].marker.symbol) == ["circle-open", "star-open"]
    keys = {trace.name for trace in figure.data if trace.name}
    assert {"Fine-tuned", "Cut during training"} <= keys
    assert "Pruned" not in keys
    alone = tradeoff_figure([cut], dense=None, front=[0], size_title="size")
    assert "Cut during training" not in {trace.name for trace in alone.data}


def test_steps_of_several_trainings_go_on_rising():
    points = [{"step": s, "epoch": e} for s, e in ((1, 0), (5, 1), (2, 1), (4, 2), (1, 1))]
    assert [point["step"] for point in unroll(points)] == [1, 5, 7, 9, 10]
    assert [point["epoch"] for point in unroll(points)] == [0, 1, 2, 3, 4]


def test_figures_hold_what_was_reported():
    points = [
        {"step": 0, "epoch": 0, "sparsity": 0.0, "accuracy": 0.9},
        {"step": 5, "epoch": 1, "sparsity": 0.6, "penalty": 0.2, "accuracy": 0.8},
    ]
    figure = sparse_figure(points, target=0.7, dense=0.95)
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["Sparsity"].y) == [0.0, 0.6]
    assert list(by_name["Penalty, right"].y) == [0.2]
    assert set(by_name["Target"].y) == {0.7}
    attempts = [
        {"strength": 0.1, "sparsity": 0.8, "accuracy": 0.5},
        {"strength": 0.01, "sparsity": 0.2, "accuracy": 0.9},
    ]
    figure = strength_figure(attempts, live={"strength": 0.05, "sparsity": 0.4})
    assert list(figure.data[0].x) == [0.01, 0.1]
    assert list(figure.data[2].y) == [0.4]
    figure = reached_figure(points, floor=0.85)
    assert list(figure.data[0].x) == [0.0, 0.6]
    assert set(figure.data[1].y) == {0.85}
