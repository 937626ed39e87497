"""Instant checks: who is measured when, what is remembered, and what the board is told."""

import math
import threading
from dataclasses import replace

import pytest

from tests.ui import digits
from tests.ui.digits import LAYERS
from tests.ui.test_plan_page import board, drag
from workbench.curves import SensitivitySettings
from workbench.errors import PlanError, WorkbenchError
from workbench.loading import load_model
from workbench.model import check_fit
from workbench.plan import PruningPlan
from workbench.progress import StoppedError
from workbench.quick_check import Check, QuickChecker
from workbench.sensitivity import measure_sensitivity
from workbench.store import DataRef
from workbench.ui import bench
from workbench.ui.plan_record import SETTING
from workbench.ui.quick_checks import QuickChecks, Wish

FIRST, SECOND, _CLASSIFIER = LAYERS
PATIENCE_S = 30
CHECK = Check(0.2, 0.9, 0.88, 0.91, 120, "none", 0, (0.1, 0.95), 0.1)


def wish(sparsity, repair="bn"):
    return Wish("here", PruningPlan({"a": sparsity}), repair, None, None, None)


class Bench:
    """Measures until it is told to go on, or to stop."""

    def __init__(self):
        self.begun, self.stopped, self.done = [], [], []
        self.go_on, self.happened = threading.Event(), threading.Condition()

    def __call__(self, asked, should_stop):
        self.note(self.begun, asked)
        while not self.go_on.wait(0.002):
            if should_stop():
                self.note(self.stopped, asked)
                raise StoppedError
        self.note(self.done, asked)
        return asked.plan.sparsities["a"]

    def note(self, events, asked):
        with self.happened:
            events.append(asked)
            self.happened.notify_all()

    def wait(self, events, asked):
        with self.happened:
            assert self.happened.wait_for(lambda: asked in events, PATIENCE_S)


@pytest.fixture
def work():
    measuring = Bench()
    checks = QuickChecks(measuring)
    yield checks, measuring
    measuring.go_on.set()
    checks.end()
    assert not any("-checks" in one.name and one.is_alive() for one in checks._threads)


def wait_for(checks, asked):
    done = threading.Event()
    for _ in range(1000 * PATIENCE_S):
        found = checks.found(asked)
        if found is not None:
            return found
        done.wait(0.001)
    raise AssertionError(f"{asked} was not measured")


def test_the_latest_plan_counts_and_an_older_check_is_abandoned(work):
    checks, measuring = work
    checks.ask("me", [wish(0.1)])
    measuring.wait(measuring.begun, wish(0.1))
    checks.ask("me", [wish(0.2)])
    measuring.wait(measuring.stopped, wish(0.1))
    measuring.go_on.set()
    assert wait_for(checks, wish(0.2)) == 0.2
    assert checks.found(wish(0.1)) is None


def test_another_workspace_waits_for_its_turn(work):
    checks, measuring = work
    checks.ask("me", [wish(0.1)])
    measuring.wait(measuring.begun, wish(0.1))
    checks.ask("you", [wish(0.2)])
    measuring.go_on.set()
    assert (wait_for(checks, wish(0.1)), wait_for(checks, wish(0.2))) == (0.1, 0.2)
    assert not measuring.stopped


def test_a_full_repair_comes_last_gives_way_and_comes_again(work):
    checks, measuring = work
    slow = wish(0.1, "full")
    checks.ask("me", [slow])
    measuring.wait(measuring.begun, slow)
    checks.ask("you", [wish(0.2)])
    measuring.wait(measuring.stopped, slow)
    measuring.wait(measuring.begun, wish(0.2))
    measuring.go_on.set()
    assert wait_for(checks, slow) == 0.1
    assert measuring.done == [wish(0.2), slow]


def test_nothing_is_measured_twice(work):
    checks, measuring = work
    measuring.go_on.set()
    for _ in range(3):
        checks.ask("me", [wish(0.1), wish(0.2)])
        wait_for(checks, wish(0.2))
    assert measuring.begun == [wish(0.1), wish(0.2)]


