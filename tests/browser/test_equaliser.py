"""The equaliser in a real browser: hands, keys, history, protocol, and sums that equal Python's."""

import json
import math
import re
import time

import pytest
from playwright.sync_api import expect

from tests.browser import rig
from tests.browser.made_up import NASTY, curves, groups, harness_options, layers
from workbench.layers import Inspection

FIRST, PLAIN, LAST = "layer1.0.conv1", "layer1.0.conv3", "classifier"
HALF = 0.5
PATIENCE_S = 30


@pytest.fixture(scope="module")
def harness(start_server):
    return start_server(**harness_options())


@pytest.fixture
def open_board(harness, open_page):
    """Open the test page with a query such as ``n=22``; wait until the columns stand."""

    def open_one(query="", sent=None, **options):
        page = open_page(**options)
        if sent is not None:  # every message of the page to the server
            page.on("websocket", lambda s: s.on("framesent", lambda frame: sent.append(frame)))
        page.goto(f"{harness.url}/?{query}")
        expect(column(page, FIRST)).to_be_visible(timeout=120_000)
        rig.settled(page)
        return page

    return open_one


def column(page, name):
    return page.get_by_role("slider", name=name, exact=True)


def tile(page, name):
    return page.locator(f".tile.{name} b")


def place(page, name, value):
    """Window coordinates of a sparsity on a column."""
    box = column(page, name).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] * (1 - value)


def drag(page, name, value, steps=5):
    """Take hold in the lower half of a column and let go at a sparsity."""
    page.mouse.move(*place(page, name, 0.3))
    page.mouse.down()
    page.mouse.move(*place(page, name, value), steps=steps)
    page.mouse.up()


def on_server(page) -> dict:
    """What the server last computed."""
    rig.settled(page)
    return json.loads(page.get_by_test_id("stCode").inner_text())


def expect_plan(page, plan) -> dict:
    """Wait until the server holds a plan; return what it computed from it."""
    deadline = time.monotonic() + PATIENCE_S
    while (server := on_server(page))["plan"] != plan and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert server["plan"] == plan
    return server


def near(value):
    """A sparsity set by a pointer: one pixel is half a percent."""
    return pytest.approx(value, abs=0.011)


def expect_value(page, name, percent):
    expect(column(page, name)).to_have_attribute("aria-valuenow", str(percent))


def test_every_layer_is_a_named_slider_and_names_stay_text(open_board):
    page = open_board("n=22")
    names = [layer.layer_name for layer in layers(22, norms=False)]
    labels = page.get_by_role("slider").evaluate_all(
        "all => all.map(one => one.getAttribute('aria-label'))"
    )
    assert labels == names
    assert f"layer1.{NASTY}" in labels
    assert page.title() == "Plan"  # the name that would run as HTML has not run
    column(page, f"layer1.{NASTY}").focus()
    expect(page.locator(".detail-name")).to_have_text(f"layer1.{NASTY}")


def test_totals_follow_the_hand_before_it_lets_go_and_one_message_tells_the_server(open_board):
    sent = []
    page = open_board("n=22", sent)
    before = on_server(page)
    shown = tile(page, "nonzero").inner_text()
    page.mouse.move(*place(page, PLAIN, 0.3))
    page.mouse.down()
    sent.clear()
    page.mouse.move(*place(page, PLAIN, 0.8), steps=20)
    expect_value(page, PLAIN, 80)
    expect(tile(page, "nonzero")).not_to_have_text(shown)
    expect(tile(page, "predicted")).to_have_text(re.compile(r"^[≈≤] \d+\.\d %$"))
    assert sent == []
    assert on_server(page)["num_nonzero"] == before["num_nonzero"]
    page.mouse.up()
    expect(page.get_by_test_id("stMetricValue")).not_to_have_text(f"{before['num_nonzero']:,}")
    after = expect_plan(page, {PLAIN: near(0.8)})
    assert after["edits"] == 1
    assert len(sent) == 1


