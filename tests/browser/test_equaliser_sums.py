"""The scripts' formulas in a real browser against Python's: what is shown is what is computed."""

import random

import pytest

from tests.browser.made_up import curves, groups, layers
from workbench.accounting import size_of_plan
from workbench.groups import find_groups
from workbench.layers import Inspection
from workbench.loading import load_model
from workbench.plan import PruningPlan
from workbench.prediction import MeasuredPlan
from workbench.ui.equaliser import Grounds, board_of
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
            "([d, rows]) => rows.map(v => [sizeOf(d, v), predict(d, v), predictFinal(d, v)])",
            [board.data, rows],
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


def check_prediction(guess, predictor, board, plan):
    """The same estimate and the same band as Python's."""
    expected = predictor.predict(board.settled(plan))
    for name, own in (
        ("loss", "loss"), ("lossLow", "loss_low"), ("lossHigh", "loss_high"),
        ("accuracy", "accuracy"), ("accuracyLow", "accuracy_low"),
        ("accuracyHigh", "accuracy_high"),
    ):  # fmt: skip
        assert guess[name] == pytest.approx(getattr(expected, own), rel=1e-11, abs=1e-13), name
    assert guess["unmeasured"] == len(expected.unmeasured)
    assert guess["extrapolated"] == len(expected.extrapolated)


def learnt(found, seed):
    """Made-up plans that were measured after two repairs."""
    choose = random.Random(seed)
    names = [group.name for group in found.prunable]
    plans = {
        repair: [
            MeasuredPlan(
                {name: 0.6 * choose.random() for name in names}, 0.4 + level, 0.88 - 0.3 * level,
                1_000, (0.3, 0.9),
            )
            for level in levels
        ]
        for repair, levels in (("bn", (0.1, 0.3, 0.9)), ("full", (0.05,)))
    }  # fmt: skip
    return Grounds("l2", "full", plans)


def near(sparsities):
    """The same plan with one group changed a little."""
    first = next(iter(sparsities))
    return dict(sparsities) | {first: sparsities[first] + 0.02}


def random_plans(found, choose, count):
    return [
        {g.name: choose.choice((*ODD, choose.random() * 0.99)) for g in found.prunable}
        for _ in range(count)
    ] + [{}]


@pytest.mark.parametrize(
    "granularity",
    [
        "weight",
        "nm:2:4",
        "nm:3:8",
        "block:4x4",
        "block:2x2:kernel",
        "subblock:2x2",
        "kernel",
        "channel",
    ],
)
@pytest.mark.parametrize(("count", "every", "multiple"), [(4, 1, 1), (22, 2, 4), (160, 1, 8)])
def test_sums_and_predictions_equal_pythons(formulas, granularity, count, every, multiple):
    inspection = Inspection(layers(count, norms=True))
    found = groups(inspection, granularity)
    board = board_of(
        found, curves(inspection, every, granularity), num_classes=10, locked={},
        channel_multiple=multiple if granularity == "channel" else 1,
        grounds=learnt(found, count) if count < 100 else None,
    )  # fmt: skip
    assert (board.final_forecast is None) == (count >= 100)
    plans = random_plans(found, random.Random(count), 20)
    if board.final_forecast:  # the plans that were measured, and one near each
        for known in learnt(found, count).plans["bn"]:
            plans += [dict(known.sparsities), near(known.sparsities)]
    for plan, (size, guess, final) in zip(plans, formulas(board, plans), strict=True):
        check_size(size, found, board, plan)
        check_prediction(guess, board.predictor, board, plan)
        if board.final_forecast:
            check_prediction(final, board.final_forecast.predictor, board, plan)


@pytest.mark.parametrize(
    "name",
    [
        "digits-mlp",
        "digits-shared",
        "fashion-resnet20",
        "fashion-mobilenet",
        "fashion-vit",
        "fashion-gru",
    ],
)
def test_channel_sums_are_exact_on_the_samples(formulas, name):
    found = find_groups(load_model(name), "channel")
    for multiple in (1, 4, 8, 16):
        board = board_of(found, None, num_classes=10, locked={}, channel_multiple=multiple)
        plans = random_plans(found, random.Random(multiple), 20)
        for plan, (size, _guess, _final) in zip(plans, formulas(board, plans), strict=True):
            check_size(size, found, board, plan)
