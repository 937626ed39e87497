"""The page that puts something else in the place of weights."""

import json
from dataclasses import replace

import pytest

from tests.ui import digits
from tests.ui.digits import add_run, button, captions, uniform
from workbench.experiment import Run
from workbench.replacement import ReplacementSettings
from workbench.replacement_tasks import load_replacements, replacement_folder
from workbench.run_export import delete_export
from workbench.ui import bench
from workbench.ui.charts.quantised import FileMark, quantised_figure
from workbench.ui.quantise_form import wanted_settings


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


def asked(*settings: ReplacementSettings) -> list[dict]:
    return [one.to_dict() for one in settings]


@pytest.fixture(scope="module")
def quantised():
    """A workspace with one pruned run, clustered and in 8 bits."""
    ws = digits.workspace(uniform(0.8))
    add_run(ws, uniform(0.8))
    wanted = asked(
        ReplacementSettings("int8_static", samples=64), ReplacementSettings(bits=4, tune_epochs=0)
    )
    made = digits.do("replacement", ws, digits.arguments(run=1, settings=wanted))
    assert made == {"made": ["int8_static", "cluster:4"]}
    return ws


def pills(app, label: str):
    return next(group for group in app.button_group if group.label == label)


def downloads(app) -> list[str]:
    return [one.proto.label for one in app.get("download_button")]


def test_before_anything_is_made_the_page_says_what_it_does(open_app, registry):
    app = open_app(ws=digits.workspace(), page="quantise")
    assert app.selectbox[0].options == ["digits-mlp, dense"]
    assert "Nothing has been put in the place of these weights yet" in app.info[0].value
    assert not downloads(app)
    assert not app.error


def test_what_is_chosen_is_asked_for(open_app, registry):
    ws = digits.workspace()
    app = open_app(ws=ws, page="quantise")
    pills(app, "8-bit numbers").set_value(["int8_dynamic"])
    pills(app, "k-means clustering, bits of a code").set_value([3, 6])
    pills(app, "N:M pattern").set_value(["2:4"])
    pills(app, "Channel multiples").set_value([16])
    button(app, "Quantise and measure").click().run()
    ((owner, kind, request),) = registry.requests
    assert (owner, kind, request["run"]) == (ws, "replacement", None)
    keys = [ReplacementSettings.from_dict(one).key for one in request["settings"]]
    assert keys == ["int8_dynamic", "cluster:3", "cluster:6", "nm:2:4", "channel_multiple:16"]
    assert button(app, "Quantise and measure").disabled
    assert len(app.get("progress")) == 1
    again = open_app(ws=ws, page="quantise")
    assert pills(again, "k-means clustering, bits of a code").value == [3, 6], "it is remembered"


def test_nothing_chosen_is_refused(open_app, registry):
    app = open_app(ws=digits.workspace(), page="quantise")
    pills(app, "8-bit numbers").set_value([])
    pills(app, "k-means clustering, bits of a code").set_value([])
    button(app, "Quantise and measure").click().run()
    assert "Nothing is chosen." in app.error[0].value.replace("\\", "")
    assert not registry.requests


def test_results_stand_with_their_numbers_proof_and_files(open_app, registry, quantised):
    app = open_app(ws=quantised, page="quantise")
    record = bench.store().run(quantised, 1).record
    kept = load_replacements(bench.store(), quantised, digits.MODEL_REF, 1)
    accuracy = Run.from_dict(record).final.measurement.accuracy
    table, proof = app.dataframe[0].value, app.dataframe[1].value
    assert table["what"].tolist() == [
        "Run 1, float32", "8 bits, static", "Codebook, 4 bits",
    ]  # fmt: skip
    assert table["accuracy"].iloc[0] == pytest.approx(100 * accuracy)
    sizes = [(kept.folder / one.file).stat().st_size for one in kept.results]
    assert table["bytes"].tolist()[1:] == sizes
    assert proof["survived"].all()
    assert proof["zeros"].tolist() == proof["kept"].tolist()
    assert proof["zeros"].sum() > 0
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Zeros that survived"] == "100 %"
    assert metrics["Smaller than dense"] == f"{kept.dense.bytes / min(sizes):.1f}×"
    assert downloads(app) == ["Download int8_static.onnx", "Download cluster-4.pwc"]
    assert "workbench restore FILE" in captions(app)
    assert any(box.label.startswith("Proof: every weight") for box in app.expander)
    assert not app.error


