"""The page of all methods: cards, links, search, trials, seconds, and the table of criteria."""

import pytest

from tests.ui import digits
from tests.ui.conftest import address, go_to
from tests.ui.digits import button, captions, labels, texts
from workbench.catalogue import methods
from workbench.catalogue_table import CriteriaTable, summarise
from workbench.method import FAMILIES
from workbench.trying import Cost, Trial, TryingSettings, costs_key
from workbench.ui import bench, criteria_table, methods_found, methods_panels

SHORT = {"num_samples": 90, "repair": "none", "shown": 256}


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


@pytest.fixture
def no_table(monkeypatch):
    monkeypatch.setattr(criteria_table, "_table", lambda: None)


def open_linked(open_app, ws="", **address_parts):
    """The page as a link opens it."""
    app = open_app(ws=ws or digits.workspace())
    for key, value in address_parts.items():
        app.query_params[key] = value
    return app.switch_page("../../pages/methods.py").run()


def cards(app) -> dict[str, bool]:
    """Titles of the methods' cards, and whether each is open."""
    found = {}
    for one in app.get("expander"):
        title = one.label.split("·")[0].strip("* ").replace("\\", "")
        found[title] = one.proto.expanded
    return found


def family(app):
    return next(one for one in app.segmented_control if one.label == "Family")


def run(ws: str, asked: TryingSettings) -> Trial:
    """Try a method as a worker would."""
    request = digits.arguments(settings=asked.to_dict())
    key = digits.do("trying", ws, request)["key"]
    return Trial.from_dict(bench.store().open_workspace(ws).settings["method_trials"][key])


def test_every_method_of_every_family_has_a_card(open_app, registry, no_table):
    app = open_linked(open_app)
    for name in FAMILIES:
        family(app).set_value(name).run()
        assert not app.exception
        assert not app.error
        titles = [one.title for one in methods()[name].values()]
        assert set(cards(app)) == set(titles)
        shown = texts(app).replace("\\", "")
        for one in methods()[name].values():
            assert one.strengths in shown
            assert one.limits in shown
        formulas = [one.value.strip("$ \n") for one in app.latex]
        assert formulas.count("") == 0
        assert len(formulas) == sum(bool(one.formula) for one in methods()[name].values())


def test_the_comparison_of_criteria_stands_under_criteria_alone(open_app, registry):
    app = open_linked(open_app)
    for name in FAMILIES:
        family(app).set_value(name).run()
        shown = [one.value for one in app.subheader]
        assert ("All criteria on the samples" in shown) == (name == "criterion"), name


def test_families_have_short_names_in_their_order():
    assert [*methods_panels.family_titles()] == [*FAMILIES]


def test_a_link_opens_one_method_and_keeps_the_workspace(open_app, registry, no_table):
    ws = digits.workspace()
    app = open_linked(open_app, ws, method="distillation", other="kept")
    assert family(app).value == "finetuning"
    assert next(iter(cards(app))) == "Distillation", "the linked one stands first"
    assert [title for title, opened in cards(app).items() if opened] == ["Distillation"]
    assert address(app) == ws
    assert (app.query_params["other"], app.query_params["method"]) == ("kept", "distillation")


def test_a_word_of_two_families_takes_the_family_of_the_link(open_app, registry, no_table):
    assert family(open_linked(open_app, method="lamp")).value == "criterion"
    app = open_linked(open_app, method="lamp", family="allocation")
    assert family(app).value == "allocation"
    assert cards(app)["LAMP"]
    assert family(open_linked(open_app, family="repair")).value == "repair"


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"method": "taylr"}, "There is no method 'taylr'."),
        ({"method": "l1", "family": "criteria"}, "There is no family 'criteria'."),
        ({"family": "nothing"}, "There is no family 'nothing'."),
        ({"method": "x" * 5_000}, "There is no method 'xxx"),
        ({"method": "<b>$x$</b>"}, "There is no method '<b>"),
    ],
)
def test_a_wrong_link_is_told_once_and_the_page_is_there(open_app, registry, no_table, parts, told):
    app = open_linked(open_app, **parts)
    assert len(app.error) == 1
    assert told in app.error[0].value.replace("\\", "")
    assert not app.exception
    assert family(app).value == "criterion"


def test_the_search_looks_into_all_families(open_app, registry, no_table):
    app = open_linked(open_app)
    app.text_input[0].set_value("label").run()
    found = {one.value for one in app.subheader}
    assert {"Fine-tuning", FAMILIES["criterion"]} <= found
    app.text_input[0].set_value("zebra *crossing*").run()
    assert "No method tells of zebra" in app.info[0].value
    assert not cards(app)


