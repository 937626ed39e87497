"""Groups of coupled channels on the layers page, against networks whose coupling is known."""

import pytest

from tests.ui import digits
from tests.ui.digits import captions, texts
from workbench.groups import Group, find_groups
from workbench.loading import load_model
from workbench.plan import PruningPlan
from workbench.prune import prune
from workbench.store import DataRef, ModelRef
from workbench.ui import bench
from workbench.ui.charts import groups_figure, unit_scores_figure
from workbench.ui.charts.groups import GROUPS_TRACE, units
from workbench.ui.group_panels import layers_of
from workbench.unit_scores import rank_units

RESNET = "fashion-resnet20"
HALF = PruningPlan({"hidden.0": 0.5}, granularity="channel")


def on_the_bench(name: str) -> str:
    ws = bench.store().create_workspace()
    bench.store().save_model_ref(ws, ModelRef(name=name, sample=name))
    bench.store().save_data_ref(ws, DataRef(name="fashion-mnist", sample="fashion-mnist"))
    return ws


def test_the_residual_stream_is_one_row_and_the_classifier_says_why_not():
    found = find_groups(load_model(RESNET), "channel")
    layers = layers_of(found)
    assert layers[0] == "stem"
    assert layers[-1] == "classifier"
    figure = groups_figure(found.groups, layers, chosen=0)
    members = next(trace for trace in figure.data if trace.name == "Loses outputs")
    first = [layers[x] for x, y in zip(members.x, members.y, strict=True) if y == 0]
    assert first == ["stem", *(f"stages.0.{block}.conv2" for block in range(3))]
    fixed = next(trace for trace in figure.data if trace.name == "Cannot be cut")
    assert [layers[x] for x in fixed.x] == ["classifier"]
    assert "class scores" in figure.data[GROUPS_TRACE].customdata[-1][1]


def test_shapes_and_colours_tell_members_and_consumers_apart():
    found = find_groups(load_model(RESNET), "channel")
    marks = [trace for trace in groups_figure(found.groups, layers_of(found)).data if trace.name]
    assert len({trace.marker.symbol for trace in marks}) == len(marks) == 3
    assert len({trace.marker.color for trace in marks}) == 3


def test_many_groups_stay_on_one_screen():
    groups = [Group(f"layer{i}", "channel", 8, (f"layer{i}",)) for i in range(160)]
    figure = groups_figure(groups, [group.name for group in groups])
    assert figure.layout.height < 1700
    assert len(figure.layout.yaxis.tickvals) <= 64


def test_the_lowest_units_are_those_that_pruning_removes():
    model = digits.model()
    groups = find_groups(model, "channel")
    ranked = rank_units(model, groups, "hidden.0", "l1")
    assert list(ranked.scores) == sorted(ranked.scores)
    assert sum(ranked.scores) / len(ranked.scores) == pytest.approx(1)
    removed = set(range(128)) - set(prune(model, HALF).kept["hidden.0"].tolist())
    assert set(ranked.order[:64]) == removed


def test_the_part_that_goes_is_hatched():
    removed, kept = unit_scores_figure([0.5, 1.0, 1.5], 1, "head").data
    assert (list(removed.x), list(kept.x)) == ([1], [2, 3])
    assert removed.marker.pattern.shape
    assert [trace.name for trace in unit_scores_figure([1.0], 0, "head").data] == ["Kept"]


def test_units_have_names():
    assert units("head", 1) == "head"
    assert units("hidden unit", 96) == "hidden units"


def test_the_page_names_members_and_what_the_plan_removes(open_app):
    app = open_app(ws=digits.workspace(HALF), page="layers")
    assert not app.error
    assert "2 of 3 groups can be cut, with **192 neurons** in all." in texts(app)
    assert "**Lose outputs:** hidden.0" in captions(app)
    assert "**Lose the inputs from there:** hidden.1" in captions(app)
    assert "The plan removes 64 of 128 neurons" in captions(app)


def test_a_group_that_cannot_be_cut_says_why(open_app):
    app = open_app(ws=digits.workspace(), page="layers")
    app.selectbox(key="chosen_group").set_value("classifier").run()
    assert "class scores" in app.info[0].value
    assert "has no ranking" in captions(app)
    assert not app.error


def test_the_table_lists_every_group(open_app):
    app = open_app(ws=on_the_bench("fashion-vit"), page="layers")
    frame = next(table.value for table in app.dataframe if "units" in table.value)
    found = find_groups(load_model("fashion-vit"), "channel")
    assert list(frame["group"]) == [group.name for group in found.groups]
    assert frame["prunable"][0].startswith("norm (LayerNorm)")
    assert set(frame["unit"]) == {"channels", "heads", "neurons"}
    assert not app.error
