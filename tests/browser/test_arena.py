"""The arena in a real browser: run it, read it on two axes, take a plan, undo that."""

import re

from playwright.sync_api import expect

from tests.browser import hands, rig
from tests.ui import digits
from workbench.plan import PruningPlan
from workbench.store import Store

FIRST, SECOND, _CLASSIFIER = digits.LAYERS


def test_it_runs_with_the_plan_and_gives_one_back(server, page):
    store = Store(server.home)
    plan = PruningPlan({FIRST: 0.5, SECOND: 0.5}, "channel", model=digits.model().digest)
    ws = digits.workspace(plan, store=store)
    hands.open_at(page, server, "/plan", ws)
    expect(hands.column(page, FIRST)).to_have_attribute("aria-valuenow", "50")
    hands.go(page, "Arena")
    expect(page.get_by_text("Nobody has competed yet.")).to_be_visible()
    page.get_by_text("Run with other settings").click()
    budgets = page.get_by_role("textbox", name="Budgets, times smaller")
    budgets.fill("8")
    budgets.press("Tab")
    hands.press(page, "Run")
    hands.ends(page, "Arena")

    main = page.get_by_test_id("stMain")
    chart = page.get_by_label(re.compile("^Chart of validation accuracy against the part of macs"))
    expect(chart).to_be_visible()
    expect(main.get_by_text("Your plan", exact=True).first).to_be_visible()
    page.get_by_role("radio", name="Parameters", exact=True).click()
    expect(main.get_by_text("who wins depends on the axis")).to_be_visible()

    page.get_by_role("radio", name="8×", exact=True).click()
    rig.settled(page)
    hands.press(page, "Take this plan")
    expect(
        main.get_by_text(re.compile("The plan of .* 8× is on the plan page now"))
    ).to_be_visible()
    taken = store.open_workspace(ws).plan
    assert taken.sparsities != plan.sparsities
    main.get_by_role("link", name="Open the plan").click()
    hands.is_on(page, "Plan")
    shown = round(100 * taken.sparsities[FIRST])
    expect(hands.column(page, FIRST)).to_have_attribute("aria-valuenow", str(shown))
    page.get_by_role("button", name="Undo").click()
    expect(hands.column(page, FIRST)).to_have_attribute("aria-valuenow", "50")
    rig.has_no_error_box(page)
