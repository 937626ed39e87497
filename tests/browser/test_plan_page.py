"""The plan page in a real browser: granularities, undo over them, and hands that are quick."""

import re

from playwright.sync_api import expect

from tests.browser import hands, rig
from tests.ui import digits
from workbench.store import Store

FIRST, SECOND, _CLASSIFIER = digits.LAYERS


def open_plan(server, page):
    """The plan page of a fresh workspace with the smallest sample; its store and id."""
    store = Store(server.home)
    workspace = digits.workspace(store=store)
    hands.open_at(page, server, "/plan", workspace)
    expect(hands.column(page, FIRST)).to_be_visible()
    return store, workspace


def choose(page, title):
    page.get_by_test_id("stMain").get_by_role("radio", name=title, exact=True).click()
    rig.settled(page)


def test_undo_leads_from_channels_back_to_weights_and_redo_forth(server, page):
    store, workspace = open_plan(server, page)
    hands.drag(page, SECOND, 0.5)
    hands.saved(page)
    weights = store.open_workspace(workspace).plan
    choose(page, "Channels, neurons, heads")
    expect(page.locator(".lane .cell")).to_have_count(3)
    hands.drag(page, FIRST, 0.5)
    hands.saved(page, re.compile(r"Saved: .* parameters stay"))
    expect(hands.column(page, FIRST)).to_have_attribute(
        "aria-valuetext", re.compile(r"of 128 neurons")
    )
    channels = store.open_workspace(workspace).plan
    assert channels.granularity == "channel"
    undo, redo = (page.get_by_role("button", name=name) for name in ("Undo", "Redo"))
    undo.click()
    expect(hands.column(page, FIRST)).to_have_attribute("aria-valuenow", "0")
    undo.click()
    expect(page.locator(".lane")).to_have_count(0)
    rig.settled(page)
    assert store.open_workspace(workspace).plan == weights
    expect(page.get_by_role("radio", name="Single weights")).to_be_checked()
    redo.click()
    expect(page.locator(".lane .cell")).to_have_count(3)
    redo.click()
    expect(redo).to_be_disabled()
    hands.saved(page)
    assert store.open_workspace(workspace).plan == channels
    choose(page, "16")
    expect(page.get_by_text(re.compile("Round(ed|ing) to multiples of 16"))).to_be_visible()
    rig.has_no_error_box(page)


def test_an_edit_in_the_instant_of_a_page_change_is_kept(server, page):
    store, workspace = open_plan(server, page)
    hands.column(page, FIRST).focus()
    page.keyboard.press("PageUp")  # the page waits a moment for the next key, then tells
    layers = page.get_by_test_id("stSidebar").get_by_role("link", name="Layers", exact=True)
    layers.click(delay=60)  # as long as a finger is down; in less Streamlit sends nothing else
    hands.is_on(page, "Layers")
    rig.settled(page)
    hands.go(page, "Plan")
    expect(hands.column(page, FIRST)).to_have_attribute("aria-valuenow", "10")
    assert dict(store.open_workspace(workspace).plan.sparsities) == {FIRST: 0.1}


def test_a_link_opens_the_same_plan_in_a_private_window(server, page, open_page):
    open_plan(server, page)
    choose(page, "Channels, neurons, heads")
    hands.drag(page, FIRST, 0.5)
    hands.saved(page)
    page.get_by_text("Plan file and link").click()
    link = page.get_by_test_id("stCode").inner_text().strip()
    assert link.startswith(f"{server.url}/plan?plan=")
    private = open_page()
    private.goto(link)
    shown, copied = (
        hands.column(one, FIRST).get_attribute("aria-valuetext") for one in (page, private)
    )
    assert shown == copied
    assert hands.workspace_of(private) != hands.workspace_of(page)
    rig.has_no_error_box(private)


def test_columns_stay_where_they_are_under_the_pointer(server, page):
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(server.url + "/plan")
    rig.settled(page)
    choose(page, "Channels, neurons, heads")
    last = hands.column(page, "stages.2.2.conv1")
    places = []
    for name in ("stem", "stages.0.0.conv1", "stages.2.0.conv2"):
        hands.column(page, name).hover()
        expect(page.locator(".detail-head")).to_contain_text(name)
        places.append(last.bounding_box())
    assert places == places[:1] * 3
