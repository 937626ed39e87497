"""A first-time user gets "4x fewer MACs, smallest loss", sees why, bends it and sees the price."""

import re

from playwright.sync_api import expect

from tests.browser import hands, rig
from workbench.accounting import size_of_plan
from workbench.groups import find_groups
from workbench.loading import load_model
from workbench.store import Store

CUT, SPARED = "stem", "stages.1.1.conv1"
TILE = ".tile >> nth=0 >> b >> nth=0"
"""The accuracy: predicted while the hand moves, measured soon after."""


def plan_of(server, page):
    return Store(server.home).open_workspace(hands.workspace_of(page)).plan


def move(page, name, key):
    """Move a column by keyboard until the server has it."""
    before = page.locator(TILE).inner_text()
    hands.column(page, name).focus()
    page.keyboard.press(key)
    page.keyboard.press(key)
    expect(page.locator(TILE)).not_to_have_text(before)
    rig.settled(page)


def test_a_first_time_user_gets_the_best_plan_and_bends_it(start_server, page):
    server = start_server()
    page.goto(server.url + "/plan")
    rig.settled(page)
    dense = page.locator(TILE).inner_text()
    hands.press(page, "4× fewer MACs, smallest loss")
    hands.saved(page)
    plan = plan_of(server, page)
    size = size_of_plan(find_groups(load_model("fashion-resnet20"), "channel"), plan)
    assert plan.allocation == "optimal", plan
    assert 0.24 < size.macs / size.dense_macs <= 0.25
    expect(page.locator(TILE)).not_to_have_text(dense)

    main = page.get_by_test_id("stMain")
    expect(main.get_by_text("Common price:")).to_be_visible()
    expect(main.get_by_text("You cut")).to_have_count(0)
    main.locator("summary").filter(has_text="Why each group got its value").focus()
    page.keyboard.press("Enter")
    expect(
        main.get_by_label(re.compile("^Marks of what the last and the next step"))
    ).to_be_visible()
    expect(main.get_by_text("It pays about what the others pay.").first).to_be_attached()

    move(page, CUT, "PageUp")
    move(page, SPARED, "PageDown")
    cut = main.get_by_text(re.compile(r"You cut stem further, from \d+ % to \d+ %: it costs about"))
    expect(cut).to_be_visible()
    expect(cut).to_contain_text(re.compile(r"for \d+\.\d % of the MACs"))
    expect(main.get_by_text(re.compile(rf"You spared {re.escape(SPARED)}"))).to_be_visible()
    bent = plan_of(server, page)
    moved = {name for name in plan.sparsities if plan.sparsities[name] != bent.sparsities[name]}
    assert moved == {CUT, SPARED}
    rig.has_no_error_box(page)
    page.goto("about:blank")  # a page that outlives its server complains
    server.stop()
    assert "Traceback" not in server.log.read_text()
