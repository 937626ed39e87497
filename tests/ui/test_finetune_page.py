"""The page that prunes and fine-tunes."""

import pytest

from tests.ui import digits
from tests.ui.conftest import go_to
from tests.ui.digits import LAYERS, add_run, button, captions, texts, uniform
from tests.ui.test_job_panel import view
from workbench.experiment import Run
from workbench.finetune_settings import FineTuneSettings
from workbench.plan import PruningPlan
from workbench.reconstruct import RepairStep
from workbench.ui import bench
from workbench.ui.charts import repair_figure

FEW = {LAYERS[0]: 0.5}
CHANNELS = PruningPlan({"hidden.0": 0.5, "hidden.1": 0.25}, granularity="channel")


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


def job(workspace_id, kind, model=digits.MODEL_REF, **values):
    request = digits.arguments() | {"model": model.to_dict(), "run": 1}
    return view(owner=workspace_id, kind=kind, request=request, **values)


def outcome(app):
    return app.dataframe[0].value


def test_without_a_plan_it_leads_to_the_plan_page(open_app, registry):
    app = open_app(ws=digits.workspace(), page="finetune")
    assert app.info[0].value == "The plan is empty, so there is nothing to prune."
    assert [one.proto.label for one in app.main.get("page_link")] == ["Make a plan"]
    assert not app.error
    assert not app.button


def test_a_plan_of_zeros_is_an_empty_plan(open_app, registry):
    app = open_app(ws=digits.workspace(dict.fromkeys(LAYERS, 0.0)), page="finetune")
    assert "The plan is empty" in app.info[0].value


def test_pruning_is_asked_for_with_the_plan_on_the_bench(open_app, registry):
    ws = digits.workspace(FEW)
    app = open_app(ws=ws, page="finetune")
    button(app, "Prune and measure").click().run()
    ((owner, kind, request),) = registry.requests
    assert (owner, kind) == (ws, "experiment")
    assert request["plan"] == bench.store().open_workspace(ws).plan.to_dict()
    assert request["model"] == digits.MODEL_REF.to_dict()
    assert request["finetune"] is None
    assert request["repair"] == "full"
    assert button(app, "Prune and measure").disabled


def test_a_model_with_batch_norm_is_repaired_unless_told_otherwise(open_app, registry):
    app = open_app(page="plan")
    button(app, "Spread").click().run()
    go_to(app, "finetune")
    assert app.selectbox[0].value == "full"
    app.selectbox[0].set_value("none").run()
    button(app, "Prune and measure").click().run()
    assert registry.requests[0][2]["repair"] == "none"
    registry.job = None
    assert app.run().selectbox[0].value == "none", "it is remembered"


def test_the_outcome_shows_every_stage_as_it_was_measured(open_app, registry):
    ws = digits.workspace(uniform(0.8))
    add_run(ws, epochs=1)
    app = open_app(ws=ws, page="finetune")
    run = Run.from_dict(bench.store().run(ws, 1).record)
    assert list(outcome(app)["stage"]) == ["dense", "pruned", "fine-tuned"]
    assert list(outcome(app)["accuracy"]) == [
        f"{100 * stage.measurement.accuracy:.2f} %" for stage in run.stages
    ]
    assert all("360 images" in text for text in outcome(app)["interval"])
    assert not any("belongs to another plan" in caption.value for caption in app.caption)
    assert len(app.get("plotly_chart")) == 2, "the curves of its training"
    assert "Single zeros do not make dense runtimes faster; the plan page says why" in captions(app)


def test_a_run_of_another_plan_says_so(open_app, registry):
    ws = digits.workspace(FEW)
    add_run(ws)
    app = open_app(ws=ws, page="finetune")
    assert "belongs to another plan" in captions(app)


def test_the_same_sparsities_found_another_way_are_the_same_plan(open_app, registry):
    ws = digits.workspace(dict.fromkeys(LAYERS[:2], 0.8) | {LAYERS[2]: 0.0})
    add_run(ws, uniform(0.8))
    app = open_app(ws=ws, page="finetune")
    assert "belongs to another plan" not in captions(app)