def test_what_the_page_shows_is_what_the_server_computes(open_board):
    page = open_board("n=22")
    page.get_by_role("button", name="Wave").click()
    wave = on_server(page)["plan"]
    drag(page, PLAIN, 0.6)
    server = expect_plan(page, wave | {PLAIN: near(0.6)})
    assert tile(page, "nonzero").inner_text() == f"{server['num_nonzero'] / 1e3:.0f} k"
    assert tile(page, "compression").inner_text() == f"{server['compression_ratio']:.2f}×"
    assert tile(page, "speedup").inner_text() == f"{server['theoretical_speedup']:.2f}×"
    assert tile(page, "predicted").inner_text() == f"≈ {100 * server['accuracy']:.1f} %"
    low, high = (100 * server[f"accuracy_{end}"] for end in ("low", "high"))
    assert page.locator(".tile.predicted .band").inner_text() == f"({low:.1f} to {high:.1f})"


def test_where_the_band_says_little_only_its_upper_end_is_claimed(open_board):
    page = open_board("n=22")
    page.get_by_role("button", name="Uniform 50 %").click()
    expect(page.locator(".tile.predicted .note")).to_contain_text("at most: too much is cut")
    server = on_server(page)
    low, high = (100 * server[f"accuracy_{end}"] for end in ("low", "high"))
    assert high - low > 40
    assert tile(page, "predicted").inner_text() == f"≤ {high:.1f} %"
    assert page.locator(".tile.predicted .band").inner_text() == f"({low:.1f} to {high:.1f})"


def test_arrow_keys_page_keys_home_and_end_change_the_value(open_board):
    page = open_board("n=22")
    column(page, PLAIN).focus()
    for key, percent in (
        ("ArrowUp", 1), ("ArrowUp", 2), ("Shift+ArrowUp", 12), ("PageUp", 22), ("ArrowDown", 21),
        ("Shift+ArrowDown", 11), ("PageDown", 1), ("End", 99), ("Home", 0), ("ArrowDown", 0),
        ("PageUp", 10),
    ):  # fmt: skip
        page.keyboard.press(key)
        expect_value(page, PLAIN, percent)
    expect_plan(page, {PLAIN: 0.1})


