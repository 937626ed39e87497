"""Curves that grow in on the plan page while a hand drags."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser import hands, rig
from workbench.curves import SensitivitySettings
from workbench.store import DataRef, ModelRef, Store

MODEL, DATA = "fashion-lenet5", "fashion-mnist"
SLOW = SensitivitySettings(
    levels=tuple(round(0.025 * step, 3) for step in range(1, 39)), num_samples=200,
    repair="full", granularity="kernel",
)  # fmt: skip
PROGRESS = re.compile(r"Measuring: ([\d,]+) of 77 points")


def open_plan(server, page):
    """The plan page of kernels, for which no curves come with the model."""
    store = Store(server.home)
    workspace = store.create_workspace()
    store.save_model_ref(workspace, ModelRef(name=MODEL, sample=MODEL))
    store.save_data_ref(workspace, DataRef(name=DATA, sample=DATA))
    store.save_settings(workspace, {"sensitivity": SLOW.to_dict()})
    hands.open_at(page, server, "/plan", workspace)
    page.get_by_test_id("stMain").get_by_role("radio", name="Kernels").click()
    expect(page.get_by_text("No sensitivity was measured for Whole kernels yet")).to_be_visible()
    rig.settled(page)
    return store, workspace


def points_measured(page, more_than: int) -> int:
    """Wait until more points are there."""
    page.wait_for_function(
        """least => {
            const told = document.body.innerText.match(/Measuring: ([\\d,]+) of/);
            return told && Number(told[1].replace(",", "")) > least;
        }""",
        arg=more_than, timeout=hands.PATIENCE_MS,
    )  # fmt: skip
    return int(PROGRESS.search(page.locator("body").inner_text())[1])


@pytest.mark.slow
def test_a_drag_goes_on_while_the_curves_change(server, page):
    store, workspace = open_plan(server, page)
    hands.press(page, "Measure now")
    first = points_measured(page, 3)
    column = hands.column(page, "conv1")
    column.scroll_into_view_if_needed()
    box = column.bounding_box()
    x, bottom = box["x"] + box["width"] / 2, box["y"] + box["height"]
    page.mouse.move(x, bottom - 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(x, bottom - 0.5 * box["height"], steps=5)
    expect(column).to_have_attribute("aria-valuenow", re.compile("^(49|50|51)$"))
    held = column.element_handle()
    later = points_measured(page, first + 5)
    assert held.is_visible(), "the column under the hand is the same"
    expect(column).to_have_attribute("aria-valuenow", re.compile("^(49|50|51)$"))
    assert not store.open_workspace(workspace).plan.sparsities, "nothing is kept before the end"
    page.mouse.move(x, bottom - 0.4 * box["height"], steps=5)
    expect(column).to_have_attribute("aria-valuenow", re.compile("^(39|40|41)$"))
    page.mouse.up()
    hands.saved(page)
    assert 0.38 < store.open_workspace(workspace).plan.sparsities["conv1"] < 0.42
    expect(page.locator(".tile.headline b")).to_have_text(re.compile(r"[\d.]+ %"))
    points_measured(page, later)

    hands.press(page, "Stop")
    # A worker that did not answer in time was ended: its points are in the cache all the same.
    go_on = page.get_by_role("button", name=re.compile("^(Resume|Measure now)"))
    go_on.click(timeout=hands.PATIENCE_MS)
    again = points_measured(page, 0)
    assert again >= later, "what was measured is not measured again"
    hands.press(page, "Stop")
    expect(go_on).to_be_enabled(timeout=hands.PATIENCE_MS)
    rig.has_no_error_box(page)
