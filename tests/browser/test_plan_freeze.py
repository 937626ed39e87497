"""Freezing layers on the plan page in a real browser: typed, refused, reloaded, taken out."""

from playwright.sync_api import expect

from tests.browser import hands, rig
from tests.ui import digits
from workbench.store import Store

FIRST, SECOND, _CLASSIFIER = digits.LAYERS


def type_pattern(page, pattern):
    field = page.get_by_role("combobox", name="Freeze")
    field.fill(pattern)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    rig.settled(page)


def test_a_typed_pattern_locks_its_column_until_it_is_taken_out(server, page):
    store = Store(server.home)
    workspace = digits.workspace(store=store)
    hands.open_at(page, server, "/plan", workspace)
    hands.drag(page, FIRST, 0.5)
    hands.saved(page)
    before = store.open_workspace(workspace).plan.sparsities
    type_pattern(page, "hidden.0")
    expect(page.get_by_text("1 layer frozen at 0.")).to_be_visible()
    expect(hands.column(page, FIRST)).to_have_attribute("aria-valuenow", "0")
    expect(hands.column(page, FIRST)).to_have_attribute("aria-disabled", "true")
    assert store.open_workspace(workspace).plan.sparsities[FIRST] == 0
    page.get_by_role("button", name="Undo").click()  # locks are never overridden
    expect(hands.column(page, FIRST)).to_have_attribute("aria-valuenow", "0")
    page.reload()
    rig.settled(page)
    expect(page.get_by_role("button", name="Remove hidden.0")).to_be_visible()
    expect(hands.column(page, FIRST)).to_have_attribute("aria-disabled", "true")
    type_pattern(page, "*.bias")
    expect(page.get_by_text("names parameters, but what is frozen is whole layers")).to_be_visible()
    expect(page.get_by_role("button", name="Remove *.bias")).to_have_count(0)
    page.get_by_role("button", name="Remove hidden.0").click()
    rig.settled(page)
    expect(hands.column(page, FIRST)).to_have_attribute("aria-valuenow", "50")
    assert store.open_workspace(workspace).plan.sparsities == before
    expect(hands.column(page, SECOND)).to_have_attribute("aria-valuenow", "0")
