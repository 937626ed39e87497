"""The whole road in a real browser, to a file that runs elsewhere."""

import re

import numpy as np
import onnxruntime
from playwright.sync_api import expect

from tests.browser import hands, rig
from workbench.loading import load_data


def measured_by_onnx_runtime(path, data_name: str) -> float:
    """Accuracy of an ONNX file on the test images, with nothing of the workbench but the images."""
    images, labels = (part.numpy() for part in _test_images(data_name))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (wanted,) = session.get_inputs()
    (scores,) = session.run(None, {wanted.name: images})
    return float(np.mean(scores.argmax(axis=1) == labels))


def _test_images(data_name: str):
    split = load_data(data_name).split("test")
    return split.images, split.labels


def test_from_a_trained_model_to_an_onnx_file_with_the_accuracy_that_was_shown(
    server, page, tmp_path
):
    page.goto(server.url)
    rig.settled(page)
    expect(page.get_by_role("heading", name="fashion-resnet20")).to_be_visible()
    hands.choose_sample(page, "digits-mlp")

    hands.go(page, "Layers")
    expect(page.get_by_text("3 of 3 layers can be pruned")).to_be_visible()

    hands.go(page, "Sensitivity")
    hands.press(page, "Measure now")
    hands.ends(page, "Measuring the sensitivity of digits-mlp")
    expect(page.get_by_text("Most fragile:")).to_be_visible()
    fragile = page.get_by_text("Most fragile:").inner_text()
    assert all(layer in fragile for layer in ("hidden.0", "hidden.1", "classifier"))

    hands.go(page, "Plan")
    hands.drag(page, "hidden.0", 0.6)
    expect(hands.column(page, "hidden.0")).to_have_attribute(
        "aria-valuenow", re.compile("^(59|60|61)$")
    )
    hands.saved(page)
    hands.choose(page, "Allocation", "Uniform")
    hands.press(page, "Spread")
    expect(hands.column(page, "hidden.0")).to_have_attribute("aria-valuenow", "80")
    hands.saved(page, "4.12 k of 17.2 k parameters stay (4.18× fewer)")
    expect(page.locator(".tile.predicted b")).to_have_text(re.compile(r"≈ [\d.]+ %"))

    page.get_by_test_id("stMain").get_by_role("link", name="Prune with this plan").click()
    hands.is_on(page, "Prune and fine-tune")
    hands.press(page, "Prune and measure")
    hands.ends(page, "Pruning digits-mlp")
    expect(page.get_by_text("2. Look at the outcome")).to_be_visible()

    page.get_by_role("spinbutton", name="How many").fill("4")
    hands.press(page, "Fine-tune")
    hands.ends(page, "Fine-tuning Run 1")
    chosen = page.get_by_role("combobox", name="Run").input_value()
    accuracy = re.fullmatch(r"Run 2: fine-tuned, ([\d.]+ %)", chosen).group(1)

    hands.go(page, "Compare")
    expect(page.get_by_text(f"Run 2 · fine-tuned, {accuracy}")).to_be_visible()
    expect(
        page.get_by_text(re.compile(rf"Run \d is the most accurate with {accuracy}"))
    ).to_be_visible()

    hands.go(page, "Export")
    hands.press(page, "Export and verify")
    hands.ends(page, "Exporting Run 2")
    shown = page.get_by_test_id("stMetric").filter(has_text="Accuracy in ONNX Runtime")
    expect(shown.get_by_test_id("stMetricValue")).to_have_text(accuracy)
    with page.expect_download() as waiting:
        hands.press(page, "Download model.onnx")
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    assert path.name == "model.onnx"
    assert f"{100 * measured_by_onnx_runtime(path, 'digits'):.2f} %" == accuracy
    rig.has_no_error_box(page)
    assert "Traceback" not in server.log.read_text()
