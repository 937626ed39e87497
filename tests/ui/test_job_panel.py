"""The panel of background work, driven by a registry whose jobs the test moves by hand."""

from dataclasses import replace

import pytest

from tests.ui.conftest import address
from workbench.jobs import JobView
from workbench.ui import bench


class Registry:
    """One job, whose state the test sets; ``stop`` is noted."""

    def __init__(self):
        self.job = None
        self.requests = []
        self.stopped = []

    def submit(self, owner, kind, title, request):
        self.requests.append((owner, kind, request))
        self.job = view(owner=owner, kind=kind, title=title)
        return self.job

    def latest(self, owner, kind):
        fits = self.job is not None and (self.job.owner, self.job.kind) == (owner, kind)
        return self.job if fits else None

    def of(self, owner, kind=None):
        return tuple(job for job in [self.latest(owner, kind or "evaluate")] if job)

    def stop(self, owner, job_id):
        self.stopped.append((owner, job_id))


def view(**values) -> JobView:
    usual = {
        "id": "j1", "owner": "", "kind": "evaluate", "title": "Test accuracy", "request": {},
        "state": "running", "ahead": 0, "stopping": False, "done": 0, "total": 0, "message": "",
        "series": (), "seconds": 0.0, "seconds_left": None, "result": None, "error": "", "hint": "",
    }  # fmt: skip
    return JobView(**usual | values)


@pytest.fixture
def registry(monkeypatch):
    made = Registry()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


@pytest.fixture
def app(open_app, registry, monkeypatch):
    """The model page with a model that nobody has measured, its work begun by the button."""
    from workbench.ui import session

    monkeypatch.setattr(session, "measured_accuracy", lambda: None)
    opened = open_app()
    start(opened).click().run()
    return opened


def start(app):
    return next(button for button in app.button if button.label == "Measure the test accuracy")


def text(app) -> str:
    return app.get("progress")[0].proto.text


def test_the_button_submits_what_is_on_the_bench(app, registry):
    ((owner, kind, request),) = registry.requests
    assert owner == address(app)
    assert kind == "evaluate"
    assert request["model"]["sample"] == "fashion-resnet20"
    assert request["data"]["sample"] == "fashion-mnist"
    assert request["device"] == "auto"
    assert start(app).disabled


def test_before_its_first_step_it_gets_ready(app):
    assert text(app) == "**Test accuracy** · getting ready"


def test_it_tells_step_and_time_left(app, registry):
    registry.job = replace(
        registry.job, done=30, total=1200, message="conv_1 at 50 %", seconds_left=65.2
    )
    app.run()
    assert text(app) == ("**Test accuracy** · conv\\_1 at 50 % · 30 of 1,200 · 1 min 5 s left")
    assert app.get("progress")[0].proto.value == 2


@pytest.mark.parametrize(
    ("ahead", "words"), [(1, "1 job runs before it"), (2, "2 jobs run before it")]
)
def test_it_tells_how_many_jobs_run_before(app, registry, ahead, words):
    registry.job = replace(registry.job, state="queued", ahead=ahead)
    app.run()
    assert text(app) == f"**Test accuracy** · {words}"


def test_stop_reaches_the_registry_and_can_be_pressed_again(app, registry):
    app.button(key="stop_j1").click().run()
    assert registry.stopped == [(address(app), "j1")]
    registry.job = replace(
        registry.job, stopping=True, seconds_left=12.0, message="Measuring what is kept"
    )
    app.run()
    assert app.button(key="stop_j1").label == "Stop now"
    assert text(app) == "**Test accuracy** · stopping · Measuring what is kept"


def test_a_failure_shows_what_to_do(app, registry):
    registry.job = replace(
        registry.job, state="failed", error="It ran out of memory.", hint="Close programs."
    )
    app.run()
    assert app.error[0].value == "**It ran out of memory.**\n\nClose programs."
    assert not app.get("progress")
    assert not start(app).disabled


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (False, "Nothing was finished, so nothing is kept."),
        (True, "What was finished is kept."),
    ],
)
def test_a_stopped_job_says_whether_anything_is_kept(app, registry, monkeypatch, kept, words):
    asked = []
    monkeypatch.setattr(
        "workbench.ui.job_panel.kept_something", lambda job: asked.append(job) or kept
    )
    registry.job = replace(registry.job, state="cancelled", seconds=4.2)
    app.run()
    assert app.info[0].value == f"Test accuracy: stopped after 4 s. {words}"
    assert asked[0] == registry.job


def test_a_finished_job_says_how_long_it_took(app, registry):
    registry.job = replace(registry.job, state="done", seconds=61.0)
    app.run()
    assert any("Test accuracy: done in 1 min 1 s." in caption.value for caption in app.caption)


def test_another_workspace_does_not_see_the_job(app, open_app):
    assert not open_app().get("progress")


def test_an_interrupted_job_is_told_once(open_app):
    app = open_app()
    ledger = bench.store().jobs
    ledger.begin("gone", address(app), "finetune", "Fine-tuning")
    with ledger._database.write() as database:
        from workbench.store.tables import JobRow

        database.get(JobRow, "gone").interrupted = True
    again = open_app(ws=address(app))
    assert "Fine-tuning was cut off when the server ended." in again.error[0].value.replace(
        "\\", ""
    )
    assert not open_app(ws=address(app)).error
