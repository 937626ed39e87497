"""What a person does on the pages: go somewhere, choose, start, wait for an end."""

import re
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, expect

from tests.browser import rig

PATIENCE_MS = 120_000
"""For work in the background; nothing waits longer than it has to."""


def go(page: Page, title: str) -> None:
    """Follow a link of the sidebar."""
    page.get_by_test_id("stSidebar").get_by_role("link", name=title, exact=True).click()
    is_on(page, title)


def is_on(page: Page, title: str) -> None:
    """Wait until a page is there and stands still."""
    expect(page.get_by_role("heading", level=1, name=title, exact=True)).to_be_visible()
    rig.settled(page)


def open_at(page: Page, server: rig.Server, path: str, workspace_id: str) -> Page:
    """Open a page of a workspace by its address."""
    page.goto(f"{server.url}{path}?ws={workspace_id}")
    rig.settled(page)
    return page


def workspace_of(page: Page) -> str:
    """The workspace in the address."""
    return parse_qs(urlsplit(page.url).query)["ws"][0]


def choose_sample(page: Page, name: str) -> None:
    """Put a sample model on the bench."""
    main = page.get_by_test_id("stMain")
    main.get_by_text(name, exact=True).last.click()
    expect(main.get_by_role("heading", level=3, name=name, exact=True)).to_be_visible()
    rig.settled(page)


def press(page: Page, name: str) -> None:
    """Click a button of the page itself."""
    page.get_by_test_id("stMain").get_by_role("button", name=name, exact=True).click()


def choose(page: Page, label: str, option: str) -> None:
    """Choose from a list of the page itself, by typing: a long list draws only a part of itself."""
    box = page.get_by_test_id("stMain").get_by_role("combobox", name=label, exact=True)
    box.click()
    box.fill(option)
    page.get_by_role("option", name=option, exact=True).click()
    rig.settled(page)


def ends(page: Page, title: str, ending: str = "done in") -> None:
    """Wait until background work has ended."""
    expect(page.get_by_text(f"{title}: {ending}")).to_be_visible(timeout=PATIENCE_MS)
    rig.settled(page)


def column(page: Page, layer: str) -> Locator:
    """A column of the equaliser."""
    return page.get_by_role("slider", name=layer, exact=True)


def drag(page: Page, layer: str, sparsity: float) -> None:
    """Take hold of a column and let go at a sparsity."""
    column(page, layer).scroll_into_view_if_needed()
    box = column(page, layer).bounding_box()
    assert box
    x, bottom = box["x"] + box["width"] / 2, box["y"] + box["height"]
    page.mouse.move(x, bottom - 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(x, bottom - sparsity * box["height"], steps=5)
    page.mouse.up()


def saved(page: Page, words: str | re.Pattern[str] = "Saved:") -> None:
    """Wait until the server says that it has kept the plan."""
    expect(page.get_by_test_id("stMain").get_by_text(words)).to_be_visible()
    rig.settled(page)


def cells(page: Page, label: str) -> list[list[str]]:
    """What a table says, row by row; read from the table that screen readers get."""
    table = page.get_by_label(label).get_by_role("row")
    return [row.get_by_role("gridcell").all_inner_texts() for row in table.all()]
