"""The equaliser's Python side: what it lays out and which edits it lets in."""

import json
import math

import pytest
from streamlit.testing.v1 import AppTest

from tests.browser.made_up import curves, groups, layers
from workbench.groups import layer_groups
from workbench.layers import Inspection
from workbench.plan import PruningPlan, digest_of_json
from workbench.ui.equaliser import (
    MAX_SPARSITY,
    Board,
    Column,
    board_of,
    parse_return,
    protected_locks,
)
from workbench.ui.equaliser.board import stages_of
from workbench.ui.equaliser.protocol import asked_board, parse_edit
from workbench.ui.equaliser.static import script
from workbench.ui.equaliser.text import words

NAMES = ("conv1", "conv2", "classifier")
BOARD = Board(
    tuple(Column(name, name, "", "", 100, 1, reason="Held." * (i == 2))
          for i, name in enumerate(NAMES)),
    300, 3,
)  # fmt: skip
EXACT = 0.1 + 0.2  # no short decimal: it must come back as it went


def message(values, granularity="weight", multiple=1):
    return {"revision": 3, "granularity": granularity, "multiple": multiple, "values": values}


def parse(values, current=None, revision=3):
    return parse_edit(message(values), BOARD, current or {}, revision)


def test_a_sound_edit_is_read_to_the_last_bit():
    edit = parse(json.loads(json.dumps([EXACT, 0.0, 0.0])))
    assert dict(edit.sparsities) == {"conv1": EXACT}
    assert PruningPlan(edit.sparsities).sparsities["conv1"] == EXACT


def test_an_edit_that_changes_nothing_is_none():
    assert parse([EXACT, 0.0, 0.0], {"conv1": EXACT, "conv2": 0.0}) is None


def test_an_edit_of_an_older_revision_is_none():
    assert parse([0.5, 0.0, 0.0], revision=4) is None


def test_a_locked_column_keeps_its_value():
    assert parse([0.5, 0.0, 0.1]) is None
    edit = parse([0.5, 0.0, 0.3], {"classifier": 0.3})
    assert dict(edit.sparsities) == {"conv1": 0.5, "classifier": 0.3}


def test_a_value_beyond_the_hands_reach_may_stay_but_not_come():
    high = 0.999
    assert parse([high, 0.0, 0.0]) is None
    assert dict(parse([high, 0.5, 0.0], {"conv1": high}).sparsities) == {
        "conv1": high,
        "conv2": 0.5,
    }


@pytest.mark.parametrize(
    "values",
    [
        [0.5, 0.0], [0.5, 0.0, 0.0, 0.0], "0.5", None, 7, {"conv1": 0.5}, ["0.5", 0.0, 0.0],
        [None, 0.0, 0.0], [True, 0.0, 0.0], [-0.1, 0.0, 0.0], [1.0, 0.0, 0.0], [math.nan, 0.0, 0.0],
        [math.inf, 0.0, 0.0], [[0.5], 0.0, 0.0],
    ],
)  # fmt: skip
def test_unsound_values_are_refused(values):
    assert parse(values) is None
    assert parse([0.5, 0.0, 0.0]) is not None  # the same message is let in with sound values


@pytest.mark.parametrize(
    "sent",
    [
        None, [], "edit", {}, {"values": [0.5, 0.0, 0.0]}, message([0.5, 0, 0], None),
        message([0.5, 0, 0], "magic"), message([0.5, 0, 0], ["weight"]),
        message([0.5, 0, 0], "weight", 8), message([0.5, 0, 0], "channel", 0),
        message([0.5, 0, 0], "channel", 1000), message([0.5, 0, 0], "channel", True),
        message([0.5, 0, 0], "channel", "8"),
    ],
)  # fmt: skip
def test_unsound_messages_are_refused(sent):
    assert asked_board(sent, 3) is None
    assert parse_edit(sent, BOARD, {}, 3) is None


def test_a_message_for_other_columns_is_no_edit_but_may_lead_back():
    sent = message([0.5, 0.999, 0.0], "channel", 8)
    assert asked_board(sent, 3) == ("channel", 8)
    assert asked_board(sent, 4) is None
    assert parse_edit(sent, BOARD, {}, 3) is None
    other = Board(BOARD.columns, 300, 3, granularity="channel", channel_multiple=8)
    edit = parse_return(sent, other, {})
    assert dict(edit.sparsities) == {"conv1": 0.5, "conv2": 0.999}
    assert (edit.granularity, edit.channel_multiple) == ("channel", 8)
    assert parse_return(message([0, 0, 0.5], "channel", 8), other, {}) is None
    assert parse_return(message([0, 0, 0.5], "channel", 8), other, {"classifier": 0.5})
    assert parse_return(message([0, 0], "channel", 8), other, {}) is None


@pytest.mark.parametrize(
    ("names", "stages"),
    [
        (["layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2", "fc"],
         ["layer1", "layer1", "layer2", "layer2", ""]),
        (["stem", "stages.0.0.conv1", "stages.0.0.conv2", "stages.1.0.conv1", "stages.1.0.conv2"],
         ["", "stages.0", "stages.0", "stages.1", "stages.1"]),
        (["features.0", "features.3", "features.6", "classifier.1", "classifier.4"],
         ["features", "features", "features", "classifier", "classifier"]),
        (["gru.weight_ih_l0", "gru.weight_hh_l0", "classifier"], ["gru", "gru", ""]),
        (["only"], [""]),
        ([], []),
    ],
)  # fmt: skip
def test_stages_are_read_from_the_names(names, stages):
    assert [stages_of(names)[name] for name in names] == stages


