"""The model page and the layers page."""

import io

import numpy as np
import pytest
import torch

from tests.ui.conftest import address, go_to
from workbench.architectures import ARCHITECTURES
from workbench.loading import load_model
from workbench.plan import PruningPlan
from workbench.ui import bench
from workbench.ui.theme import compact


def saved(network: torch.nn.Module) -> bytes:
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    return file.getvalue()


def upload(app, name: str, content: bytes, which: int = 0):
    """Put a file into the page's n-th upload form and send it."""
    app.file_uploader[which].set_value((name, content, "application/octet-stream"))
    form_button = [button for button in app.button if button.label.startswith(("Put", "Use"))]
    return form_button[which].click().run()


def metric(app, label: str):
    return next(metric for metric in app.metric if metric.label == label)


def test_the_default_model_is_there_without_a_click(open_app):
    app = open_app()
    assert app.subheader[0].value == "fashion-resnet20"
    assert metric(app, "Parameters").value == "272 k"
    assert metric(app, "MACs").value == "31.0 M"
    assert len(app.get("plotly_chart")) == 1


def test_choosing_a_sample_changes_model_and_data(open_app):
    app = open_app()
    app.radio[0].set_value("digits-mlp").run()
    workspace = bench.store().open_workspace(address(app))
    assert workspace.model_ref.sample == "digits-mlp"
    assert workspace.data_ref.sample == "digits"
    assert not app.error


def test_an_upload_is_put_on_the_bench_and_survives_a_reload(open_app):
    torch.manual_seed(0)
    network = ARCHITECTURES["resnet"].build(blocks=(1, 1, 1), widths=(4, 8, 8))
    app = open_app()
    upload(app, "my_net.pt", saved(network))
    assert not app.error
    params = sum(parameter.numel() for parameter in network.parameters())
    assert app.subheader[0].value == "my\\_net"
    assert metric(app, "Parameters").value == compact(params)
    assert metric(app, "Test accuracy").value == "–"
    again = open_app(ws=address(app))
    assert again.subheader[0].value == "my\\_net"
    reopened = bench.model(bench.store().open_workspace(address(app)).model_ref)
    for name, tensor in network.state_dict().items():
        assert torch.equal(reopened.module.state_dict()[name], tensor)


def test_a_refused_upload_leaves_the_model_in_place(open_app):
    app = open_app()
    upload(app, "notes.pt", b"hello")
    assert "notes.pt is plain text." in app.error[0].value
    assert app.subheader[0].value == "fashion-resnet20"
    assert app.title[0].value == "Model"
    assert len(app.radio) == 2, "the rest of the page is still there"


def test_an_empty_form_asks_for_a_file(open_app):
    app = open_app()
    next(button for button in app.button if button.label == "Put on the bench").click().run()
    assert app.info[0].value == "Choose a file first."


def test_uploaded_data_are_used_and_kept_when_another_model_fits(open_app):
    generator = np.random.default_rng(0)
    arrays = {
        "x_train": generator.integers(0, 255, (60, 28, 28), dtype=np.uint8),
        "y_train": np.arange(60) % 10,
        "x_test": generator.integers(0, 255, (20, 28, 28), dtype=np.uint8),
        "y_test": np.arange(20) % 10,
    }
    file = io.BytesIO()
    np.savez(file, **arrays)
    app = open_app()
    upload(app, "mine.npz", file.getvalue(), which=1)
    assert not app.error
    assert bench.store().open_workspace(address(app)).data_ref.name == "mine"
    assert any("60 training, 20 test" in caption.value for caption in app.caption)


def test_data_that_do_not_fit_are_refused_and_the_former_stay(open_app):
    app = open_app()
    app.radio[1].set_value("digits").run()
    assert "digits" in app.error[0].value
    assert bench.store().open_workspace(address(app)).data_ref.sample == "fashion-mnist"


def test_the_device_is_remembered(open_app):
    app = open_app()
    app.segmented_control(key="device").set_value("cpu").run()
    assert bench.store().open_workspace(address(app)).settings["device"] == "cpu"


def test_the_layers_page_counts_what_inspection_counts(open_app):
    app = open_app(page="layers")
    frame = app.dataframe[-1].value
    inspection = bench.inspection(bench.store().open_workspace(address(app)).model_ref)
    assert list(frame["layer"]) == [layer.layer_name for layer in inspection.layers]
    assert frame["params"].sum() == inspection.num_params == 272_186
    assert frame["share"].sum() == pytest.approx(100)
    assert frame["macs"].sum() == inspection.macs
    by_name = dict(zip(frame["layer"], frame["prunable"], strict=True))
    assert by_name["stem"] == "Yes"
    assert by_name["classifier"] == "If you ask"
    assert by_name["bn"] == "No"
    told = [one.value for one in app.caption]
    assert any(one.startswith("No, 21 layers: Normalisation has") for one in told), told
    assert any(one.startswith("If you ask: classifier is protected") for one in told), told


def test_the_threshold_follows_layer_and_sparsity(open_app):
    app = open_app(page="layers")
    app.selectbox[0].set_value("classifier").run()
    app.slider[0].set_value(90).run()
    weight = load_model("fashion-resnet20").module.get_parameter("classifier.weight").detach()
    expected = weight.abs().flatten().sort().values[576 - 1].item()
    takeaway = next(c.value for c in app.caption if c.value.startswith("Ranked by magnitude"))
    assert "prunes 576 of 640 weights" in takeaway
    assert f"{expected:.3g}" in takeaway


def test_the_sparsity_begins_at_the_plan(open_app):
    app = open_app()
    bench.store().save_plan(address(app), PruningPlan({"stem": 0.25, "classifier": 0.75}))
    app = open_app(ws=address(app), page="layers")
    assert app.slider[0].value == 25
    assert any("The current plan prunes 2 layers." in caption.value for caption in app.caption)


def test_looking_at_a_layer_changes_nothing(open_app):
    before = load_model("fashion-resnet20").digest
    app = open_app(page="layers")
    app.slider[0].set_value(99).run()
    reference = bench.store().open_workspace(address(app)).model_ref
    fresh = bench.model(reference)
    assert load_model("fashion-resnet20").with_module(fresh.copy_module()).digest == before
    assert bench.store().open_workspace(address(app)).plan is None


def test_every_page_still_opens_with_the_smallest_model(open_app):
    app = open_app()
    app.radio[0].set_value("digits-mlp").run()
    go_to(app, "layers")
    assert not app.error
    assert len(app.dataframe[-1].value) == 3