def test_a_trial_is_asked_for_as_the_page_shows_it(open_app, registry, no_table):
    ws = digits.workspace()
    app = open_linked(open_app, ws, method="wanda")
    next(one for one in app.slider if one.label == "Sparsity").set_value(90).run()
    next(one for one in app.selectbox if one.label == "Repair").set_value("full").run()
    wanda = next(one for one in app.button if one.key == "try_criterion_wanda")
    assert wanda.label == "Try it next to Magnitude (L1)"
    wanda.click().run()
    ((owner, kind, request),) = registry.requests
    assert (owner, kind) == (ws, "trying")
    asked = TryingSettings.from_dict(request["settings"])
    assert asked == TryingSettings("criterion", "wanda", sparsity=0.9, repair="full")
    assert len(app.get("progress")) == 1
    assert cards(app)["Wanda (weight x input)"]
    assert next(one for one in app.button if one.key == "try_criterion_l2").disabled


def test_channels_have_a_slider_of_their_own(open_app, registry, no_table):
    app = open_linked(open_app)
    assert "ranks whole channels, not single weights" in captions(app)
    next(one for one in app.segmented_control if one.label == "Try on").set_value("channel").run()
    assert "ranks whole channels" not in captions(app)
    slider = next(one for one in app.slider if one.label == "Channel pruning ratio")
    assert slider.value == 50
    next(one for one in app.button if one.key == "try_criterion_fpgm").click().run()
    asked = registry.requests[0][2]["settings"]
    assert (asked["granularity"], asked["sparsity"]) == ("channel", 0.5)


def test_what_was_found_stays_on_the_card(open_app, registry, no_table, monkeypatch):
    ws = digits.workspace()
    found = run(ws, TryingSettings("criterion", "random", sparsity=0.8, **SHORT))
    app = open_linked(open_app, ws, method="random")
    assert "Tried before with 80 % of the weights, up to 90 validation images" in captions(app)
    assert methods_found.verdict(found) in texts(app)
    assert found.compared["repaired"].p_value < 0.05
    assert "**Random** is worse than Magnitude" in texts(app).replace("\\", "")
    (table,) = (one.value for one in app.table if "Method" in one.value.columns)
    assert list(table["Method"].str.replace("\\", "")) == [
        "Random", "Magnitude (L1)", "Dense model",
    ]  # fmt: skip
    assert list(table.columns) == ["Method", "Raw", "Repaired", "Seconds"]
    raw = 100 * found.own.steps["pruned"].accuracy
    assert table["Raw"][0].startswith(f"{raw:.1f} % (")
    assert go_to(app, "plan").title[0].value == "Plan"
    again = go_to(app, "methods")
    assert methods_found.verdict(found) in texts(again)


def test_a_plan_that_was_tried_can_be_taken(open_app, registry, no_table):
    ws = digits.workspace()
    found = run(ws, TryingSettings("allocation", "global", **SHORT))
    app = open_linked(open_app, ws, method="global")
    button(app, "Use it in the plan").click().run()
    kept = bench.store().open_workspace(ws).plan
    assert kept.sparsities == found.own.plan.sparsities
    assert kept.allocation == "global"
    assert app.success[0].value == "The plan is on the plan page."
    assert not app.run().success


def test_an_option_of_training_that_was_tried_can_be_used(open_app, registry, no_table):
    ws = digits.workspace()
    run(ws, TryingSettings("finetuning", "distillation", **SHORT))
    app = open_linked(open_app, ws, method="distillation")
    button(app, "Use it in fine-tuning").click().run()
    kept = bench.store().open_workspace(ws).settings["finetune"]
    assert (kept["distillation"], kept["temperature"]) == (0.7, 4.0)
    assert not go_to(app, "finetune").exception


def test_a_schedule_that_was_tried_is_chosen_on_its_page(open_app, registry, no_table):
    ws = digits.workspace()
    run(ws, TryingSettings("schedule", "cubic", **SHORT))
    app = go_to(open_app(ws=ws), "sparse")
    before = next(one for one in app.selectbox if one.label == "Method").value
    for key, value in {"method": "cubic", "ws": ws}.items():
        app.query_params[key] = value
    app = app.switch_page("../../pages/methods.py").run()
    button(app, "Train with it in full").click().run()
    assert app.success[0].value == "It is chosen for sparse training."
    chosen = next(one for one in go_to(app, "sparse").selectbox if one.label == "Method").value
    assert (before, chosen) == ("l1", "cubic")