def test_a_refusal_and_a_fault_are_kept_and_the_work_goes_on():
    def fail(asked, _should_stop):
        if asked == wish(0.1):
            raise PlanError("No.", "Do otherwise.")
        if asked == wish(0.2):
            raise ZeroDivisionError
        return 3

    checks = QuickChecks(fail)
    checks.ask("me", [wish(0.1), wish(0.2), wish(0.3)])
    assert wait_for(checks, wish(0.3)) == 3
    assert checks.found(wish(0.1)).message == "No."
    assert "on our side" in checks.found(wish(0.2)).message
    checks.end()


def test_what_could_not_be_measured_is_tried_again_when_asked_or_after_another_plan():
    tried = []

    def fail_at_first(asked, _should_stop):
        tried.append(asked)
        if tried.count(asked) == 1 and asked != wish(0.9):
            raise PlanError("No.", "")
        return 5

    checks = QuickChecks(fail_at_first)
    checks.ask("me", [wish(0.1)])
    assert wait_for(checks, wish(0.1)).message == "No."
    checks.ask("me", [wish(0.1)])
    assert tried == [wish(0.1)], "not by itself"
    checks.retry([wish(0.1), wish(0.5)])
    checks.ask("me", [wish(0.1)])
    assert wait_for(checks, wish(0.1)) == 5
    checks.ask("me", [wish(0.2)])
    assert wait_for(checks, wish(0.2)).message == "No."
    checks.ask("me", [wish(0.9)])
    assert wait_for(checks, wish(0.9)) == 5
    checks.ask("me", [wish(0.2)])
    assert wait_for(checks, wish(0.2)) == 5
    checks.retry([wish(0.2)])
    assert checks.found(wish(0.2)) == 5, "a number stays"
    checks.end()


# --- what the page makes of it ---


def opened(open_app, plan=None, **settings):
    ws = digits.workspace(plan)
    bench.store().save_settings(ws, settings)
    return ws, open_app(ws=ws, page="plan")


def records(ws):
    return bench.store().open_workspace(ws).settings.get(SETTING, [])


def test_a_released_column_is_measured_after_the_repairs_of_the_prediction_and_the_model(
    open_app, checks
):
    ws, app = opened(open_app)
    assert [dict(one.plan.sparsities) for one in checks.asked] == [{}], "made ready"
    assert (board(app)["check"]["wait_ms"], board(app)["check"]["values"]) == (0, None)
    app = drag(app, **{FIRST: 0.6})
    asked = [(dict(one.plan.sparsities), one.repair) for one in checks.asked]
    assert asked == [({FIRST: 0.6}, "none"), ({FIRST: 0.6}, "full")]
    assert board(app)["check"]["wait_ms"] > 0
    checks.answers["none"] = CHECK
    shown = board(app.run())["check"]
    assert shown["values"] == board(app)["values"]
    assert (shown["accuracy"], shown["low"], shown["high"]) == (0.9, 0.88, 0.91)
    assert (
        shown["note"] == "\u22125.0 points, without repair, 120 images; full repair: being measured"
    )
    assert [one.repair for one in checks.asked] == ["full"]
    checks.answers["full"] = replace(CHECK, accuracy=0.93, ci_low=0.92, ci_high=0.94, repair="full")
    shown = board(app.run())["check"]
    assert (shown["accuracy"], shown["low"], shown["high"]) == (0.93, 0.92, 0.94), "it comes first"
    assert shown["note"] == (
        "\u22122.0 points, after full repair, 120 images; without repair 90.0 % (88.0 to 91.0)"
    )
    assert shown["wait_ms"] == 0
    kept = [(one["origin"], one["repair"], one["samples"]) for one in records(ws)]
    assert kept == [("check", "none", 120), ("check", "full", 120)]


