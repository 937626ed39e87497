"""How the component takes calls in an order that only a slow machine shows."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect

from tests.browser.made_up import curves, groups, layers
from workbench.layers import Inspection
from workbench.plan import PruningPlan
from workbench.ui.equaliser import board_of, component
from workbench.ui.equaliser.static import script, style_sheet

MOUNT = """
async ([source, style, data]) => {
    const module = await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
    const host = document.body.appendChild(document.createElement("div"));
    const root = host.attachShadow({mode: "open"});
    root.innerHTML = `<style>${style}</style><div class="equaliser"></div>`;
    const sent = [];
    const call = () => module.default({
        data: structuredClone(data), parentElement: root, setTriggerValue: () => {},
        setStateValue: (name, value) => sent.push(value.values),
    });
    Object.assign(window, {host, root, sent, call});
    window.leave = call();
}
"""


@pytest.fixture
def mount(page, monkeypatch):
    """``mount(count, most, former, width)`` shows a board; the parts of MOUNT are in reach.

    What else is given replaces what the page would send.
    """

    def show(count=6, most=1.0, former=None, width=1300, **data):
        given = {}
        monkeypatch.setattr(
            component, "_mount",
            lambda **options: given.update(options) or SimpleNamespace(edit=None),
        )  # fmt: skip
        inspection = Inspection(layers(count, norms=False))
        measured = curves(inspection, every=1)
        points = tuple(point for point in measured.points if point.level <= most)
        board = board_of(
            groups(inspection), replace(measured, points=points), num_classes=10, locked={}
        )
        before = (board, PruningPlan(former)) if former else None
        component.equaliser(board, {}, key="eq", revision=0, former=before)
        page.goto("about:blank")
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(MOUNT, [script(), style_sheet(), given["data"] | data])
        return page

    return show


@pytest.fixture
def mounted(mount):
    """The component on an empty page, with ``call``, ``leave``, ``root`` and ``sent`` in reach."""
    return mount()


def values(page) -> list[str]:
    return page.evaluate(
        "[...root.querySelectorAll('[role=slider]')].map(one => one.getAttribute('aria-valuenow'))"
    )


def test_an_overtaken_call_that_is_cleaned_up_leaves_the_board_as_it_is(mounted):
    first = mounted.get_by_role("slider").first
    first.focus()
    first.press("End")
    mounted.wait_for_function("sent.length === 1")
    before = values(mounted)
    assert before[0] == "99"
    # The page still sends what it knew before the edit; the next call overtakes this one.
    mounted.evaluate("() => { const late = call(); late(); call(); }")
    assert values(mounted) == before
    mounted.get_by_role("button", name="Undo").click()
    mounted.get_by_role("button", name="Redo").click()
    assert values(mounted) == before
    assert mounted.evaluate("sent.at(-1)[0]") == 0.99


def test_a_board_that_leaves_the_page_sends_what_the_hand_still_holds(mounted):
    first = mounted.get_by_role("slider").first
    first.focus()
    first.press("PageUp")
    mounted.evaluate("() => { host.remove(); leave(); }")
    mounted.wait_for_function("sent.length === 1")
    assert mounted.evaluate("sent[0][0]") == 0.1


@pytest.mark.parametrize(("low", "claim"), [(0.3, "≤ 95.0 %"), (0.7, "≈ 80.0 %")])
def test_what_had_been_predicted_is_claimed_as_it_was_before_the_check(mount, low, claim):
    check = {
        "values": [0.0] * 6, "asked": [0.0] * 6, "accuracy": 0.82, "low": 0.8, "high": 0.84,
        "note": "", "problem": "", "wait_ms": 0, "other": False, "inside": True,
        "predicted": {"accuracy": 0.8, "low": low, "high": 0.95},
    }  # fmt: skip
    page = mount(check=check)
    expect(page.locator(".tile.predicted b")).to_have_text(claim)
    expect(page.locator(".tile.measured b")).to_have_text("82.0 %")


def test_undo_leads_to_the_plan_that_another_page_replaced_before_the_board_was_seen(mount):
    page = mount(former={"layer1.0.conv1": 0.4})
    undo = page.get_by_role("button", name="Undo")
    undo.click()
    assert values(page)[0] == "40"
    assert page.evaluate("sent.at(-1)[0]") == 0.4
    page.get_by_role("button", name="Redo").click()
    assert values(page)[0] == "0"


def test_without_a_former_plan_there_is_nothing_to_undo(mount):
    assert mount().get_by_role("button", name="Undo").is_disabled()


@pytest.mark.parametrize(("most", "shown"), [(0.9, 1), (0.99, 0)])
def test_the_legend_names_the_hatch_above_the_highest_level_that_was_measured(mount, most, shown):
    page = mount(most=most)
    assert page.locator(".swatch-text").filter(has_text="not measured").count() == shown


def test_the_columns_of_a_deep_network_fit_beside_the_sidebar_of_a_laptop(mount):
    page = mount(count=56, width=906)
    assert page.locator(".scroll").evaluate("box => box.scrollWidth - box.clientWidth") <= 0