def test_the_seconds_of_all_methods_stand_on_the_cards(open_app, registry, no_table):
    ws = digits.workspace()
    app = open_linked(open_app, ws)
    assert "**Seconds on this model** not measured yet" in captions(app)
    button(app, "Time all methods").click().run()
    ((_owner, kind, request),) = registry.requests
    assert (kind, request["granularity"]) == ("method_costs", "weight")
    key = costs_key(digits.model().digest, digits.data().digest, "weight")
    costs = {
        "criterion.taylor": Cost("criterion", "taylor", 1.234).to_dict(),
        "criterion.fpgm": Cost("criterion", "fpgm", None, "It ranks *channels*.").to_dict(),
        "criterion.l1": Cost("criterion", "l1", 0.0001).to_dict(),
        "replacement.cluster": Cost("replacement", "cluster", 12.3).to_dict(),
    }
    bench.store().save_settings(ws, {"method_costs": {key: costs}})
    app = open_linked(open_app, ws)
    shown = captions(app)
    assert "**Seconds on this model** 1.2 for all scores" in shown
    assert "**Seconds on this model** under 0.01 for all scores" in shown
    assert r"**On this model** It ranks \*channels\*." in shown
    family(app).set_value("replacement").run()
    assert "**Seconds on this model** 12 for the whole model" in captions(app)
    next(one for one in app.segmented_control if one.label == "Try on").set_value("channel").run()
    assert "12 for the whole" not in captions(app), "these were timed on single weights"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("criterion", "l2"), " to choose what goes, in a trial"),
        (("repair", "full"), " for a repair, in a trial"),
        (("finetuning", "constant"), " for 256 training images, in a trial"),
    ],
)
def test_a_trial_tells_the_seconds_of_what_it_timed(open_app, registry, no_table, asked, words):
    ws = digits.workspace()
    settings = TryingSettings(*asked, **(SHORT | ({"repair": "full"} if "full" in asked else {})))
    trial = run(ws, settings)
    step = {"criterion": "plan", "repair": "repaired", "finetuning": "finetuned"}[asked[0]]
    told = methods_found.in_seconds(trial.own.seconds[step])
    app = open_linked(open_app, ws, family=asked[0], method=asked[1])
    timed = [one for one in captions(app).splitlines() if one.endswith("in a trial")]
    assert f"**Seconds on this model** {told}{words}" in timed
    others = {"criterion": 2, "repair": 1, "finetuning": 1}  # the rival was timed as well
    assert len(timed) == others[asked[0]]
    next(one for one in app.segmented_control if one.label == "Try on").set_value("channel").run()
    assert "in a trial" not in captions(app), "that was timed on single weights"


def test_other_families_lead_to_their_pages(open_app, registry, no_table):
    app = open_linked(open_app)
    for name, label in (("ensemble", "Combine runs with it"), ("corruption", "Test runs with it"),
                        ("replacement", "Use it on a run")):  # fmt: skip
        family(app).set_value(name).run()
        links = [one.proto.label for one in app.get("page_link")]
        assert links.count(label) == len(methods()[name])
        assert not [one for one in labels(app) if one.startswith("Try it")]


def rows(*accuracies: tuple[str, float, float]) -> CriteriaTable:
    usual = {
        "model": "digits-mlp", "granularity": "weight", "stage": "raw", "seed": 0, "samples": 360,
        "seconds_scores": 0.1, "images": 0, "epochs": 0,
    }  # fmt: skip
    return summarise(
        {**usual, "criterion": name, "level": level, "accuracy": value}
        for name, level, value in accuracies
    )


def test_the_table_marks_the_best_and_what_is_below_random(open_app, registry, monkeypatch):
    found = rows(
        ("l1", 0.8, 0.9), ("random", 0.8, 0.4), ("fisher", 0.8, 0.2), ("l1", 0.9, 0.7),
        ("random", 0.9, 0.1),
    )  # fmt: skip
    monkeypatch.setattr(criteria_table, "_table", lambda: found)
    app = open_linked(open_app)
    (frame,) = (one.value for one in app.dataframe)
    assert list(frame["Criterion"]) == ["Magnitude (L1)", "Diagonal Fisher (OBD)", "Random"]
    assert list(frame["80 %"]) == ["90.0 % ★", "20.0 % ▼", "40.0 %"]
    assert list(frame["90 %"]) == ["70.0 % ★", "", "10.0 %"]
    assert "Below random somewhere: Diagonal Fisher" in texts(app).replace("\\", "")
    assert not app.exception


def test_without_a_measured_table_the_page_says_so(open_app, registry, no_table):
    app = open_linked(open_app)
    assert "carries no measured comparison" in app.info[-1].value


def test_the_help_of_a_choice_leads_here(open_app, registry):
    ws = digits.workspace()
    app = open_app(ws=ws, page="plan")
    rule = next(one for one in app.selectbox if one.label == "Allocation")
    assert f"(/methods?ws={ws}&family=allocation)" in rule.help
