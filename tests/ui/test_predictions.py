"""What was measured corrects what is predicted, and both are set side by side."""

import json
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.ui import digits
from tests.ui.digits import add_run, captions
from tests.ui.test_plan_page import board, unfold
from workbench.curves import SensitivityPoint, SensitivitySettings
from workbench.plan import PruningPlan
from workbench.prediction import MeasuredPlan, fit_predictor, predict_in_turn
from workbench.sensitivity import measure_sensitivity
from workbench.ui import bench, plan_record, session
from workbench.ui.charts import Outcome, predicted_figure
from workbench.ui.charts.predicted import SHAPES
from workbench.ui.plan_record import SETTING, RecordedPlan

PLANS = (0.6, 0.8, 0.9)


@pytest.fixture(scope="module")
def curves():
    settings = SensitivitySettings(levels=(0.5, 0.8, 0.95), num_samples=500)
    return measure_sensitivity(digits.model(), digits.data(), settings)


@pytest.fixture
def measured(curves):
    """A workspace with curves and three runs."""
    ws = digits.workspace(digits.uniform(0.7))
    bench.store().save_curves(ws, curves.to_dict())
    for sparsity in PLANS:
        add_run(ws, digits.uniform(sparsity))
    return ws


@cache
def digests():
    return digits.model().digest, digits.data().digest


def record(sparsity=0.5, loss=0.4, samples=100, **more):
    model, data = digests()
    plan = PruningPlan(dict.fromkeys(digits.LAYERS[:2], sparsity), model=model)
    values = {"baseline": (0.1, 0.97), "seconds": sparsity} | more
    return RecordedPlan(plan, data, "none", loss, 0.9, samples, "check", **values)


def predictor(curves, plans=()):
    return fit_predictor(curves.baseline, curves.points, chance=0.1, plans=plans, repaired=False)


def runs_of(ws):
    """Sparsities, loss, accuracy and the dense model's of every run."""
    found = []
    for stored in bench.store().runs(ws):
        stages = {stage["name"]: stage for stage in stored.record["stages"]}
        found.append((stored.record["plan"]["sparsities"], stages["pruned"]["validation"],
                      stages["dense"]["validation"]))  # fmt: skip
    return found


def test_a_record_comes_back_as_it_went():
    one = record(predicted={"accuracy": 0.91}, name="Check 1")
    values = json.loads(json.dumps(one.to_dict()))
    assert RecordedPlan.from_dict(values) == one
    for name in ("name", "baseline", "seconds"):
        del values[name]
    assert RecordedPlan.from_dict(values) == replace(one, name="", baseline=None, seconds=0.0)


@pytest.fixture
def settings(monkeypatch):
    """What the workspace remembers, without an app."""
    kept = {}
    monkeypatch.setattr(session, "setting", kept.get)
    monkeypatch.setattr(session, "remember", lambda **values: kept.update(values))
    return kept


def kept_losses(settings):
    return [values["loss"] for values in settings[SETTING]]


def test_a_plan_measured_again_is_kept_once_with_the_most_images(settings):
    settings[SETTING] = []
    plan_record.add(record(0.5, 0.4), record(0.6, 0.5), record(0.7, math.inf))
    assert kept_losses(settings) == [0.4, 0.5], "an infinite loss teaches nothing"
    plan_record.add(record(0.5, 0.41, samples=50))
    assert kept_losses(settings) == [0.4, 0.5], "fewer images"
    plan_record.add(record(0.5, 0.42, samples=200))
    assert kept_losses(settings) == [0.5, 0.42], "the newest last"


def test_the_oldest_records_make_room(settings):
    settings[SETTING] = []
    many = [record(0.1 + 0.001 * number, number / 1000) for number in range(250)]
    plan_record.add(*many)
    assert kept_losses(settings) == [number / 1000 for number in range(50, 250)]
    wide = {f"layer{number}": 0.5 for number in range(500)}
    deep = [
        replace(one, plan=PruningPlan(wide, seed=number, model=one.plan.model))
        for number, one in enumerate(many)
    ]
    plan_record.add(*deep)
    assert kept_losses(settings) == [number / 1000 for number in range(238, 250)], "6,000 values"


def test_runs_correct_the_prediction_as_the_formula_says(open_app, measured, curves):
    app = open_app(ws=measured, page="plan")
    table = board(app)["prediction"]
    assert "Corrected by 3 plans that were measured here." in table["origin"]
    plain = predictor(curves)
    before = plain.to_dict()
    assert table["baseline_loss"] == before["baseline_loss"]
    known = [
        MeasuredPlan(
            {name: round(value * size(name)) / size(name) for name, value in cut.items()},
            pruned["loss"], pruned["accuracy"], pruned["samples"],
            (dense["loss"], dense["accuracy"]),
        )
        for cut, pruned, dense in runs_of(measured)
    ]  # fmt: skip
    expected = predictor(curves, known)
    assert table["weights"] == pytest.approx(list(expected.correction.weights), abs=1e-9)
    assert table["weights"] != pytest.approx(before["weights"], abs=1e-3)
    variance, prior = (np.trace(one["covariance"]) for one in (table, before))
    assert variance < prior, "what was measured makes it surer"


