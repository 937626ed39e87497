"""The accounting of the plan page in a real browser: it follows the hand, and times are kept."""

import re

from playwright.sync_api import expect

from tests.browser import hands, rig
from tests.ui import digits
from workbench.store import Store

FIRST, SECOND, _CLASSIFIER = digits.LAYERS
OPEN = "Why is it not smaller, or not faster?"


def test_it_follows_the_plan_and_shows_a_timing_when_it_ends(server, page):
    store = Store(server.home)
    plan = {FIRST: 0.5, SECOND: 0.5}
    hands.open_at(page, server, "/plan", digits.workspace(plan, store=store))
    expect(hands.column(page, FIRST)).to_be_visible()
    page.get_by_text(OPEN).click()
    zeros = page.get_by_text(re.compile(r"\d+\s%\sof the weights are zero"))
    expect(zeros).to_have_text("48 % of the weights are zero")
    hands.column(page, FIRST).focus()
    page.keyboard.press("PageUp")
    expect(zeros).to_have_text("53 % of the weights are zero")
    expect(page.get_by_role("cell", name=re.compile("^Bit mask"))).to_be_visible()

    page.get_by_role("radio", name="Time", exact=True).click()
    hands.press(page, "Measure on this machine")
    onnx = page.get_by_role("cell", name="ONNX Runtime", exact=True)
    expect(onnx).to_be_visible(timeout=hands.PATIENCE_MS)
    expect(page.get_by_role("cell", name="PyTorch", exact=True)).to_be_visible()
    expect(page.get_by_text(re.compile(r"measured.*× .*ONNX Runtime")).first).to_be_visible()
    page.reload()
    page.get_by_text(OPEN).click()
    page.get_by_role("radio", name="Time", exact=True).click()
    expect(onnx).to_be_visible()
    rig.has_no_error_box(page)
