"""Reload, a second tab and the browser's Back lose nothing, also in the middle of the work."""

import re

from playwright.sync_api import expect

from tests.browser import hands, rig


def test_reload_in_the_middle_a_second_tab_and_back(server, page):
    page.goto(server.url)
    rig.settled(page)
    hands.choose_sample(page, "digits-mlp")
    hands.go(page, "Plan")
    hands.press(page, "Spread")
    hands.saved(page)
    hands.go(page, "Prune and fine-tune")
    hands.press(page, "Prune and measure")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.reload()
    rig.settled(page)
    hands.ends(page, "Pruning digits-mlp")
    outcome = page.get_by_role("combobox", name="Run", exact=True)
    expect(outcome).to_have_value(re.compile(r"Run 1: repaired, [\d.]+ %"))

    tab = page.context.new_page()
    hands.open_at(tab, server, "/compare", hands.workspace_of(page))
    expect(tab.get_by_text(re.compile(r"Run 1 · repaired"))).to_be_visible()
    tab.get_by_role("button", name="Rename").click()
    tab.get_by_role("textbox", name="Name of the run").fill("Mine")
    tab.keyboard.press("Enter")
    expect(tab.get_by_text(re.compile(r"Mine · repaired"))).to_be_visible()

    hands.go(page, "Compare")
    expect(page.get_by_text(re.compile(r"Mine · repaired"))).to_be_visible()
    page.go_back()
    hands.is_on(page, "Prune and fine-tune")
    expect(outcome).to_have_value(re.compile(r"Mine: repaired, [\d.]+ %"))
    page.go_forward()
    hands.is_on(page, "Compare")
    rig.has_no_error_box(page)
    rig.has_no_error_box(tab)
    assert "Traceback" not in server.log.read_text()
