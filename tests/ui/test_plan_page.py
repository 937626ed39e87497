"""The plan page: spreading, dragging, the table, the lock, the file, and a second tab."""

import json

import pandas as pd
import pytest
import yaml
from streamlit.runtime.scriptrunner_utils.exceptions import StopException

from tests.ui import digits
from tests.ui.conftest import address, go_to
from tests.ui.digits import LAYERS, add_run, button, captions, texts
from workbench.accounting import size_of_plan
from workbench.allocation import allocate
from workbench.groups import find_groups
from workbench.plan import PruningPlan
from workbench.plan_file import format_plan
from workbench.ui import bench, plan_panels, session
from workbench.ui.equaliser import board_of
from workbench.ui.errors import plain
from workbench.ui.theme import compact

FIRST, SECOND, CLASSIFIER = LAYERS


def saved(app) -> PruningPlan | None:
    return bench.store().open_workspace(address(app)).plan


def spread(app, percent=80, **choices):
    number(app, "Percent").set_value(percent)
    for label, value in choices.items():
        select(app, label).set_value(value)
    button(app, "Spread").click().run()
    assert not app.error
    return app


def number(app, label):
    """The number whose label begins so."""
    return next(one for one in app.number_input if one.label.startswith(label))


def select(app, label):
    return next(box for box in app.selectbox if box.label == label)


def board(app) -> dict:
    return json.loads(app.get("bidi_component")[0].proto.json)


def drag(app, **values):
    """What the browser sends when a column is let go."""
    named = {column["name"]: value for column, value in zip(*shown(app), strict=True)}
    named |= values
    message = {name: board(app)[name] for name in ("revision", "granularity", "multiple")}
    message["values"] = list(named.values())
    app.session_state["equaliser"] = {"edit": message}
    return app.run()


def shown(app):
    return board(app)["columns"], board(app)["values"]


def unfold(app, key):
    """Open a box whose content is drawn only then."""
    app.session_state[key] = True
    return app.run()


def links(app) -> list[str]:
    return [one.proto.label for one in app.main.get("page_link")]


def upload(app, content: bytes):
    unfold(app, "plan_file_box")
    app.file_uploader[0].set_value(("plan.yaml", content, "application/yaml"))
    return button(app, "Use this plan").click().run()


def test_an_empty_plan_says_how_to_begin(open_app):
    app = open_app(ws=digits.workspace(), page="plan")
    assert "The plan is empty: drag a column, or spread a target." in captions(app)
    assert [column["name"] for column in board(app)["columns"]] == list(LAYERS)
    assert "is protected" in board(app)["columns"][2]["reason"]
    assert "No sensitivity was measured for Single weights yet" in captions(app)
    assert links(app) == ["Measure the sensitivity"]
    assert not app.error


def test_a_target_is_spread_over_the_unlocked_layers(open_app):
    app = spread(open_app(ws=digits.workspace(), page="plan"), 80)
    assert saved(app) == allocate(digits.model(), "uniform", sparsity=0.8)
    assert saved(app).sparsities.get(CLASSIFIER, 0) == 0
    size = size_of_plan(find_groups(digits.model()), saved(app))
    assert f"**{compact(size.num_nonzero)}** of {compact(size.num_params)} parameters" in texts(app)
    assert links(app)[-1] == "Prune with this plan"


def test_the_numbers_follow_the_target(open_app):
    app = spread(open_app(ws=digits.workspace(), page="plan"), 50)
    before = texts(app)
    spread(app, 90)
    assert texts(app) != before
    assert board(app)["values"][:2] == [0.9, 0.9]
    again = open_app(ws=address(app), page="plan")
    assert number(again, "Percent").value == 90, "it is remembered"


def test_a_global_target_ranks_layers_together(open_app):
    app = spread(open_app(ws=digits.workspace(), page="plan"), 80, Allocation="global")
    assert saved(app) == allocate(digits.model(), "global", sparsity=0.8)
    assert saved(app).sparsities[FIRST] != saved(app).sparsities[SECOND]


@pytest.mark.parametrize("percent", [0, 99])
def test_the_ends_of_the_scale_are_no_fault(open_app, percent):
    app = spread(open_app(ws=digits.workspace(), page="plan"), percent)
    assert ("The plan is empty" in captions(app)) == (percent == 0)


def test_another_criterion_keeps_the_sparsities(open_app):
    app = spread(open_app(ws=digits.workspace(), page="plan"), 80)
    before = saved(app)
    select(app, "Criterion").set_value("random").run()
    seed = number(app, "Seed")
    assert not seed.disabled
    seed.set_value(5).run()
    assert (saved(app).criterion, saved(app).seed) == ("random", 5)
    assert saved(app).sparsities == before.sparsities


def test_a_drag_is_saved(open_app):
    app = drag(open_app(ws=digits.workspace(), page="plan"), **{FIRST: 0.6})
    assert dict(saved(app).sparsities) == {FIRST: 0.6}
    assert ":material/check_circle: Saved:" in texts(app)
    assert open_app(ws=address(app), page="plan").error == []


def test_a_locked_column_is_not_moved_by_what_the_browser_says(open_app):
    app = drag(open_app(ws=digits.workspace(), page="plan"), **{CLASSIFIER: 0.6})
    assert saved(app) is None


def test_a_preset_is_not_undone_by_an_older_drag(open_app):
    app = drag(open_app(ws=digits.workspace(), page="plan"), **{FIRST: 0.6})
    spread(app, 80)
    assert saved(app).sparsities[FIRST] == 0.8
    assert saved(app.run()).sparsities[FIRST] == 0.8


