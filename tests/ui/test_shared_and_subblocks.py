"""The pages with a network that shares weights, and with sub-blocks of its kernels."""

import pytest

from tests.ui import digits
from tests.ui.digits import captions, texts
from tests.ui.test_plan_granularities import choose
from tests.ui.test_plan_page import board, drag, saved, select, spread
from workbench.accounting import size_of_plan
from workbench.groups import find_groups
from workbench.loading import load_model
from workbench.store import ModelRef
from workbench.ui import bench
from workbench.ui.theme import compact

NAME = "digits-shared"


@pytest.fixture
def workspace():
    ws = digits.workspace()
    bench.store().save_model_ref(ws, ModelRef(name=NAME, sample=NAME))
    return ws


def number(app, label):
    return next(one for one in app.number_input if one.label == label)


def test_the_layers_page_names_shared_weights_once(open_app, workspace):
    app = open_app(ws=workspace, page="layers")
    frame = app.dataframe[-1].value
    used = dict(zip(frame["layer"], frame["used"], strict=True))
    assert used["block.first"] == "3 times: block.first x 3"
    assert used["near"] == "2 times: near, far"
    assert used["far"] == "the weight of near"
    assert used["stem"] == ""
    assert frame["params"].sum() == 18_290
    assert "3 weights are shared: each is used several times in one pass" in texts(app)


def test_a_network_without_shared_weights_has_no_such_column(open_app):
    app = open_app(ws=digits.workspace(), page="layers")
    assert "used" not in app.dataframe[-1].value
    assert "is shared: it is used" not in texts(app)


def test_sub_blocks_have_rows_columns_and_may_overlap(open_app, workspace):
    app = choose(open_app(ws=workspace, page="plan"), "subblock")
    assert saved(app).granularity == "subblock:2x2"
    assert "every weight that no kept part covers" in captions(app)
    number(app, "Rows").set_value(3).run()
    assert saved(app).granularity == "subblock:3x2"
    next(one for one in app.toggle if one.label == "Overlapping").set_value(False).run()
    assert saved(app).granularity == "subblock:3x2:disjoint"
    reasons = {column["name"]: column["reason"] for column in board(app)["columns"]}
    assert reasons["classifier"] == "It has no kernels."


def test_sub_blocks_larger_than_every_kernel_are_refused(open_app, workspace):
    app = choose(open_app(ws=workspace, page="plan"), "subblock")
    number(app, "Columns").set_value(5).run()
    assert len(app.error) == 1
    assert "smaller than a sub-block of 2 x 5" in app.error[0].value
    assert saved(app).granularity == "subblock:2x2"


def test_sub_blocks_are_spread_and_dragged(open_app, workspace):
    app = choose(open_app(ws=workspace, page="plan"), "subblock")
    select(app, "Target").set_value("sparsity").run()
    spread(app, 60)
    plan = saved(app)
    assert plan.granularity == "subblock:2x2"
    assert set(plan.sparsities) == {"stem", "block.first", "block.second", "near"}
    drag(app, near=0.9)
    size = size_of_plan(find_groups(load_model(NAME), "subblock:2x2"), saved(app))
    assert f"**{compact(size.num_nonzero)}** of {compact(size.num_params)}" in texts(app)