def test_the_newest_run_is_shown_until_another_is_chosen(open_app, registry):
    ws = digits.workspace(uniform(0.8))
    for _ in range(2):
        add_run(ws)
    app = open_app(ws=ws, page="finetune")
    choice = next(box for box in app.selectbox if box.label == "Run")
    assert choice.value == 2
    choice.set_value(1).run()
    add_run(ws)
    assert next(box for box in app.run().selectbox if box.label == "Run").value == 1


def test_while_a_run_is_trained_it_stays_and_then_its_outcome_comes(open_app, registry):
    ws = digits.workspace(uniform(0.8))
    for _ in range(2):
        add_run(ws)
    app = open_app(ws=ws, page="finetune")
    next(box for box in app.selectbox if box.label == "Run").set_value(1).run()
    button(app, "Fine-tune").click().run()
    assert registry.requests[0][2]["run"] == 1
    assert next(box for box in app.selectbox if box.label == "Run").value == 1
    add_run(ws, epochs=1)  # the outcome
    add_run(ws)
    assert next(box for box in app.run().selectbox if box.label == "Run").value == 3


def test_fine_tuning_is_asked_for_with_the_settings_of_the_form(open_app, registry):
    ws = digits.workspace(uniform(0.8))
    add_run(ws)
    app = open_app(ws=ws, page="finetune")
    numbers = {box.label: box for box in app.number_input}
    numbers["How many"].set_value(4)
    numbers["Learning rate"].set_value(0.01)
    numbers["Seed"].set_value(7)
    next(box for box in app.selectbox if box.label == "Optimiser").set_value("adamw")
    button(app, "Fine-tune").click().run()
    ((_owner, kind, request),) = registry.requests
    assert kind == "finetune"
    wanted = FineTuneSettings(epochs=4, lr=0.01, seed=7, optimizer="adamw")
    assert FineTuneSettings.from_dict(request["finetune"]) == wanted
    registry.job = None
    again = open_app(ws=ws, page="finetune")
    assert {box.label: box for box in again.number_input}["How many"].value == 4


def test_it_can_train_by_time(open_app, registry):
    ws = digits.workspace(uniform(0.8))
    add_run(ws)
    app = open_app(ws=ws, page="finetune")
    app.segmented_control[0].set_value("seconds")
    {box.label: box for box in app.number_input}["How many"].set_value(30)
    button(app, "Fine-tune").click().run()
    assert registry.requests[0][2]["finetune"]["seconds"] == 30


def test_a_learning_rate_of_nothing_is_refused(open_app, registry):
    ws = digits.workspace(uniform(0.8))
    add_run(ws)
    app = open_app(ws=ws, page="finetune")
    {box.label: box for box in app.number_input}["Learning rate"].set_value(0.0)
    button(app, "Fine-tune").click().run()
    assert "lr is 0" in app.error[0].value
    assert not registry.requests
    assert app.subheader[-1].value == "3. Fine-tune", "the rest of the page is there"


def test_a_training_draws_its_curves_while_it_runs(open_app, registry):
    ws = digits.workspace(uniform(0.8))
    add_run(ws)
    epoch = {"epoch": 0, "step": 0, "loss": None, "accuracy": 0.5, "validation_loss": 1.0}
    registry.job = job(ws, "finetune", series=(epoch,), done=1, total=30)
    app = open_app(ws=ws, page="finetune")
    assert len(app.get("plotly_chart")) == 2
    assert button(app, "Fine-tune").disabled
    assert button(app, "Prune and measure").disabled
    assert "The best epoch has 50.0 %" in captions(app)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({}, None),
        ({"distillation": 0.5}, "holds the distance from the teacher's answers"),
        ({"label_smoothing": 0.1}, "against smoothed labels"),
    ],
)
def test_losses_that_are_not_the_same_are_told_apart(open_app, registry, option, words):
    ws = digits.workspace(FEW)
    number = add_run(ws)
    settings = FineTuneSettings.from_dict({"epochs": 1} | option)
    done = digits.do("finetune", ws, {"run": number, "finetune": settings.to_dict(),
                                      "device": "cpu"})  # fmt: skip
    bench.store().save_settings(ws, {"chosen_run": {"number": done["run"]}})
    app = open_app(ws=ws, page="finetune")
    told = [one.value for one in app.caption if "Two different losses" in one.value]
    assert len(told) == (words is not None)
    assert words is None or words in told[0]


