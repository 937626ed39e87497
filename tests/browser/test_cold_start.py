"""A link to any page works as the first thing that a fresh server is asked for."""

import pytest
from playwright.sync_api import expect

from tests.browser import rig


@pytest.mark.parametrize("path", rig.PAGES)
def test_a_deep_link_works_on_a_fresh_server(start_server, page, path):
    server = start_server()
    page.goto(server.url + path)
    rig.settled(page)

    expect(page.get_by_role("heading", level=1, name=rig.TITLES[path], exact=True)).to_be_visible()
    assert page.url.split("?")[0] == server.url + path
    links = page.get_by_test_id("stSidebar").get_by_role("link")
    expect(links).to_have_count(len(rig.TITLES))
    assert [text.split("\n")[-1] for text in links.all_inner_texts()] == list(rig.TITLES.values())
    rig.has_no_error_box(page)
    page.goto("about:blank")  # a page that outlives its server complains
    server.stop()
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_pages_follow_the_colour_scheme(server, page, color_scheme):
    page.goto(server.url)
    rig.settled(page)
    red, green, blue = page.get_by_test_id("stApp").evaluate(
        "app => getComputedStyle(app).backgroundColor.match(/[0-9.]+/g).slice(0, 3).map(Number)"
    )
    assert (red + green + blue > 384) == (color_scheme == "light")


def test_every_page_is_one_click_away(server, page):
    page.goto(server.url)
    rig.settled(page)
    for path in (*rig.PAGES[1:], "/"):
        title = rig.TITLES[path]
        page.get_by_test_id("stSidebar").get_by_role("link", name=title, exact=True).click()
        expect(page.get_by_role("heading", level=1, name=title, exact=True)).to_be_visible()
        rig.settled(page)
        assert page.url.split("?")[0] == server.url + path
        rig.has_no_error_box(page)