def test_the_classifier_can_be_unlocked_and_locked_again(open_app):
    app = open_app(ws=digits.workspace(), page="plan")
    app.toggle[0].set_value(True).run()
    assert not board(app)["columns"][2]["reason"]
    spread(app, 80)
    assert saved(app).sparsities[CLASSIFIER] == 0.8
    assert open_app(ws=address(app), page="plan").toggle[0].value is True
    app.toggle[0].set_value(False).run()
    assert CLASSIFIER not in saved(app).sparsities
    assert saved(app).sparsities[FIRST] == 0.8


def test_the_table_holds_the_plan(open_app):
    app = spread(open_app(ws=digits.workspace(), page="plan"), 80)
    assert not app.data_editor
    frame = unfold(app, "plan_table").data_editor[0].value
    assert list(frame["layer"]) == list(LAYERS)
    assert list(frame["sparsity"]) == [80, 80, 0]
    assert "is protected" in frame["note"][2]


def test_typed_values_change_unlocked_layers_only():
    groups = find_groups(digits.model())
    layout = board_of(groups, num_classes=10, locked={CLASSIFIER: "Locked."})
    before = pd.DataFrame({"layer": LAYERS, "sparsity": [10.0, 20.0, 30.0]})
    typed = before.assign(sparsity=[120.0, None, 50.0])
    assert plan_panels.changed_values(before, typed, layout) == {FIRST: 0.99}
    typed = before.assign(sparsity=[10.0, 33.3, 30.0])
    assert plan_panels.changed_values(before, typed, layout) == {SECOND: pytest.approx(0.333)}


def test_a_plan_file_comes_back_as_it_went(open_app):
    plan = PruningPlan({FIRST: 1 / 3, CLASSIFIER: 0.25}, criterion="random", seed=3)
    app = upload(open_app(ws=digits.workspace(), page="plan"), format_plan(plan).encode())
    assert not app.error
    assert saved(app) == PruningPlan.from_dict(plan.to_dict() | {"model": digits.model().digest})
    assert app.toggle[0].value is True, "it prunes the classifier"
    assert select(app, "Criterion").value == "random"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"sparsities: [1, 2", "The plan is not valid YAML in line 1"),
        (b"a: 1\na: 2", "The plan gives 'a' twice."),
        (b"", "The plan is empty."),
        (b"\xff\xfe\x00", "The plan is not valid YAML"),
        (b"!!python/object/apply:os.system ['true']", "holds something that is no plain YAML"),
        (yaml.safe_dump({"sparsities": {"hiden.0": 0.5}}).encode(), "no layer 'hiden.0'"),
        (yaml.safe_dump({"sparsities": {FIRST: 1.2}}).encode(), "hidden.0 asks for sparsity 1.20."),
        (yaml.safe_dump({"criterion": "magic"}).encode(), "There is no criterion 'magic'."),
        (yaml.safe_dump({"seed": 2**60}).encode(), f"The plan's seed is {2**60}."),
    ],
)
def test_a_plan_file_that_does_not_fit_leaves_the_plan_in_place(open_app, content, message):
    app = open_app(ws=digits.workspace({FIRST: 0.5}), page="plan")
    before = saved(app)
    upload(app, content)
    assert plain(message) in app.error[0].value
    assert saved(app) == before
    assert len(app.get("bidi_component")) == 1
    assert not app.run().error


def test_the_form_asks_for_a_file(open_app):
    app = unfold(open_app(ws=digits.workspace(), page="plan"), "plan_file_box")
    button(app, "Use this plan").click().run()
    assert app.info[0].value == "Choose a file first."


def test_a_measured_accuracy_names_its_run_and_its_plan(open_app):
    ws = digits.workspace(digits.uniform(0.8))
    add_run(ws)
    app = open_app(ws=ws, page="plan")
    measured = board(app)["measured"]
    assert measured["label"] == "Run 1, pruned"
    assert measured["values"] == board(app)["values"]
    assert measured["samples"] == len(digits.data().split("validation"))


def test_what_another_tab_changed_is_shown_and_not_overwritten(open_app):
    app = drag(open_app(ws=digits.workspace(), page="plan"), **{FIRST: 0.6})
    other = PruningPlan({SECOND: 0.5}, model=digits.model().digest)
    bench.store().save_plan(address(app), other)
    drag(app, **{FIRST: 0.7})
    assert saved(app) == other
    assert board(app)["values"] == [0, 0.5, 0]
    drag(app, **{FIRST: 0.7})
    assert dict(saved(app).sparsities) == {FIRST: 0.7, SECOND: 0.5}


def test_another_model_begins_with_an_empty_plan(open_app):
    app = drag(open_app(ws=digits.workspace(), page="plan"), **{FIRST: 0.6})
    bench.store().save_model_ref(address(app), digits.OTHER_REF)
    go_to(app, "plan")
    assert saved(app) is None
    assert not app.error
    assert not any(board(app)["values"])
    assert "The plan is empty" in captions(app)


def test_columns_follow_a_plan_that_was_kept_as_the_run_was_cut_off(open_app, monkeypatch):
    app = open_app(page="plan")
    before, keep = board(app)["revision"], session.set_plan

    def keep_and_end(plan):
        keep(plan)
        raise StopException  # as the next click does

    with monkeypatch.context() as patched:
        patched.setattr(session, "set_plan", keep_and_end)
        spread(app)
    app.run()
    assert board(app)["revision"] > before
    assert [value for value in board(app)["values"] if value] == [*saved(app).sparsities.values()]
