"""Channels that are really gone, in a real browser: to a smaller file that is as accurate."""

import re

import onnx
from playwright.sync_api import Page, expect

from tests.browser import hands, rig
from tests.browser.test_journey import measured_by_onnx_runtime

DENSE_PARAMS, HALF_PARAMS = 17_226, 64 * 65 + 32 * 65 + 10 * 33
STAGE = re.compile(r"dense ([\d.]+) % → pruned ([\d.]+) % → repaired ([\d.]+) %")


def plan_half_of_all_channels(page: Page) -> None:
    """Choose whole channels and spread 50 % over all groups."""
    main = page.get_by_test_id("stMain")
    main.get_by_role("radio", name="Channels, neurons, heads").or_(
        main.get_by_role("button", name="Channels, neurons, heads")
    ).first.click()
    expect(main.get_by_text("Round kept channels to multiples of").first).to_be_visible()
    rig.settled(page)
    hands.choose(page, "Target", "Channel pruning ratio")
    percent = main.get_by_role("spinbutton", name="Percent", exact=True)
    expect(percent).to_have_value("50")
    hands.press(page, "Spread")
    expect(hands.column(page, "hidden.0")).to_have_attribute("aria-valuenow", "50")
    hands.saved(page, re.compile(r"6\.57 k of 17\.2 k parameters stay"))


def test_channels_go_and_the_file_shrinks(server, page, tmp_path):
    page.goto(server.url + "/plan")
    rig.settled(page)
    hands.go(page, "Model")
    hands.choose_sample(page, "digits-mlp")

    hands.go(page, "Layers")
    expect(page.get_by_text("2 of 3 groups can be cut, with 192 neurons in all.")).to_be_visible()

    hands.go(page, "Compare")
    expect(page.get_by_text("the chart shows the dense model")).to_be_visible()
    expect(page.get_by_text(re.compile(r"The dense model has [\d.]+ %"))).to_be_visible()

    hands.go(page, "Plan")
    plan_half_of_all_channels(page)
    page.get_by_test_id("stMain").get_by_role("link", name="Prune with this plan").click()
    hands.is_on(page, "Prune and fine-tune")
    expect(page.get_by_text("The plan removes 96 of 192 neurons")).to_be_visible()
    expect(page.get_by_role("combobox", name="Repair")).to_have_value("Full repair")
    hands.press(page, "Prune and measure")
    hands.ends(page, "Pruning digits-mlp")
    gained = re.compile(r"Full repair brought [\d.]+ % to [\d.]+ %")
    expect(page.get_by_text(gained)).to_be_visible()
    page.get_by_text("What each step of the repair gained").click()
    expect(page.get_by_text(re.compile(r"of 3 steps were kept"))).to_be_visible()
    expect(page.get_by_label(re.compile("^Marks of the error of every layer"))).to_be_visible()

    hands.go(page, "Compare")
    shown = STAGE.search(page.get_by_text(STAGE).inner_text())
    dense, raw, repaired = (float(number) for number in shown.groups())
    assert raw < repaired <= dense
    chart = page.get_by_test_id("stPlotlyChart").first
    expect(chart.get_by_text("Filled: channels are gone")).to_be_visible()
    expect(chart.locator(".scatterlayer .js-line")).not_to_have_count(0)
    expect(page.get_by_text("6.57 k of 17.2 k parameters left")).to_be_visible()

    hands.go(page, "Export")
    hands.press(page, "Export and verify")
    hands.ends(page, "Exporting Run 1")
    accuracy = page.get_by_test_id("stMetric").filter(has_text="Accuracy in ONNX Runtime")
    expect(accuracy.get_by_test_id("stMetricValue")).to_have_text(f"{repaired:.2f} %")
    expect(page.get_by_text(re.compile(r"really [\d.]+× smaller"))).to_be_visible()
    with page.expect_download() as waiting:
        hands.press(page, "Download model.onnx")
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    assert f"{100 * measured_by_onnx_runtime(path, 'digits'):.2f}" == f"{repaired:.2f}"
    assert path.stat().st_size < 0.6 * 4 * DENSE_PARAMS
    assert numbers_in(path) == HALF_PARAMS
    rig.has_no_error_box(page)
    assert "Traceback" not in server.log.read_text()


def numbers_in(path) -> int:
    """Trained numbers in an ONNX file: none of the removed channels' is there."""
    graph = onnx.load(path).graph
    sizes = [onnx.numpy_helper.to_array(one).size for one in graph.initializer if one.dims]
    return sum(size for size in sizes if size > 4)
