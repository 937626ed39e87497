"""The compare page: the chart, the chosen run, the baseline and the table."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.ui import digits
from tests.ui.conftest import address, go_to
from tests.ui.digits import add_run, button, captions, labels, texts, uniform
from workbench.experiment import Run
from workbench.pareto import pareto_front
from workbench.plan import PruningPlan
from workbench.run_export import load_export
from workbench.store import DataRef
from workbench.ui import bench, run_shelf, run_table
from workbench.ui.charts import Mark, Step, tradeoff_figure
from workbench.ui.charts.labels import Box, place_labels
from workbench.ui.charts.tradeoff import MARKS_TRACE
from workbench.ui.theme import HIGHLIGHT
from workbench.ui.width_panels import kept_units


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


@pytest.fixture
def three_runs():
    """Uniform at 50 % and 80 %, and 80 % at random."""
    ws = digits.workspace(uniform(0.8))
    add_run(ws, uniform(0.5))
    add_run(ws, uniform(0.8))
    add_run(ws, uniform(0.8, "random"), name="Random, as Run 2")
    return ws


def final(ws: str, number: int):
    return Run.from_dict(bench.store().run(ws, number).record).final.measurement


def traces(app) -> list[dict]:
    (chart,) = (one for one in app.get("plotly_chart") if one.proto.id.find("tradeoff") >= 0)
    return json.loads(chart.proto.spec)["data"]


def marks(app) -> dict:
    return traces(app)[MARKS_TRACE]


def ringed(app) -> list[tuple[float, float]]:
    """Where the rings of chosen runs are."""
    rings = [trace for trace in traces(app) if trace.get("name") == "Chosen run"]
    return [
        (x, y)
        for ring in rings
        for x, y in zip(_numbers(ring["x"]), _numbers(ring["y"]), strict=True)
    ]


def equaliser(app) -> dict:
    """What the plan page gives its editor."""
    return json.loads(app.get("bidi_component")[0].proto.json)


def table(app) -> pd.DataFrame:
    return app.dataframe[-1].value


def choose(app, number: int):
    """What a click on the chart does."""
    ws = address(app)
    chosen = {run_shelf._CHOSEN: {"number": number}}
    bench.store().save_settings(ws, chosen)
    return app.run()


def test_without_a_run_it_leads_to_pruning(open_app, registry):
    app = open_app(ws=digits.workspace(), page="compare")
    assert app.info[0].value.startswith("There is no run of this model yet;")
    assert [one.proto.label for one in app.main.get("page_link")] == ["Prune the model"]


def test_without_a_run_the_dense_model_is_drawn(open_app, registry):
    app = open_app(ws=digits.workspace(), page="compare")
    dense = next(trace for trace in traces(app) if trace.get("name") == "Dense model")
    assert _numbers(dense["x"]) == [17_226]
    assert f"{100 * _numbers(dense['y'])[0]:.2f} %" in captions(app)
    app.segmented_control(key="tradeoff_size").set_value("latency").run()
    assert "measured with the first run" in captions(app)
    assert not app.error


def test_every_run_is_a_mark_with_its_final_numbers(open_app, registry, three_runs):
    app = open_app(ws=three_runs, page="compare")
    measured = [final(three_runs, number) for number in (1, 2, 3)]
    assert marks(app)["hovertext"] == ["Run 1", "Run 2", "Random, as Run 2"]
    assert list(table(app)["num_nonzero"]) == [one.num_nonzero for one in measured]
    assert list(table(app)["accuracy"]) == pytest.approx([100 * one.accuracy for one in measured])
    assert marks(app)["marker"]["symbol"] == ["triangle-down-open"] * 2 + ["x-open"]
    newest = (measured[2].num_nonzero, measured[2].accuracy)
    assert ringed(app) == [newest], "the newest is chosen"
    best = max(measured, key=lambda one: one.accuracy)
    front = pareto_front([(one.num_nonzero, one.accuracy) for one in measured])
    assert f"with {100 * best.accuracy:.2f} %; {len(front)} of 3 runs" in captions(app)


def test_long_names_that_end_alike_can_be_told_apart(open_app, registry):
    ws = digits.workspace()
    names = [f"Pruned with plenty of care {word} the training" for word in ("before", "behind")]
    for name in names:
        add_run(ws, uniform(0.5), name=name)
    app = open_app(ws=ws, page="compare")
    shown = list(table(app)["run"])
    assert len(set(shown)) == 2
    assert all(len(name) < 30 for name in shown)
    spec = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert spec["data"][0]["hovertext"] == names, "in full"


def test_the_axis_can_be_another_size(open_app, registry, three_runs):
    app = open_app(ws=three_runs, page="compare")
    for size, of in (
        ("macs", lambda m: m.macs),
        ("bytes", lambda m: m.bytes),
        ("latency", lambda m: m.latency_ms),
    ):
        app.segmented_control[0].set_value(size).run()
        assert not app.error
        sizes = [of(final(three_runs, number)) for number in (1, 2, 3)]
        assert _numbers(marks(app)["x"]) == pytest.approx(sizes)


def _numbers(values) -> list[float]:
    """Plotly sends arrays as base64 where it can."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).tolist()
    return values