def test_a_check_is_there_after_a_restart_and_not_made_again(open_app, checks):
    ws, app = opened(open_app, {FIRST: 0.6}, repair="none")
    checks.answers["none"] = CHECK
    app.run()
    assert len(records(ws)) == 1
    checks.answers.clear()
    shown = board(open_app(ws=ws, page="plan"))["check"]
    assert (shown["accuracy"], shown["low"], shown["wait_ms"]) == (0.9, 0.88, 0)
    assert [dict(one.plan.sparsities) for one in checks.asked] == [{}], "it is only made ready"


def test_the_check_of_another_plan_is_marked_as_such(open_app, checks):
    _ws, app = opened(open_app, {FIRST: 0.6}, repair="none")
    checks.answers["none"] = CHECK
    app.run()
    checks.answers.clear()
    app = drag(app, **{FIRST: 0.7})
    shown = board(app)["check"]
    assert (shown["values"][0], shown["asked"][0], board(app)["values"][0]) == (0.6, 0.7, 0.7)
    assert not shown["other"]
    next(box for box in app.selectbox if box.label == "Criterion").set_value("random").run()
    assert board(app)["check"]["other"], "the same values by another criterion are another plan"


def test_of_another_plan_too_the_measurement_after_full_repair_comes_first(open_app, checks):
    _ws, app = opened(open_app, {FIRST: 0.6})
    checks.answers |= {"none": CHECK, "full": replace(CHECK, accuracy=0.93, repair="full")}
    app.run()
    checks.answers.clear()
    app = drag(app, **{FIRST: 0.7})
    shown = board(app)["check"]
    assert (shown["values"][0], board(app)["values"][0]) == (0.6, 0.7)
    assert shown["accuracy"] == 0.93


def test_what_was_predicted_after_the_final_repair_is_held_against_its_measurement(
    open_app, checks
):
    settings = SensitivitySettings(levels=(0.5, 0.95), num_samples=200)
    curves = measure_sensitivity(digits.model(), digits.data(), settings)
    ws = digits.workspace({FIRST: 0.6})
    bench.store().save_curves(ws, curves.to_dict())
    checks.answers |= {"none": CHECK, "full": replace(CHECK, accuracy=0.93, repair="full")}
    shown = board(open_app(ws=ws, page="plan"))["check"]
    _quick, final = records(ws)
    assert final["repair"] == "full"
    assert shown["accuracy"] == 0.93
    assert shown["predicted"]["accuracy"] == final["predicted"]["accuracy"]


def test_what_a_run_measured_is_not_measured_again(open_app, checks):
    ws = digits.workspace(digits.uniform(0.7))
    bench.store().save_settings(ws, {"repair": "none"})
    digits.add_run(ws, digits.uniform(0.7))
    shown = board(open_app(ws=ws, page="plan"))["check"]
    run = bench.store().runs(ws)[0].record["stages"][1]["validation"]
    assert shown["accuracy"] == run["accuracy"]
    assert (shown["low"], shown["high"]) == pytest.approx((run["ci_low"], run["ci_high"]))
    assert shown["wait_ms"] == 0


def test_a_check_remembers_what_had_been_predicted(open_app, checks):
    settings = SensitivitySettings(levels=(0.5, 0.95), num_samples=200)
    curves = measure_sensitivity(digits.model(), digits.data(), settings)
    ws = digits.workspace({FIRST: 0.6})
    bench.store().save_curves(ws, curves.to_dict())
    bench.store().save_settings(ws, {"repair": "none"})
    checks.answers["none"] = replace(CHECK, accuracy=0.2, ci_low=0.19, ci_high=0.21)
    shown = board(open_app(ws=ws, page="plan"))["check"]
    (one,) = records(ws)
    predicted = one["predicted"]
    assert shown["predicted"] == {
        "accuracy": predicted["accuracy"], "low": predicted["accuracy_low"],
        "high": predicted["accuracy_high"],
    }  # fmt: skip
    assert predicted["accuracy"] > 0.8
    assert not shown["inside"]