def test_a_result_that_lost_zeros_is_said_so(open_app, registry, quantised):
    folder = replacement_folder(bench.store(), quantised, digits.MODEL_REF, 1)
    path = folder / "replacements.json"
    before = path.read_text()
    values = json.loads(before)
    values["results"][0]["proof"][0]["zeros_kept"] -= 3
    path.write_text(json.dumps(values))
    try:
        app = open_app(ws=quantised, page="quantise")
        assert any(box.label == "Some zeros did not survive" for box in app.expander)
        shown = {metric.label: metric.value for metric in app.metric}
        assert shown["Zeros that survived"] != "100 %"
    finally:
        path.write_text(before)


def test_a_failed_job_is_told_beside_its_run_only(open_app, registry, quantised):
    registry.submit(quantised, "replacement", "Quantising", digits.arguments(run=1, settings=[]))
    registry.job = replace(registry.job, state="failed", error="It broke.", hint="Mend it.")
    app = open_app(ws=quantised, page="quantise")
    assert "It broke." in app.error[0].value
    app.selectbox[0].set_value(0).run()
    assert not app.error
    assert not downloads(app), "nothing was made of the dense model"


def test_a_second_making_takes_the_place_of_the_first_and_the_rest_stays():
    ws = digits.workspace()
    more = ReplacementSettings("int8_dynamic")
    for settings in (ReplacementSettings(bits=2, tune_epochs=0), more, more):
        asks = digits.arguments(run=None, settings=asked(settings))
        digits.do("replacement", ws, asks)
    kept = load_replacements(bench.store(), ws, digits.MODEL_REF, None)
    assert [one.settings.key for one in kept.results] == ["cluster:2", "int8_dynamic"]
    assert kept.dense == kept.before


def test_files_go_with_their_run():
    ws = digits.workspace(uniform(0.5))
    add_run(ws, uniform(0.5))
    settings = asked(ReplacementSettings(bits=3, tune_epochs=0))
    digits.do("replacement", ws, digits.arguments(run=1, settings=settings))
    folder = replacement_folder(bench.store(), ws, digits.MODEL_REF, 1)
    assert folder.is_dir()
    delete_export(bench.store(), ws, 1)
    assert not folder.exists()
    assert load_replacements(bench.store(), ws, digits.MODEL_REF, 1) is None


def test_the_form_s_values_become_one_replacement_each():
    values = {
        "int8": [], "bits": [2], "patterns": ["1:4"], "multiples": [8], "coding": "huffman",
        "tune_epochs": 4, "samples": 99, "seed": 7,
    }  # fmt: skip
    found = wanted_settings(values)
    assert [one.key for one in found] == ["cluster:2:huffman", "nm:1:4", "channel_multiple:8"]
    assert {(one.tune_epochs, one.samples, one.seed) for one in found} == {(4, 99, 7)}


def test_the_chart_has_a_shape_for_every_kind_and_every_file():
    marks = [
        FileMark("dense", "dense", 1_000_000, 0.92, 0.91, 0.93),
        FileMark("cluster:5", "cluster", 30_000, 0.91, 0.90, 0.92),
        FileMark("cluster:3", "cluster", 20_000, 0.88, 0.87, 0.89),
        FileMark("int8_static", "int8", 250_000, 0.92, 0.91, 0.93),
    ]
    figure = quantised_figure(marks)
    points = {x for trace in figure.data for x in trace.x}
    assert points == {mark.bytes for mark in marks}
    assert len({trace.marker.symbol for trace in figure.data}) == len(figure.data) == 3
    low, high = figure.layout.yaxis.range
    assert low < 0.87
    assert high > 0.93