def test_the_csv_holds_every_run_in_plain_units(three_runs, open_app, registry):
    app = open_app(ws=three_runs, page="compare")
    assert "Download as CSV" in [one.proto.label for one in app.get("download_button")]
    stored = bench.store().runs(three_runs)
    found = [run_shelf.ShelvedRun(one, Run.from_dict(one.record)) for one in stored]
    text = run_table.run_frame(found).to_csv(index=False)
    frame = pd.read_csv(io.StringIO(text))
    measured = [final(three_runs, number) for number in (1, 2, 3)]
    assert list(frame["number"]) == [1, 2, 3]
    assert list(frame["accuracy"]) == pytest.approx([one.accuracy for one in measured])
    assert list(frame["ci_low"]) == pytest.approx([one.ci_low for one in measured])
    assert list(frame["samples"]) == [360, 360, 360]
    assert list(frame["bytes"]) == [one.bytes for one in measured]
    assert list(frame["criterion"]) == ["l1", "l1", "random"]


def test_the_chosen_run_is_described_and_its_plan_shown(open_app, registry, three_runs):
    app = choose(open_app(ws=three_runs, page="compare"), 1)
    assert "**Run 1** · pruned" in texts(app)
    assert list(app.dataframe[0].value["sparsity"]) == ["50.00 %", "50.00 %"]
    assert list(app.dataframe[1].value["stage"]) == ["dense", "pruned"]
    one = final(three_runs, 1)
    assert ringed(app) == [(one.num_nonzero, one.accuracy)]
    assert marks(app)["marker"]["color"][0] == HIGHLIGHT
    assert f"→ pruned {100 * one.accuracy:.2f} %" in captions(app)


def test_a_plan_is_taken_back_to_the_editor(open_app, registry, three_runs):
    app = choose(open_app(ws=three_runs, page="compare"), 1)
    button(app, "Take its plan").click().run()
    assert bench.store().open_workspace(three_runs).plan.sparsities == uniform(0.5).sparsities
    assert "The plan of Run 1 is on the plan page now" in app.success[0].value.replace("\\", "")
    assert not app.run().success, "told once"
    go_to(app, "plan")
    assert not app.error
    assert equaliser(app)["values"][:2] == [0.5, 0.5]


def test_a_plan_that_prunes_the_classifier_unlocks_it(open_app, registry):
    ws = digits.workspace()
    add_run(ws, uniform(0.5).with_sparsities({"classifier": 0.5}))
    app = open_app(ws=ws, page="compare")
    button(app, "Take its plan").click().run()
    go_to(app, "plan")
    assert app.toggle[0].value is True
    assert not any(column["reason"] for column in equaliser(app)["columns"])


def test_a_run_is_deleted_with_what_was_exported(open_app, registry, three_runs):
    app = choose(open_app(ws=three_runs, page="compare"), 2)
    folder = bench.store().folder / "exports" / three_runs / "run-2"
    folder.mkdir(parents=True)
    folder.with_suffix(".json").write_text("{}")
    button(app, "Delete it").click().run()
    assert [run.number for run in bench.store().runs(three_runs)] == [1, 3]
    assert not folder.exists()
    assert load_export(bench.store(), three_runs, digits.MODEL_REF, 2) is None
    assert len(marks(app)["hovertext"]) == 2
    assert not app.error


def test_deleting_twice_is_told_and_no_fault(open_app, registry, three_runs):
    app = open_app(ws=three_runs, page="compare")
    bench.store().delete_run(three_runs, 3)  # in another tab
    button(app, "Delete it").click().run()
    assert "This workspace has no run 3." in app.error[0].value
    assert len(table(app)) == 2


