"""The catalogue in a real browser: a link to one method, a trial that stays, a plan from it."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser import hands, rig
from tests.ui import digits
from workbench.catalogue import methods
from workbench.method import FAMILIES
from workbench.store import Store


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_a_linked_method_is_tried_and_its_plan_taken(server, page, color_scheme):
    store = Store(server.home)
    ws = digits.workspace(store=store)
    page.goto(f"{server.url}/methods?method=l2&ws={ws}")
    rig.settled(page)
    main = page.get_by_test_id("stMain")
    expect(main.get_by_text("Prunes the weights of smallest square first").first).to_be_visible()
    expect(main.locator(".katex").first).to_be_visible()
    assert page.locator(".katex-error").count() == 0
    hands.press(page, "Try it next to Magnitude (L1)")
    hands.ends(page, "Trying Magnitude (L2)")
    verdict = main.get_by_text(re.compile(r"Magnitude \(L2\) and Magnitude \(L1\) cannot be told"))
    expect(verdict).to_be_visible()
    page.reload()
    rig.settled(page)
    expect(verdict).to_be_visible()
    assert "method=l2" in page.url

    hands.press(page, "Use it in the plan")
    expect(main.get_by_text("The plan is on the plan page.")).to_be_visible()
    assert store.open_workspace(ws).plan.criterion == "l2"
    main.get_by_role("link", name="Open the plan").click()
    hands.is_on(page, "Plan")
    assert "method=" not in page.url
    rig.has_no_error_box(page)


ROWS = """all => all.map(one => {
    const parts = [...one.querySelectorAll('.katex-html > .base')].map(
        base => base.getBoundingClientRect());
    const bottom = Math.max(...parts.map(box => box.bottom));
    const style = getComputedStyle(one);
    return {
        rows: new Set(parts.map(box => parts.findIndex(other =>
            Math.min(box.bottom, other.bottom) > Math.max(box.top, other.top)))).size,
        over: one.scrollWidth - one.clientWidth, scrolls: style.overflowX,
        below: bottom - one.getBoundingClientRect().bottom};
})"""
"""Of every formula: rows of its parts, how much does not fit, and whether that can be reached."""


@pytest.mark.parametrize("width", [1280, 400])
def test_a_formula_stays_in_one_row_and_scrolls_where_it_is_too_long(server, page, width):
    ws = digits.workspace(store=Store(server.home))
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{server.url}/methods?ws={ws}")
    rig.settled(page)
    longer = 0
    for family in ("criterion", "finetuning", "sparse_training"):
        page.goto(f"{server.url}/methods?ws={ws}&family={family}")
        rig.settled(page)
        page.get_by_test_id("stExpander").locator("details:not([open]) summary").evaluate_all(
            "all => all.forEach(one => one.click())"
        )
        rig.settled(page)
        formulas = sum(bool(method.formula) for method in methods()[family].values())
        shown = page.get_by_test_id("stMain").locator(".katex-display")
        expect(shown).to_have_count(formulas)
        found = shown.evaluate_all(ROWS)
        assert {one["rows"] for one in found} == {1}
        assert {one["scrolls"] for one in found} == {"auto"}
        assert max(one["below"] for one in found) <= 0
        longer += sum(one["over"] > 0 for one in found)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0
    assert longer > 0 or width > 400
    rig.has_no_error_box(page)


def test_every_formula_is_set_without_an_error(server, page):
    ws = digits.workspace(store=Store(server.home))
    page.goto(f"{server.url}/methods?ws={ws}")
    rig.settled(page)
    families = page.get_by_test_id("stMain").get_by_role("radiogroup", name="Family")
    expect(families.get_by_role("radio")).to_have_count(len(FAMILIES))
    for number, name in enumerate(FAMILIES):
        families.get_by_role("radio").nth(number).click()
        rig.settled(page)
        page.get_by_test_id("stExpander").locator("details:not([open]) summary").evaluate_all(
            "all => all.forEach(one => one.click())"
        )
        rig.settled(page)
        formulas = sum(bool(method.formula) for method in methods()[name].values())
        expect(page.locator(".katex-display")).to_have_count(formulas)
        assert page.locator(".katex-error").count() == 0
    rig.has_no_error_box(page)