def size(layer):
    return digits.model().module.get_parameter(f"{layer}.weight").numel()


def test_plans_of_another_kind_do_not_count(open_app, measured):
    """Another criterion, granularity, repair, data set, or model."""
    ws, kept = measured, record()
    others = [
        replace(kept, plan=replace(kept.plan, criterion="random")),
        replace(kept, plan=PruningPlan({"hidden.0": 0.5}, "channel", model=kept.plan.model)),
        replace(kept, repair="full"),
        replace(kept, data="another"),
        replace(kept, plan=replace(kept.plan, model="another")),
    ]
    damaged = [{"model": 3}, kept.to_dict() | {"sparsities": {"hidden.0": 1.5}}]
    bench.store().save_settings(ws, {SETTING: [*damaged, *(one.to_dict() for one in others)]})
    app = open_app(ws=ws, page="plan")
    assert not app.error
    assert "Corrected by 3 plans" in board(app)["prediction"]["origin"]
    assert "Corrected by 1 plan" in board(app)["final_prediction"]["origin"], "after full repair"


def test_the_final_repair_is_predicted_with_a_wider_band(open_app, measured):
    app = open_app(ws=measured, page="plan")
    data = board(app)
    assert data["prediction"]["basis"] == "without repair"
    assert data["final_prediction"]["basis"] == "after full repair"
    assert "another repair" in data["final_prediction"]["origin"]
    assert data["final_prediction"]["covariance"][0][0] > data["prediction"]["covariance"][0][0]
    bench.store().save_settings(measured, {"repair": "none"})
    assert board(open_app(ws=measured, page="plan"))["final_prediction"] is None


def test_curves_of_another_criterion_are_named_on_the_tile(open_app, measured):
    bench.store().save_plan(measured, PruningPlan({"hidden.0": 0.5}, criterion="random"))
    table = board(open_app(ws=measured, page="plan"))["prediction"]
    assert table["basis"] == "without repair, guessed from another criterion's curves"
    assert "The curves are of another criterion" in table["origin"]
    assert "Corrected" not in table["origin"], "no such plan was measured"


def test_the_chart_holds_every_plan_predicted_from_those_before_it(open_app, measured, curves):
    app = unfold(open_app(ws=measured, page="plan"), "outcomes")
    chart = next(one for one in app.get("plotly_chart") if "predicted" in one.proto.id)
    spec = json.loads(chart.proto.spec)
    marks = [trace for trace in spec["data"] if trace["mode"] == "markers"]
    assert sum(len(trace["customdata"]) for trace in marks) == len(PLANS)
    first = predictor(curves).predict(runs_of(measured)[0][0])
    row = next(row for trace in marks for row in trace["customdata"] if row[0] == "Run 1")
    assert row[2:] == pytest.approx([first.accuracy_low, first.accuracy_high], abs=2e-3)
    assert "3 measured plans fell into their bands" in captions(app)


def test_without_a_measured_plan_the_chart_says_how_one_comes(open_app):
    app = unfold(open_app(ws=digits.workspace(), page="plan"), "outcomes")
    assert "No plan of this model was measured yet." in captions(app)


def test_the_latest_plan_is_predicted_from_all_before_it(curves):
    points = [SensitivityPoint.from_dict(point.to_dict()) for point in curves.points]
    plans = [MeasuredPlan({"hidden.0": 0.8, "hidden.1": s}, 0.2 + s, 0.8, 500) for s in PLANS]
    found = predict_in_turn(curves.baseline, points, chance=0.1, plans=plans, repaired=False)
    for number, plan in enumerate(plans):
        alone = predictor(curves, plans[:number]).predict(plan.sparsities, plan.samples)
        assert found[number] == alone


def test_shapes_tell_the_origin_and_filling_what_missed_its_band():
    outcomes = [
        Outcome(f"{origin} {inside}", "", origin, 0.9, 0.88, 0.92, 0.9, 0.89, 0.91, inside)
        for origin in SHAPES
        for inside in (True, False)
    ]
    marks = [trace for trace in predicted_figure(outcomes).data if trace.mode == "markers"]
    symbols = {trace.customdata[0][0]: trace.marker.symbol for trace in marks}
    assert len(set(symbols.values())) == 6
    assert all(symbol.endswith("-open") == ("True" in name) for name, symbol in symbols.items())