def test_the_board_is_one_tab_stop_and_left_and_right_reach_every_layer(open_board):
    page = open_board("n=22")
    stops = page.get_by_role("slider").evaluate_all(
        "all => all.filter(one => one.tabIndex === 0).map(one => one.getAttribute('aria-label'))"
    )
    assert stops == [FIRST]
    column(page, FIRST).focus()
    page.keyboard.press("ArrowLeft")
    expect(column(page, FIRST)).to_be_focused()
    for _ in range(21):
        page.keyboard.press("ArrowRight")
    expect(column(page, LAST)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(column(page, LAST)).to_be_focused()


def test_a_locked_layer_says_why_on_focus_and_on_hover_and_never_moves(open_board):
    page = open_board("n=22")
    locked = column(page, LAST)
    expect(locked).to_have_attribute("aria-disabled", "true")
    expect(locked).to_have_attribute("aria-valuetext", re.compile("classifier is protected"))
    locked.focus()
    expect(page.locator(".cost")).to_contain_text("The classifier is protected")
    expect(page.get_by_role("spinbutton")).to_be_disabled()
    page.keyboard.press("End")
    drag(page, LAST, 0.7)
    expect_value(page, LAST, 0)
    column(page, FIRST).focus()
    expect(page.locator(".cost")).not_to_contain_text("protected")
    page.mouse.move(*place(page, LAST, 0.5))
    expect(page.locator(".flag")).to_contain_text("The classifier is protected")
    expect_plan(page, {})


def test_a_layer_that_cannot_be_pruned_is_shown_with_its_reason(open_board):
    page = open_board("n=12&norms=1")
    norm = column(page, "layer1.0.conv1.bn")
    expect(norm).to_have_attribute("aria-disabled", "true")
    norm.focus()
    expect(page.locator(".cost")).to_have_text(re.compile("Cannot be pruned: Normalisation"))
    expect(page.get_by_role("spinbutton")).to_be_hidden()


@pytest.mark.parametrize("way", ["Shift", "Brush"])
def test_a_stroke_paints_every_unlocked_column_it_crosses(open_board, way):
    page = open_board("n=22")
    if way == "Brush":
        page.get_by_role("button", name="Brush").click()
    else:
        page.keyboard.down("Shift")
    page.mouse.move(*place(page, FIRST, 0.4))
    page.mouse.down()
    page.mouse.move(*place(page, LAST, 0.6), steps=3)  # three leaps over 21 columns
    page.mouse.up()
    if way == "Shift":
        page.keyboard.up("Shift")
    expect(page.get_by_test_id("stMetricValue")).not_to_have_text("873,472")
    server = on_server(page)
    assert server["edits"] == 1
    names = [layer.layer_name for layer in layers(22, norms=False)]
    assert list(server["plan"]) == names[:-1]
    painted = list(server["plan"].values())
    assert painted == sorted(painted)
    assert painted[0] == pytest.approx(0.4, abs=0.02)
    assert painted[-1] == pytest.approx(0.6, abs=0.02)


def test_values_the_hand_did_not_touch_come_back_to_the_last_bit(open_board):
    page = open_board("n=22")
    page.get_by_role("button", name="Wave").click()
    expect_value(page, FIRST, 45)
    rig.settled(page)
    pushed = on_server(page)["plan"]
    drag(page, PLAIN, 0.8)
    expect_value(page, PLAIN, 80)
    expect_plan(page, pushed | {PLAIN: near(0.8)})
    page.get_by_role("button", name="Undo").click()
    expect_value(page, PLAIN, round(100 * pushed[PLAIN]))
    expect_plan(page, pushed)


def test_an_exact_value_can_be_typed(open_board):
    page = open_board("n=22")
    column(page, PLAIN).focus()
    field = page.get_by_role("spinbutton", name=f"Sparsity of {PLAIN} in percent")
    field.fill("61.23")
    expect_value(page, PLAIN, 61)
    expect_plan(page, {})  # typing is not yet a decision
    field.press("Enter")
    expect_plan(page, {PLAIN: pytest.approx(0.6123, abs=1e-12)})
    field.fill("250")
    field.press("Enter")
    expect_value(page, PLAIN, 99)
    expect(field).to_have_value("99")


def test_undo_redo_reset_and_double_click(open_board):
    page = open_board("n=22")
    undo, redo = (page.get_by_role("button", name=name) for name in ("Undo", "Redo"))
    expect(undo).to_be_disabled()
    drag(page, FIRST, 0.4)
    drag(page, PLAIN, 0.7)
    page.keyboard.press("Control+z")
    expect_value(page, PLAIN, 0)
    expect_value(page, FIRST, 40)
    page.keyboard.press("Control+Shift+Z")
    expect_value(page, PLAIN, 70)
    page.mouse.dblclick(*place(page, PLAIN, 0.3))
    expect_value(page, PLAIN, 0)
    page.keyboard.press("Control+z")  # both presses were one step
    expect_value(page, PLAIN, 70)
    page.get_by_role("button", name="Reset").click()
    expect_value(page, FIRST, 0)
    expect(page.get_by_role("button", name="Reset")).to_be_disabled()
    expect_plan(page, {})
    undo.click()
    expect_value(page, FIRST, 40)
    redo.click()
    expect_value(page, FIRST, 0)
    expect_plan(page, {})


def test_plan_and_history_survive_another_page(open_board):
    page = open_board("n=22")
    drag(page, PLAIN, 0.7)
    expect_value(page, PLAIN, 70)
    rig.settled(page)
    page.get_by_role("link", name="Other").click()
    expect(page.get_by_role("heading", name="Other")).to_be_visible()
    page.get_by_role("link", name="Plan").click()
    expect_value(page, PLAIN, 70)
    page.get_by_role("button", name="Undo").click()
    expect_value(page, PLAIN, 0)
    expect_plan(page, {})


def test_a_preset_can_be_undone(open_board):
    page = open_board("n=22")
    drag(page, PLAIN, 0.7)
    rig.settled(page)
    page.get_by_role("button", name="Uniform 50 %").click()
    expect_value(page, FIRST, 50)
    page.get_by_role("button", name="Undo").click()
    expect_value(page, FIRST, 0)
    expect_value(page, PLAIN, 70)
    expect_plan(page, {PLAIN: near(0.7)})


def test_a_preset_during_a_drag_waits_and_the_hand_keeps_its_column(open_board):
    page = open_board("n=22")
    page.mouse.move(*place(page, PLAIN, 0.3))
    page.mouse.down()
    page.mouse.move(*place(page, PLAIN, 0.7), steps=3)
    page.get_by_role("button", name="Uniform 50 %").evaluate("button => button.click()")
    names = [layer.layer_name for layer in layers(22, norms=False)]
    preset = dict.fromkeys(names[:-1], HALF)
    expect_plan(page, preset)
    expect_value(page, PLAIN, 70)
    expect_value(page, FIRST, 0)
    page.mouse.up()
    expect_value(page, PLAIN, 70)
    expect_value(page, FIRST, 50)
    expect_plan(page, preset | {PLAIN: near(0.7)})


def test_a_measured_number_is_marked_once_the_plan_is_another(open_board):
    page = open_board("n=22")
    expect(page.locator(".tile.measured")).to_contain_text("belongs to another plan")
    page.get_by_role("button", name="Uniform 50 %").click()
    expect(page.locator(".tile.measured")).to_contain_text("89.5–90.7 %, 10,000 images")
    page.mouse.move(*place(page, PLAIN, 0.3))
    page.mouse.down()
    page.mouse.move(*place(page, PLAIN, 0.8))
    expect(page.locator(".tile.measured")).to_contain_text("belongs to another plan")
    page.mouse.up()


def test_what_was_not_measured_says_so(open_board):
    page = open_board("n=22&partial=1")
    unmeasured = f"layer1.{NASTY}"
    column(page, unmeasured).focus()
    expect(page.locator(".cost")).to_have_text("Alone: not measured")
    page.keyboard.press("PageUp")
    expect(column(page, unmeasured)).to_have_attribute(
        "aria-valuetext", "10 percent pruned, cost not measured"
    )
    expect(page.locator(".tile.predicted")).to_contain_text("at best: cut but not measured: 1")
    page = open_board("n=22&measured=0")
    expect(page.locator(".tile.predicted")).to_contain_text("Measure the sensitivity first")


def test_a_channel_column_moves_in_whole_channels_and_totals_are_the_servers(open_board):
    page = open_board("n=12&g=channel")
    column(page, FIRST).focus()
    for key, percent, count in (
        ("ArrowUp", 6, 15), ("ArrowUp", 13, 14), ("PageUp", 25, 12), ("ArrowDown", 19, 13),
        ("End", 94, 1), ("ArrowUp", 94, 1), ("Home", 0, 16), ("Shift+ArrowUp", 13, 14),
    ):  # fmt: skip
        page.keyboard.press(key)
        text = re.compile(rf"percent pruned, {count} of 16 channels")
        expect(column(page, FIRST)).to_have_attribute("aria-valuetext", text)
        expect_value(page, FIRST, percent)
    server = expect_plan(page, {FIRST: 2 / 16})
    assert tile(page, "nonzero").inner_text() == f"{server['num_nonzero'] / 1e3:.0f} k"
    assert tile(page, "bytes").inner_text().startswith(f"{server['bytes'] / 1e6:.2f}")
    assert server["bytes"] == 4 * server["num_nonzero"]
    drag(page, FIRST, 0.61)
    expect_value(page, FIRST, 63)
    expect_plan(page, {FIRST: 10 / 16})


def test_the_layers_of_a_group_are_marked_and_named(open_board):
    page = open_board("n=12&g=channel")
    coupled = next(
        group for group in groups(Inspection(layers(12, norms=False)), "channel").prunable
        if len(group.layers) > 1
    )  # fmt: skip
    column(page, coupled.name).focus()
    expect(page.locator(".together")).to_have_text(f"Cut together: {', '.join(coupled.layers)}")
    expect(page.locator(".losers")).to_have_text(f"Shrink with it: {', '.join(coupled.consumers)}")
    marked = page.locator(".lane .cell.producer").evaluate_all("all => all.map(one => one.title)")
    assert [title.split("  ")[0] for title in marked] == list(coupled.layers)
    page.locator(".lane .cell").first.click()
    expect(page.locator(".detail-name")).to_have_text(FIRST)
    page.mouse.move(*place(page, coupled.name, 0.5))
    expect(page.locator(".lane .cell.producer")).to_have_count(len(coupled.layers))


def test_a_group_that_cannot_be_cut_says_why_on_focus_and_on_hover(open_board):
    page = open_board("n=12&g=channel")
    column(page, LAST).focus()
    expect(page.locator(".cost")).to_have_text("Cannot be cut: Its outputs are the class scores.")
    column(page, FIRST).focus()
    page.mouse.move(*place(page, LAST, 0.5))
    expect(page.locator(".flag")).to_contain_text("Its outputs are the class scores.")
    drag(page, LAST, 0.7)
    expect_value(page, LAST, 0)
    expect_plan(page, {})


def test_an_nm_column_has_two_places(open_board):
    page = open_board("n=12&g=nm:2:4")
    drag(page, PLAIN, 0.8)
    expect_value(page, PLAIN, 50)
    expect_plan(page, {PLAIN: HALF})
    column(page, PLAIN).focus()
    page.keyboard.press("ArrowDown")
    expect_value(page, PLAIN, 0)
    page.keyboard.press("ArrowUp")
    expect_value(page, PLAIN, 50)


def test_undo_leads_back_over_another_granularity_and_rounding(open_board):
    page = open_board("n=12")
    undo, redo = (page.get_by_role("button", name=name) for name in ("Undo", "Redo"))
    drag(page, PLAIN, 0.7)
    weights = expect_plan(page, {PLAIN: near(0.7)})
    page.get_by_role("button", name="Channels").click()
    expect(page.locator(".lane .cell").first).to_be_visible()
    drag(page, FIRST, 0.3)
    channels = expect_plan(page, {FIRST: 5 / 16})
    assert channels["kind"] == ["channel", 1]
    page.get_by_role("button", name="Multiples of 8").click()
    expect_value(page, FIRST, 50)  # 8 of 16 is nearer to 11 than 16 is
    assert expect_plan(page, {FIRST: 5 / 16})["kind"] == ["channel", 8]
    for expected in (channels, {"plan": {}, "kind": ["channel", 1]}, weights):
        undo.click()
        assert expect_plan(page, expected["plan"])["kind"] == expected["kind"]
    expect(page.locator(".lane")).to_have_count(0)
    expect_value(page, PLAIN, 70)
    for expected in ({"plan": {}, "kind": ["channel", 1]}, channels):
        redo.click()
        assert expect_plan(page, expected["plan"])["kind"] == expected["kind"]
    redo.click()
    expect_value(page, FIRST, 50)
    expect(redo).to_be_disabled()


def test_the_cost_alone_names_its_interval_and_images(open_board):
    page = open_board("n=22")
    column(page, PLAIN).focus()
    for _ in range(4):
        page.keyboard.press("PageUp")
    expect(page.locator(".cost")).to_have_text(
        re.compile(r"costs [\d.]+ points, measured: [\d.]+ % \[[\d.]+–[\d.]+\], 1,000 images")
    )
    page.keyboard.press("ArrowUp")
    expect(page.locator(".cost")).to_have_text(re.compile(r"costs ≈ .* between levels; at 40 %"))


@pytest.mark.parametrize("count", [4, 160])
def test_few_and_many_layers_fit_and_keep_their_place(open_board, count):
    page = open_board(f"n={count}")
    expect(page.get_by_role("slider")).to_have_count(count)
    height = page.locator(".equaliser").bounding_box()["height"]
    drag(page, FIRST, 0.9)
    assert page.locator(".equaliser").bounding_box()["height"] == height
    scroll = page.locator(".scroll").evaluate("box => box.scrollWidth - box.clientWidth")
    assert scroll <= 0


def test_a_narrow_window_scrolls_the_board_and_not_the_page(open_board):
    page = open_board("n=54", viewport={"width": 420, "height": 800})
    assert page.locator(".scroll").evaluate("box => box.scrollWidth - box.clientWidth") > 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_finger_drags_a_column_and_a_swipe_sideways_changes_nothing(open_board):
    page = open_board("n=12", has_touch=True, viewport={"width": 900, "height": 900})
    session = page.context.new_cdp_session(page)

    def touch(kind, *points):
        session.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]},
        )

    column(page, PLAIN).scroll_into_view_if_needed()
    touch("touchStart", place(page, PLAIN, 0.2))
    for value in (0.3, 0.4, 0.5, 0.6):
        touch("touchMove", place(page, PLAIN, value))
    touch("touchEnd")
    expect_value(page, PLAIN, 60)
    plan = {PLAIN: near(0.6)}
    expect_plan(page, plan)
    x, y = place(page, FIRST, 0.5)
    touch("touchStart", (x, y))
    for step in range(1, 6):
        touch("touchMove", (x + 30 * step, y))
    touch("touchCancel")
    expect_value(page, FIRST, 0)
    expect_plan(page, plan)


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_the_damage_scale_reads_in_greyscale(open_board, color_scheme):
    page = open_board("n=4")
    lightness = page.locator(".equaliser").evaluate(
        """root => Array.from({ length: 31 }, (_, i) => {
            const place = i / 10, k = Math.min(2, Math.floor(place));
            const share = Math.round((place - k) * 100);
            const probe = document.createElement("i");
            const [from, to] = [`var(--damage-${k})`, `var(--damage-${k + 1})`];
            probe.style.color = `color-mix(in oklab, ${from}, ${to} ${share}%)`;
            root.append(probe);
            const [, l] = /oklab\\(([\\d.]+)/.exec(getComputedStyle(probe).color);
            probe.remove();
            return Number(l);
        })"""
    )
    order = sorted(lightness, reverse=color_scheme == "light")
    assert lightness == order
    assert abs(lightness[0] - lightness[-1]) > 0.4


