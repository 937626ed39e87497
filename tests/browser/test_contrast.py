"""Text on buttons in their colour can be read in both themes."""

import pytest
from playwright.sync_api import Locator

from tests.browser import hands, rig
from tests.ui import digits
from workbench.store import Store

LEAST = 4.5
"""Ratio that WCAG 2.1 asks of text of usual size."""


def contrast(element: Locator) -> float:
    """Contrast of an element's text to its own ground, by WCAG's formula."""
    colours = element.evaluate(
        "e => { const s = getComputedStyle(e); return [s.color, s.backgroundColor]; }"
    )
    dark, light = sorted(luminance(colour) for colour in colours)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)``."""
    numbers = colour.removeprefix("rgb(").removesuffix(")").split(",")
    parts = [int(number) / 255 for number in numbers]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_primary_buttons_can_be_read_at_rest_and_under_the_pointer(server, page, color_scheme):
    store = Store(server.home)
    hands.open_at(page, server, "/plan", digits.workspace(store=store))
    spread = page.get_by_test_id("stMain").get_by_role("button", name="Spread", exact=True)
    page.mouse.move(0, 0)
    assert contrast(spread) >= LEAST
    spread.hover()
    page.wait_for_timeout(300)  # the colour changes slowly
    assert contrast(spread) >= LEAST


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_the_names_of_chosen_runs_can_be_read(server, page, color_scheme):
    store = Store(server.home)
    workspace = digits.workspace(store=store)
    digits.add_run(workspace, store=store)
    hands.open_at(page, server, "/robustness", workspace)
    rig.settled(page)
    tag = page.locator("[data-tag]").first
    assert contrast(tag) >= LEAST