def test_what_was_predicted_after_full_repair_is_held_against_that(open_app, checks):
    settings = SensitivitySettings(levels=(0.5, 0.95), num_samples=200, repair="full")
    curves = measure_sensitivity(digits.model(), digits.data(), settings)
    ws = digits.workspace({FIRST: 0.6})
    bench.store().save_curves(ws, curves.to_dict())
    bench.store().save_settings(ws, {"repair": "full"})
    checks.answers["none"] = replace(CHECK, accuracy=0.4)
    app = open_app(ws=ws, page="plan")
    shown = board(app)["check"]
    assert (shown["accuracy"], shown["predicted"]) == (0.4, None)
    checks.answers["full"] = replace(CHECK, accuracy=0.93, repair="full")
    shown = board(app.run())["check"]
    assert shown["accuracy"] == 0.93
    assert shown["predicted"]["accuracy"] > 0.8
    assert "after full repair" in shown["note"]
    assert "without repair" not in shown["note"]


def test_a_plan_that_cannot_be_measured_says_why(open_app, checks):
    checks.answers["none"] = WorkbenchError("It cannot.", "")
    _ws, app = opened(open_app, {FIRST: 0.6}, repair="none")
    shown = board(app)["check"]
    assert (shown["problem"], shown["wait_ms"]) == ("It cannot.", 0)
    assert not app.error
    assert "This plan was not measured: It cannot." in [one.value for one in app.caption]
    (again,) = [one for one in app.button if one.label == "Try again"]
    again.click().run()
    assert checks.retried


def test_a_plan_that_was_measured_offers_no_second_try(open_app, checks):
    checks.answers["none"] = CHECK
    _ws, app = opened(open_app, {FIRST: 0.6}, repair="none")
    assert not [one for one in app.button if one.label == "Try again"]


def test_a_loss_without_end_is_shown_and_not_remembered(open_app, checks):
    checks.answers["none"] = replace(CHECK, loss=math.inf, accuracy=0.0, ci_low=0.0)
    ws, app = opened(open_app, {FIRST: 0.6}, repair="none")
    assert board(app)["check"]["accuracy"] == 0
    assert records(ws) == []


def test_without_images_that_fit_nothing_is_measured(open_app, checks):
    ws = digits.workspace({FIRST: 0.6})
    bench.store().save_data_ref(ws, DataRef(name="fashion-mnist", sample="fashion-mnist"))
    app = open_app(ws=ws, page="plan")
    assert board(app)["check"] is None
    assert checks.asked == ()


def test_a_real_check_of_the_page_is_that_of_the_checker(open_app, checks, monkeypatch):
    from workbench.ui import plan_checks, quick_checks

    real = QuickChecks(quick_checks._Measuring())
    monkeypatch.setattr(plan_checks, "quick_checks", lambda: real)
    ws, app = opened(open_app, {FIRST: 0.6, SECOND: 0.5})
    for repair in ("none", "full"):
        asked = next(w for w in wishes_of(app, ws) if w.repair == repair)
        wait_for(real, asked)
    note = board(app.run())["check"]["note"]
    assert "after full repair" in note
    real.end()
    check_fit(digits.model(), digits.data())
    checker = QuickChecker(load_model(digits.MODEL), digits.data())
    plan = PruningPlan({FIRST: 0.6, SECOND: 0.5})
    for one, repair in zip(records(ws), ("none", "full"), strict=True):
        found = checker.check(plan, repair)
        assert (one["accuracy"], one["loss"]) == pytest.approx((found.accuracy, found.loss), 1e-5)


def wishes_of(_app, ws):
    """What the page asked for."""
    plan = bench.store().open_workspace(ws).plan
    own = PruningPlan(dict(plan.sparsities), model=digits.model().digest)
    key = f"{bench.key_of(digits.MODEL_REF)}-{bench.key_of(digits.DATA_REF)}-auto"
    return [Wish(key, own, repair, None, None, None) for repair in ("none", "full")]
