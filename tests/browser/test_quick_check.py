"""The plan is measured when the hand lets go, in a real browser."""

import re

from playwright.sync_api import expect

from tests.browser import hands, rig
from tests.ui import digits
from workbench.store import Store

FIRST, SECOND, _CLASSIFIER = digits.LAYERS


def tiles(page):
    return page.locator(".tile.headline"), page.locator(".tile.second")


def test_a_released_column_is_measured_and_a_moving_one_predicted_again(server, page):
    store = Store(server.home)
    workspace = digits.workspace(store=store)
    hands.open_at(page, server, "/plan", workspace)
    headline, second = tiles(page)
    expect(second).to_contain_text("let a column go, and the plan is measured")
    hands.drag(page, FIRST, 0.7)
    expect(headline).to_have_class(re.compile("measured"))
    expect(headline).to_contain_text(
        re.compile(r"Measured accuracy.* after full repair, .* images; without repair")
    )
    expect(second).to_have_class(re.compile("predicted"))
    checked = headline.locator("b").inner_text()
    assert re.fullmatch(r"[\d.]+ %", checked), "no sign of approximation"
    places = hands.column(page, SECOND).bounding_box()
    page.mouse.move(places["x"] + places["width"] / 2, places["y"] + places["height"] - 2)
    page.mouse.down()
    page.mouse.move(places["x"] + places["width"] / 2, places["y"] + 40, steps=5)
    expect(headline).to_have_class(re.compile("predicted"))
    expect(second).to_have_text(re.compile(f"{re.escape(checked)}belongs to another plan"))
    assert hands.column(page, SECOND).bounding_box() == places, "the board stays where it is"
    page.mouse.up()
    expect(headline).to_have_class(re.compile("measured"))
    expect(headline).to_contain_text("images; without repair")
    page.get_by_role("button", name="Undo").click()
    expect(headline).to_have_class(re.compile("measured"))
    expect(headline.locator("b")).to_have_text(checked)
    rig.settled(page)
    shown = headline.inner_text()
    kept = store.open_workspace(workspace).settings["measured_plans"]
    assert [len(one["sparsities"]) for one in kept] == [1, 1, 2, 2]
    page.reload()
    rig.settled(page)
    assert headline.inner_text() == shown, "it is remembered, not measured again"
    rig.has_no_error_box(page)