def test_a_random_baseline_prunes_as_much_and_does_the_rest_alike(open_app, registry):
    ws = digits.workspace(uniform(0.8))
    add_run(ws, uniform(0.8), epochs=1)
    app = open_app(ws=ws, page="compare")
    button(app, "Add a random baseline for Run 1").click().run()
    ((_owner, kind, request),) = registry.requests
    assert kind == "experiment"
    assert request["plan"]["criterion"] == "random"
    assert request["plan"]["sparsities"] == dict(uniform(0.8).sparsities)
    assert request["finetune"]["epochs"] == 1
    assert request["name"] == "Random, as Run 1"
    assert len(app.get("progress")) == 1
    digits.do("experiment", ws, request)
    registry.job = None
    app.run()
    assert not any("baseline" in label for label in labels(app))
    assert marks(app)["marker"]["symbol"] == ["circle-open", "x-open"]
    one = final(ws, 1)
    assert ringed(app) == [(one.num_nonzero, one.accuracy)], "the choice stays"


def test_work_of_another_page_is_watched_but_its_end_is_not_told_here(
    open_app, registry, three_runs
):
    app = open_app(ws=three_runs, page="compare")
    request = digits.arguments(plan={})
    registry.submit(three_runs, "experiment", "Pruning digits-mlp", request)
    assert len(app.run().get("progress")) == 1
    registry.job = replace(registry.job, state="done")
    assert not app.run().get("progress")
    assert "done in" not in captions(app)


def test_runs_of_other_models_are_counted_and_not_drawn(open_app, registry, three_runs):
    bench.store().save_model_ref(three_runs, digits.OTHER_REF)
    bench.store().save_data_ref(three_runs, DataRef(name="fashion-mnist", sample="fashion-mnist"))
    app = open_app(ws=three_runs, page="compare")
    assert "3 runs belong to another model or other data and are not shown." in captions(app)
    assert not marks(app).get("hovertext"), "only the dense model"


def mark(label: str, size: float, accuracy: float, **more) -> Mark:
    return Mark(label, size, accuracy, accuracy - 0.01, accuracy + 0.01, **more)


def test_the_first_trace_holds_the_runs_and_nothing_else():
    way = (Step("dense", "dense", 100, 0.96), Step("pruned", "pruned", 10, 0.2))
    runs = [mark("a", 10, 0.9, path=way, stage="repaired"), mark("b", 20, 0.95)]
    figure = tradeoff_figure(
        runs, dense=mark("Dense", 100, 0.96), front=(0, 1), size_title="Parameters"
    )
    assert list(figure.data[MARKS_TRACE].x) == [10, 20]
    low, high = figure.layout.yaxis.range
    assert low < 0.2, "the whole path is seen"
    assert high > 0.97


@pytest.mark.parametrize(("size", "form"), [(1.85, ""), (272_186, "~s")])
def test_milliseconds_are_not_told_in_thousandths(size, form):
    figure = tradeoff_figure(
        [mark("a", size / 2, 0.9)], dense=mark("Dense", size, 0.96), front=(0,), size_title="Size"
    )
    assert figure.layout.xaxis.tickformat == form
    assert "~s" not in figure.data[MARKS_TRACE].hovertemplate


def test_a_run_is_a_path_with_a_shape_for_every_stage():
    way = (
        Step("dense", "dense", 100, 0.96),
        Step("pruned", "pruned", 10, 0.2),
        Step("repaired", "repaired", 10, 0.9),
    )
    trained = mark("a", 10, 0.94, path=way, stage="finetuned", structured=True)
    figure = tradeoff_figure(
        [trained], dense=mark("Dense", 100, 0.96, stage="dense"), front=(0,), size_title="MACs"
    )
    line = next(trace for trace in figure.data if trace.mode == "lines")
    assert list(zip(line.x, line.y, strict=True)) == [
        *((step.size, step.accuracy) for step in way), (10, 0.94),
    ]  # fmt: skip
    between = next(trace for trace in figure.data if trace.mode == "markers" and trace.hovertext)
    assert list(between.marker.symbol) == ["triangle-down", "diamond"]
    assert list(figure.data[MARKS_TRACE].marker.symbol) == ["circle"]
    dense = next(trace for trace in figure.data if trace.name == "Dense model")
    shapes = {"triangle-down", "diamond", "circle", dense.marker.symbol}
    assert len(shapes) == 4, "every stage has a shape of its own"


def test_zeroed_weights_are_hollow_and_removed_channels_filled():
    runs = [mark("a", 10, 0.9), mark("b", 20, 0.95, structured=True)]
    figure = tradeoff_figure(runs, dense=None, front=(0, 1), size_title="MACs")
    assert list(figure.data[MARKS_TRACE].marker.symbol) == ["triangle-down-open", "triangle-down"]
    names = [trace.name for trace in figure.data]
    assert "Filled: channels are gone" in names
    assert "Hollow: weights are zero" in names