def test_the_scale_ends_at_the_worst_measured_loss_of_a_layer_that_can_move(open_board):
    found = curves(Inspection(layers(22, norms=False)), every=1)
    worst = max(
        found.baseline.accuracy - point.accuracy for point in found.points if point.group != LAST
    )
    page = open_board("n=22")
    ticks = page.locator(".scale-ticks span").all_inner_texts()
    assert ticks[0] == "0"
    assert ticks[-1].removesuffix("+") == f"{100 * worst:.0f}"
    assert [float(tick) for tick in ticks[:-1]] == sorted(float(tick) for tick in ticks[:-1])


def test_forced_colours_keep_the_columns_visible(open_board):
    page = open_board("n=12", forced_colors="active", reduced_motion="reduce")
    column_border = column(page, PLAIN).evaluate("one => getComputedStyle(one).borderTopWidth")
    assert column_border == "1px"
    back, front = (
        one.evaluate("one => getComputedStyle(one).backgroundColor")
        for one in (column(page, PLAIN), column(page, PLAIN).locator(".thumb"))
    )
    assert back != front


def test_text_is_never_smaller_than_eleven_pixels(open_board):
    page = open_board("n=22")
    sizes = page.locator(".equaliser").evaluate(
        """root => [...root.querySelectorAll("*")]
            .filter(one => [...one.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
            .map(one => [parseFloat(getComputedStyle(one).fontSize), one.className])
            .filter(([size, name]) => size < 11 && name !== "thumb")"""
    )
    assert sizes == []


def test_the_made_up_layers_are_what_the_tests_say():
    made = layers(22, norms=False)
    assert (made[0].layer_name, made[-1].layer_name) == (FIRST, LAST)
    assert made[2].layer_name == PLAIN
    assert sum(layer.num_params for layer in made) == 873_472
    assert all(math.prod(layer.shape) == layer.num_weights for layer in made)
