"""The quantise page in a real browser: choose, start, read the proof, take the file away."""

import re

from playwright.sync_api import expect

from tests.browser import hands, rig
from tests.ui import digits
from workbench.compression import load_compressed
from workbench.store import Store


def test_a_pruned_run_becomes_a_compressed_file_that_a_reload_keeps(server, page, tmp_path):
    store = Store(server.home)
    ws = digits.workspace(digits.uniform(0.8), store=store)
    digits.add_run(ws, digits.uniform(0.8), store=store)
    hands.open_at(page, server, "/quantise", ws)
    expect(page.get_by_text("Nothing has been put in the place of these weights")).to_be_visible()
    main = page.get_by_test_id("stMain")
    main.get_by_role("button", name="8 bits, static", exact=True).click()  # it was chosen
    main.get_by_role("button", name="4", exact=True).first.click()
    hands.press(page, "Quantise and measure")
    hands.ends(page, "Quantising Run 1")
    expect(page.get_by_text("Proof: every weight that was zero is exactly zero")).to_be_visible()
    expect(page.get_by_label(re.compile("^Test accuracy against bytes on disk"))).to_be_visible()
    page.reload()
    rig.settled(page)
    with page.expect_download() as download:
        main.get_by_role("button", name="Download cluster-4.pwc").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    restored = load_compressed(path)
    zeros = sum(int((w == 0).sum()) for w in restored.module.parameters() if w.ndim >= 2)
    assert zeros >= 0.7 * 17_024
    rig.has_no_error_box(page)
