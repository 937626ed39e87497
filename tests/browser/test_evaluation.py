"""Robustness, ensembles and classes in a real browser: start, read, come back to what is kept."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser import hands, rig
from tests.ui import digits
from workbench.store import Store


@pytest.mark.timeout(600)  # three jobs, each in a process of its own
def test_they_run_from_their_pages_and_are_kept(server, page):
    store = Store(server.home)
    ws = digits.workspace(store=store)
    for name, sparsity in (("Half", 0.5), ("Little", 0.95)):
        digits.add_run(ws, digits.uniform(sparsity), store=store, name=name)
    main = page.get_by_test_id("stMain")

    hands.open_at(page, server, "/robustness", ws)
    samples = page.get_by_role("spinbutton", name="Test images")
    samples.fill("100")
    samples.press("Tab")
    hands.press(page, "Measure")
    hands.ends(page, "Robustness")
    expect(main.get_by_text("The dense model keeps")).to_be_visible()
    expect(
        page.get_by_label(re.compile("^Charts of test accuracy against severity"))
    ).to_be_visible()
    expect(main.get_by_text("100 test images, the same for every model.")).to_be_visible()
    expect(main.get_by_role("img", name="6 test images: Occlusion.")).to_be_visible()

    hands.go(page, "Ensembles")
    hands.press(page, "Combine")
    hands.ends(page, "Ensembles")
    expect(main.get_by_text("Within the dense model's bytes")).to_be_visible()
    page.get_by_role("radio", name="Total MACs, theoretical", exact=True).click()
    rig.settled(page)
    expect(
        page.get_by_label(re.compile("^Chart of test accuracy against total size"))
    ).to_be_visible()

    hands.go(page, "Compare")
    hands.press(page, "Measure every class")
    hands.ends(page, "Classes")
    expect(main.get_by_text(re.compile("^Hurt by Little: "))).to_be_visible()
    expect(
        page.get_by_label(re.compile("^Heat map of true classes against answers"))
    ).to_be_visible()

    page.reload()
    rig.settled(page)
    expect(main.get_by_text(re.compile("^Hurt by Little: "))).to_be_visible()
    hands.go(page, "Ensembles")
    expect(main.get_by_text("Within the dense model's bytes")).to_be_visible()
    hands.go(page, "Robustness")
    expect(main.get_by_text("The dense model keeps")).to_be_visible()
    rig.has_no_error_box(page)


def test_stop_ends_a_measurement_and_it_goes_on_from_there(server, page):
    store = Store(server.home)
    ws = store.create_workspace()
    store.save_model_ref(ws, digits.OTHER_REF)
    store.save_data_ref(ws, digits.DataRef(name="fashion-mnist", sample="fashion-mnist"))
    hands.open_at(page, server, "/robustness", ws)
    samples = page.get_by_role("spinbutton", name="Test images")
    samples.fill("4000")
    samples.press("Tab")
    hands.press(page, "Measure")
    main = page.get_by_test_id("stMain")
    first_part_is_kept = re.compile(r"\b([5-9]|\d\d+),\d{3} of 104,000")
    expect(main.get_by_text(first_part_is_kept)).to_be_visible(timeout=hands.PATIENCE_MS)
    hands.press(page, "Stop")
    expect(main.get_by_text("Robustness: stopped after")).to_be_visible(timeout=hands.PATIENCE_MS)
    rig.settled(page)
    expect(page.get_by_role("button", name="Resume", exact=True)).to_be_visible()
    rig.has_no_error_box(page)