def test_the_board_holds_every_layer_and_says_why_one_is_locked():
    inspection = Inspection(layers(12, norms=True))
    found = layer_groups(inspection)
    board = board_of(found, None, num_classes=10, locked=protected_locks(found))
    assert board.names == tuple(layer.layer_name for layer in inspection.layers)
    reasons = {column.name: column.reason for column in board.columns}
    assert "classifier is protected" in reasons["classifier"]
    assert reasons["layer1.0.conv1"] == ""
    assert "Normalisation" in reasons["layer1.0.conv1.bn"]
    assert board.locked == {name for name, reason in reasons.items() if reason}
    assert board.predictor is None
    assert sum(c.num_weights for c in board.columns if c.prunable) < board.num_params


def test_layers_that_cannot_be_pruned_are_counted_where_there_is_no_room():
    inspection = Inspection(layers(80, norms=True))
    board = board_of(layer_groups(inspection), None, num_classes=10, locked={})
    assert len(board.columns) == 80
    assert sum(board.hidden.values()) == 79


def test_the_data_change_with_the_curves_and_the_locks_and_are_plain_json():
    inspection = Inspection(layers(12, norms=False))
    found = curves(inspection, every=2)
    made = [
        board_of(layer_groups(inspection), curve, num_classes=10, locked=locked).data
        for curve in (None, found)
        for locked in ({}, {"layer1.0.conv1": "Held."})
    ]
    assert len({data["digest"] for data in made}) == 4
    assert len({data["board"] for data in made}) == 1
    assert digest_of_json(json.loads(json.dumps(made))) == digest_of_json(made)
    measured = [bool(column["points"]) for column in made[-1]["columns"]]
    assert measured == [i % 2 == 0 for i in range(12)]


def test_a_channel_board_holds_one_column_a_group_and_its_layers():
    found = groups(Inspection(layers(12, norms=False)), "channel")
    board = board_of(found, None, num_classes=10, locked={})
    assert board.names == tuple(group.name for group in found.groups)
    coupled = next(column for column in board.columns if len(column.layers) > 1)
    assert coupled.kind == f"{coupled.num_units} channels across 2 layers"
    assert board.columns[-1].reason == "Its outputs are the class scores."
    assert [name for name, _kind in board.layers] == [
        layer.layer_name for layer in found.inspection.layers
    ]
    places = {place for _params, _macs, places in board.terms for place in places}
    assert places == set(range(len(board.columns) - 1))


@pytest.mark.parametrize("multiple", [1, 4, 8, 16])
def test_a_column_settles_where_the_plan_cuts(multiple):
    found = groups(Inspection(layers(12, norms=False)), "channel")
    board = board_of(found, None, num_classes=10, locked={}, channel_multiple=multiple)
    for column in board.columns[:-1]:
        for step in range(100):
            value = column.settled(step / 100, multiple)
            gone = found.num_pruned(column.name, step / 100, multiple)
            assert value == gone / column.num_units
            assert value <= column.most
            assert column.settled(value, multiple) == value


def test_a_group_with_no_smaller_multiple_says_so():
    found = groups(Inspection(layers(12, norms=False)), "channel")
    board = board_of(found, None, num_classes=10, locked={}, channel_multiple=16)
    reason = board.columns[0].reason
    assert reason == "It has 16 channels, no multiple of 16 that is less: all of it stays."


def test_an_nm_column_has_two_places():
    found = groups(Inspection(layers(12, norms=False)), "nm:2:4")
    board = board_of(found, None, num_classes=10, locked={})
    column = board.columns[0]
    assert (column.thinned, column.most) == (0.5, 0.5)
    assert column.thinned_weights == column.num_weights // 2
    assert [column.settled(value) for value in (0, 0.24, 0.25, 0.9)] == [0, 0, 0.5, 0.5]


def test_the_scripts_use_every_word_and_no_other():
    assert set(words("channel")) == set(words())
    used = {name for name in words() if f"text.{name}" in script()}
    indirect = {f"{tile}{end}" for tile in TILES for end in ("", "_help")}
    indirect |= {f"{name}{end}" for name in TOOLS for end in ("", "_help")}
    assert used | indirect == set(words())


TILES = ("nonzero", "macs", "bytes", "compression", "speedup", "sparsity")
TOOLS = ("undo", "redo", "reset", "brush")


def test_the_component_mounts_and_returns_the_edit():
    app = AppTest.from_function(page, default_timeout=60).run()
    assert not app.exception
    (component,) = app.get("bidi_component")
    data = json.loads(component.proto.json)
    assert data["revision"] == 0
    assert data["max"] == MAX_SPARSITY
    assert app.markdown[0].value == "{}"
    values = [0.0] * len(data["columns"])
    values[1] = 0.5
    app.session_state["eq"] = {"edit": message(values) | {"revision": 0}}
    app.run()
    assert app.markdown[0].value == str({data["columns"][1]["name"]: 0.5})


def page():
    import streamlit as st

    from tests.browser.made_up import layers
    from workbench.groups import layer_groups
    from workbench.layers import Inspection
    from workbench.ui.equaliser import board_of, equaliser, pending_edit

    groups = layer_groups(Inspection(layers(4, norms=False)))
    board = board_of(groups, None, num_classes=10, locked={})
    pending = pending_edit(board, {}, key="eq", revision=0)
    edit = equaliser(board, {}, key="eq", revision=0)
    assert pending == edit
    st.markdown(str(dict(edit.sparsities) if edit else {}))
