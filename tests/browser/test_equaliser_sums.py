"""The scripts' formulas in a real browser against Python's: what is shown is what is computed."""

import random

import pytest

from tests.browser.made_up import curves, groups, layers
from workbench.accounting import size_of_plan
from workbench.groups import find_groups
from workbench.layers import Inspection
from workbench.loading import load_model
from workbench.plan import PruningPlan
from workbench.ui.equaliser import board_of
from workbench.ui.equaliser.static import FOLDER

ODD = (0.0, 1e-9, 0.25, 1 / 3, 0.5, 0.99)


@pytest.fixture
def formulas(page):
    """``formulas(board, plans)`` gives size and prediction of every plan."""
    page.goto("about:blank")
    page.add_script_tag(content=(FOLDER / "predict.js").read_text("utf-8"))

    def compute(board, plans):
        rows = [[plan.get(name, 0.0) for name in board.names] for plan in plans]
        return page.evaluate(
            "([d, rows]) => rows.map(v => [sizeOf(d, v), predict(d, v)])", [board.data, rows]
        )

    return compute


def check_size(size, found, board, plan):
    """What the scripts computed is what Python computes, to the last unit."""
    expected = size_of_plan(
        found, PruningPlan(plan, board.granularity, channel_multiple=board.channel_multiple)
    )
    assert size["nonzero"] == expected.num_nonzero
    assert size["macs"] == expected.macs
    assert size["bytes"] == expected.bytes
    assert size["compression"] == pytest.approx(expected.compression_ratio, rel=1e-12)
    ratio = expected.compression_ratio_bytes
    assert size["compressionBytes"] == pytest.approx(ratio, rel=1e-12)
    assert size["speedup"] == pytest.approx(expected.theoretical_speedup, rel=1e-12)


def random_plans(found, choose, count):
    return [
        {g.name: choose.choice((*ODD, choose.random() * 0.99)) for g in found.prunable}
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    "granularity",
    ["weight", "nm:2:4", "nm:3:8", "block:4x4", "block:2x2:kernel", "kernel", "channel"],
)
@pytest.mark.parametrize(("count", "every", "multiple"), [(4, 1, 1), (22, 2, 4), (160, 1, 8)])
def test_sums_and_predictions_equal_pythons(formulas, granularity, count, every, multiple):
    inspection = Inspection(layers(count, norms=True))
    found = groups(inspection, granularity)
    board = board_of(
        found, curves(inspection, every, granularity), num_classes=10, locked={},
        channel_multiple=multiple if granularity == "channel" else 1,
    )  # fmt: skip
    plans = random_plans(found, random.Random(count), 20)
    for plan, (size, guess) in zip(plans, formulas(board, plans), strict=True):
        check_size(size, found, board, plan)
        prediction = board.predictor.predict(board.settled(plan))
        assert guess["loss"] == pytest.approx(prediction.loss, rel=1e-12)
        assert guess["accuracy"] == pytest.approx(prediction.accuracy, rel=1e-12)
        assert guess["unmeasured"] == len(prediction.unmeasured)
        assert guess["extrapolated"] == len(prediction.extrapolated)


@pytest.mark.parametrize(
    "name", ["digits-mlp", "fashion-resnet20", "fashion-mobilenet", "fashion-vit", "fashion-gru"]
)
def test_channel_sums_are_exact_on_the_samples(formulas, name):
    found = find_groups(load_model(name), "channel")
    for multiple in (1, 4, 8, 16):
        board = board_of(found, None, num_classes=10, locked={}, channel_multiple=multiple)
        plans = random_plans(found, random.Random(multiple), 20)
        for plan, (size, _guess) in zip(plans, formulas(board, plans), strict=True):
            check_size(size, found, board, plan)