def test_work_on_another_model_shows_its_progress_and_nothing_of_its_content(open_app, registry):
    ws = digits.workspace(uniform(0.8))
    add_run(ws)
    epoch = {"epoch": 0, "step": 0, "loss": None, "accuracy": 0.5, "validation_loss": 1.0}
    registry.job = job(ws, "finetune", model=digits.OTHER_REF, series=(epoch,))
    app = open_app(ws=ws, page="finetune")
    assert len(app.get("progress")) == 1
    assert not app.get("plotly_chart")


def test_stages_appear_as_they_are_measured(open_app, registry):
    ws = digits.workspace(uniform(0.8))
    other = digits.workspace()
    add_run(other)
    stages = bench.store().run(other, 1).record["stages"]
    series = tuple({"stage": one["name"], "measurement": one["measurement"]} for one in stages)
    registry.job = job(ws, "experiment", series=series[:1])
    app = open_app(ws=ws, page="finetune")
    assert list(outcome(app)["stage"]) == ["dense"]
    registry.job = job(ws, "experiment", series=series)
    assert list(outcome(app.run())["stage"]) == ["dense", "pruned"]


def test_a_plan_of_channels_says_how_many_really_go(open_app, registry):
    app = open_app(ws=digits.workspace(CHANNELS), page="finetune")
    kept = 64 * 65 + 48 * 65 + 10 * 49
    assert f"{17_226 - kept:,}" == "9,456"
    sentence = "removes **80 of 192 neurons**: 9.46 k of 17.2 k parameters are really gone (2.22×"
    assert sentence in texts(app)


def test_a_repair_that_changes_nothing_in_this_model_is_not_offered(open_app, registry):
    app = open_app(ws=digits.workspace(CHANNELS), page="finetune")
    repairs = next(box for box in app.selectbox if box.label == "Repair")
    assert repairs.options == ["None", "Full repair"], "there is no BatchNorm"


@pytest.fixture(scope="module")
def repaired():
    """A workspace whose only run lost channels and was repaired in full."""
    ws = digits.workspace(CHANNELS)
    digits.do("experiment", ws, digits.arguments(plan=CHANNELS.to_dict(), repair="full"))
    return ws


def test_repair_tells_what_each_step_gained(open_app, registry, repaired):
    app = open_app(ws=repaired, page="finetune")
    run = Run.from_dict(bench.store().run(repaired, 1).record)
    record = run.stage("repaired").repair
    steps = next(table.value for table in app.dataframe if "method" in table.value)
    assert list(steps["layer"]) == [step.layer for step in record.steps]
    assert list(steps["before"]) == [step.error_before for step in record.steps]
    assert list(steps["kept"]) == ["Yes" if step.kept else "No" for step in record.steps]
    raw, after = (run.stage(name).measurement.accuracy for name in ("pruned", "repaired"))
    told = f"Full repair brought {100 * raw:.2f} % to {100 * after:.2f} %"
    assert told in captions(app)
    assert list(outcome(app)["stage"]) == ["dense", "pruned", "repaired"]
    assert not app.error


def test_the_outcome_of_removed_channels_is_honest_about_speed(open_app, registry, repaired):
    told = captions(open_app(ws=repaired, page="finetune"))
    assert "The channels are really gone" in told
    macs = 64 * 128 + 128 * 64 + 64 * 10, 64 * 64 + 64 * 48 + 48 * 10
    assert f"Theoretical speedup {macs[0] / macs[1]:.2f}×; the plan page measures" in told
    assert "Single zeros" not in told
    assert "With 2.2× fewer parameters" in told


def test_training_says_what_is_held(open_app, registry, repaired):
    app = open_app(ws=repaired, page="finetune")
    assert "removed channels stay gone" in texts(app)


def test_before_and_after_have_shapes_of_their_own():
    steps = [
        RepairStep("a", "ridge", 0.9, 0.1, True),
        RepairStep("b", "as it was", 0.2, 0.2, False),
    ]
    _lines, before, after = repair_figure(steps).data
    assert (list(before.y), list(after.y)) == ([0.9, 0.2], [0.1, 0.2])
    assert before.marker.symbol != after.marker.symbol