def test_stages_can_be_hidden(open_app, registry, three_runs):
    app = open_app(ws=three_runs, page="compare")
    assert len([trace for trace in traces(app) if trace["mode"] == "lines"]) >= 3
    app.toggle(key="tradeoff_path").set_value(False).run()
    fronts = [trace for trace in traces(app) if trace["mode"] == "lines"]
    assert all(trace["name"] == "Pareto front" for trace in fronts)
    assert not app.error


def channels(first: float, second: float) -> PruningPlan:
    return PruningPlan({"hidden.0": first, "hidden.1": second}, granularity="channel")


def test_removed_channels_are_told_from_zeroed_weights(open_app, registry):
    ws = digits.workspace()
    add_run(ws, uniform(0.8))
    add_run(ws, channels(0.5, 0.25))
    app = open_app(ws=ws, page="compare")
    assert marks(app)["marker"]["symbol"] == ["triangle-down-open", "triangle-down"]
    small = 64 * 65 + 48 * 65 + 10 * 49
    assert f"{small:,}" == "7,770"
    assert table(app)["num_nonzero"].tolist()[1] == small
    assert "7.77 k of 17.2 k parameters left" in texts(app)
    assert "channels really gone" in texts(app)
    assert list(table(app)["granularity"]) == ["weight", "channel"]


def test_widths_of_two_runs_are_drawn_side_by_side(open_app, registry):
    ws = digits.workspace()
    for plan in (channels(0.5, 0.25), uniform(0.8), channels(0.25, 0.75)):
        add_run(ws, plan)
    app = open_app(ws=ws, page="compare")
    other = next(box for box in app.selectbox if box.label == "Compare with")
    assert other.options == ["Nothing", "Run 1"], "not the run whose weights are zero"
    (chart,) = (one for one in app.get("plotly_chart") if "widths" in one.proto.id)
    dense, run, beside = json.loads(chart.proto.spec)["data"]
    assert [_numbers(trace["y"]) for trace in (dense, run, beside)] == [
        [128, 64], [96, 16], [64, 48],
    ]  # fmt: skip
    told = captions(app).replace("\\", "")
    assert "keeps the smallest part of hidden.1: 16 of 64 neurons (25.0 %)" in told
    assert not app.error


def test_what_every_plan_keeps_is_what_pruning_keeps():
    from workbench.groups import find_groups
    from workbench.prune import prune

    for plan in (channels(0.5, 0.3), uniform(0.8)):
        groups = find_groups(digits.model(), plan.granularity)
        pruned = prune(digits.model(), plan)
        kept = [len(units) for units in pruned.kept.values()] or [
            int(pruned.masks[f"{group.name}.weight"].sum())
            if f"{group.name}.weight" in pruned.masks
            else group.num_units
            for group in groups.prunable
        ]
        assert list(kept_units(groups, plan)) == kept


def test_runs_that_measure_the_same_do_not_flatten_the_axis():
    figure = tradeoff_figure(
        [Mark("a", 10, 0.9, 0.9, 0.9)], dense=None, front=(0,), size_title="Parameters"
    )
    low, high = figure.layout.yaxis.range
    assert high - low >= 0.03


def test_labels_of_runs_that_lie_together_do_not_cover_each_other():
    runs = [mark(f"Run {number}", 50 + number / 10, 0.9) for number in range(1, 31)]
    figure = tradeoff_figure(
        runs, dense=mark("Dense", 100, 0.96), front=(0,), size_title="Parameters"
    )
    shown = [text for text in figure.data[MARKS_TRACE].text if text]
    assert 1 <= len(shown) < 10
    assert list(figure.data[MARKS_TRACE].hovertext) == [one.label for one in runs]


def test_a_label_takes_the_first_free_side_and_none_where_there_is_no_room():
    frame = Box(0, 0, 200, 100)
    assert place_labels([(50, 50, "abc")], [], frame) == ["middle right"]
    assert place_labels([(195, 50, "abc")], [], frame) == ["middle left"]
    wall = Box(52, 0, 200, 100)
    assert place_labels([(50, 50, "abc")], [wall], frame) == ["middle left"]
    assert place_labels([(50, 50, "abc")], [frame], frame) == [None]
    twice = place_labels([(50, 50, "abc"), (50, 50, "abc")], [], frame)
    assert twice == ["middle right", "middle left"]
