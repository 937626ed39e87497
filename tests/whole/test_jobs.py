"""The registry with real child processes that behave well and badly."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from workbench.errors import JobError
from workbench.jobs import Jobs, JobView, job, registry
from workbench.jobs.job import MAX_POINTS, Pace, Series

SCRIPT = Path(__file__).with_name("worker_for_tests.py")
COMMAND = (sys.executable, str(SCRIPT))
PATIENCE = 60.0


class Notes:
    """A ledger that can be read."""

    def __init__(self) -> None:
        self.active: dict[str, tuple[str, str, str]] = {}

    def begin(self, job_id: str, workspace_id: str, kind: str, title: str) -> None:
        self.active[job_id] = (workspace_id, kind, title)

    def end(self, job_id: str) -> None:
        del self.active[job_id]


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def jobs(notes: Notes) -> Iterator[Jobs]:
    jobs = Jobs(COMMAND, ledger=notes, keep_ready=False)
    yield jobs
    jobs.close()


def wait(jobs: Jobs, view: JobView, until: Callable[[JobView], bool]) -> JobView:
    """Poll as a page does."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        now = jobs.get(view.owner, view.id)
        assert now is not None
        if until(now):
            return now
        time.sleep(0.01)
    raise AssertionError(f"still {now.state}: {now.message}")


def ended(view: JobView) -> bool:
    return not view.active


def under_way(view: JobView) -> bool:
    return bool(view.message)


def test_a_job_runs_to_its_end(jobs: Jobs, notes: Notes) -> None:
    view = jobs.submit("me", "count", "Zählen ✂", {"steps": 50})
    assert view.active
    assert notes.active == {view.id: ("me", "count", "Zählen ✂")}
    view = wait(jobs, view, ended)
    assert (view.state, view.error) == ("done", "")
    assert view.result == {"counted": 50, "owner": "me"}
    assert (view.done, view.total, view.completed, view.message) == (50, 50, 1.0, "step 50")
    assert [point["step"] for point in view.series] == list(range(50))
    assert notes.active == {}
    assert jobs.worker_pids() == ()


def test_a_job_gives_way_to_the_page(jobs: Jobs) -> None:
    result = wait(jobs, jobs.submit("me", "tell_priority", "", {}), ended).result
    assert result == {"nice": min(19, os.nice(0) + 10), "omp": "PASSIVE"}


def test_jobs_wait_for_their_turn(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "DOUBLE_CLICK_SECONDS", -1.0)
    first = jobs.submit("me", "deaf", "", {})
    second = jobs.submit("you", "count", "", {"steps": 1})
    third = jobs.submit("me", "count", "", {"steps": 2})
    wait(jobs, first, under_way)
    assert [jobs.get(v.owner, v.id).ahead for v in (first, second, third)] == [0, 1, 2]
    assert [jobs.get(v.owner, v.id).state for v in (second, third)] == ["queued", "queued"]
    assert len(jobs.worker_pids()) == 1
    jobs.stop("me", first.id)
    jobs.stop("me", first.id)
    assert wait(jobs, third, ended).result == {"counted": 2, "owner": "me"}
    assert jobs.get("you", second.id).result == {"counted": 1, "owner": "you"}


def test_a_double_click_starts_one_job(jobs: Jobs) -> None:
    first = jobs.submit("me", "count", "", {"steps": 1, "seconds": 0.3})
    assert jobs.submit("me", "count", "", {"steps": 9}).id == first.id
    assert jobs.submit("you", "count", "", {"steps": 1}).id != first.id
    wait(jobs, first, ended)
    again = jobs.submit("me", "count", "", {"steps": 1})
    assert again.id != first.id
    assert [view.id for view in jobs.of("me")] == [again.id, first.id]
    assert jobs.latest("me", "count").id == again.id


def test_nobody_sees_or_stops_the_jobs_of_others(jobs: Jobs) -> None:
    view = jobs.submit("me", "count", "", {"steps": 3, "seconds": 0.05})
    assert jobs.of("you") == ()
    assert jobs.latest("you", "count") is None
    assert jobs.get("you", view.id) is None
    jobs.stop("you", view.id)
    assert wait(jobs, view, ended).state == "done"


def test_stop_keeps_what_was_finished(jobs: Jobs, notes: Notes) -> None:
    view = jobs.submit("me", "count", "", {"steps": 10_000, "seconds": 0.01})
    wait(jobs, view, under_way)
    jobs.stop("me", view.id)
    assert jobs.get("me", view.id).stopping
    view = wait(jobs, view, ended)
    assert (view.state, view.stopping) == ("cancelled", False)
    assert 0 < view.result["counted"] < 10_000
    assert view.result["counted"] == len(view.series)
    assert notes.active == {}


def test_a_job_that_answered_the_stop_may_take_its_time(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "ANSWER_SECONDS", 0.3)
    view = jobs.submit("me", "finish_slowly", "", {"seconds": 1.0})
    wait(jobs, view, under_way)
    jobs.stop("me", view.id)
    view = wait(jobs, view, ended)
    assert (view.state, view.result) == ("cancelled", {"kept": "best"})
    assert view.message == "measuring the best state"


def test_work_that_cannot_ask_is_left_with_nothing_to_show(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "ANSWER_SECONDS", PATIENCE)
    view = jobs.submit("me", "leave", "", {})
    wait(jobs, view, under_way)
    jobs.stop("me", view.id)
    view = wait(jobs, view, ended)
    assert (view.state, view.result, view.error) == ("cancelled", None, "")


def test_a_deaf_job_is_killed(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ANSWER_SECONDS", 0.3)
    view = jobs.submit("me", "deaf", "", {})
    wait(jobs, view, under_way)
    (pid,) = jobs.worker_pids()
    jobs.stop("me", view.id)
    view = wait(jobs, view, ended)
    assert (view.state, view.result) == ("cancelled", None)
    assert not exists(pid)


def test_a_second_stop_ends_it_at_once(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "DOUBLE_CLICK_SECONDS", -1.0)
    view = jobs.submit("me", "finish_slowly", "", {"seconds": 600})
    wait(jobs, view, under_way)
    jobs.stop("me", view.id)
    wait(jobs, view, lambda now: now.message == "measuring the best state")
    jobs.stop("me", view.id)
    assert wait(jobs, view, ended).result is None


def test_a_double_click_on_stop_still_keeps_the_result(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "DOUBLE_CLICK_SECONDS", PATIENCE)
    view = jobs.submit("me", "finish_slowly", "", {"seconds": 0.3})
    wait(jobs, view, under_way)
    jobs.stop("me", view.id)
    jobs.stop("me", view.id)
    assert wait(jobs, view, ended).result == {"kept": "best"}


def test_a_queued_job_can_be_stopped(jobs: Jobs, notes: Notes) -> None:
    first = jobs.submit("me", "count", "", {"steps": 5, "seconds": 0.1})
    second = jobs.submit("you", "count", "", {"steps": 5})
    jobs.stop("you", second.id)
    assert jobs.get("you", second.id).state == "cancelled"
    assert wait(jobs, first, ended).state == "done"
    assert jobs.get("you", second.id).result is None
    assert notes.active == {}


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_killed_worker_is_told_and_the_next_job_runs(jobs: Jobs) -> None:
    view = jobs.submit("me", "deaf", "", {})
    wait(jobs, view, under_way)
    os.kill(jobs.worker_pids()[0], signal.SIGKILL)
    view = wait(jobs, view, ended)
    assert view.state == "failed"
    assert view.error == "The background process ended unexpectedly (exit code -9)."
    assert view.hint.startswith("It may have run out of memory")
    assert wait(jobs, jobs.submit("me", "count", "", {"steps": 1}), ended).state == "done"


def test_an_exit_code_is_told(jobs: Jobs) -> None:
    view = wait(jobs, jobs.submit("me", "die", "", {"code": 7}), ended)
    assert view.error == "The background process ended unexpectedly (exit code 7)."
    assert view.message == "about to die"


def test_a_refusal_reaches_the_page(jobs: Jobs) -> None:
    view = wait(jobs, jobs.submit("me", "refuse", "", {}), ended)
    assert (view.state, view.error, view.hint) == (
        "failed", "Die Größe ist 3 × 4.", "Wähle 28 × 28 ✂."
    )  # fmt: skip


def test_a_worker_that_cannot_start_is_told() -> None:
    jobs = Jobs(("/no/such/program",))
    view = wait(jobs, jobs.submit("me", "count", "", {"steps": 1}), ended)
    assert view.error.startswith("The background process could not start: No such file")
    jobs.prewarm()
    jobs.close()


def test_a_worker_that_dies_while_it_gets_ready_is_replaced(tmp_path: Path) -> None:
    marker = tmp_path / "die once"
    marker.touch()
    jobs = Jobs((*COMMAND, str(marker)))
    view = wait(jobs, jobs.submit("me", "count", "", {"steps": 1}), ended)
    assert (view.state, view.error) == ("done", "")
    jobs.close()


def test_a_ready_worker_is_used_and_replaced() -> None:
    jobs = Jobs(COMMAND)
    jobs.prewarm()
    (ready,) = jobs.worker_pids()
    jobs.prewarm()
    assert jobs.worker_pids() == (ready,)
    view = jobs.submit("me", "chatter", "", {})
    view = wait(jobs, view, ended)
    assert view.result["pid"] == ready
    deadline = time.monotonic() + PATIENCE
    while not jobs.worker_pids() and time.monotonic() < deadline:
        time.sleep(0.01)
    (fresh,) = jobs.worker_pids()
    assert fresh != ready
    jobs.close()
    assert not exists(fresh)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_ready_worker_that_was_killed_is_replaced() -> None:
    jobs = Jobs(COMMAND, keep_ready=False)
    jobs.prewarm()
    os.kill(jobs.worker_pids()[0], signal.SIGKILL)
    assert wait(jobs, jobs.submit("me", "count", "", {"steps": 1}), ended).state == "done"
    jobs.close()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, "exit"])
def test_workers_end_with_the_server(how: signal.Signals | str) -> None:
    code = (
        "import sys, time; from workbench.jobs import Jobs\n"
        f"jobs = Jobs({COMMAND!r})\n"
        "view = jobs.submit('me', 'deaf', '', {})\n"
        "while not jobs.get('me', view.id).message: time.sleep(0.01)\n"
        "jobs.prewarm(); print(*jobs.worker_pids(), flush=True); sys.stdin.read()\n"
    )
    server = subprocess.Popen(
        (sys.executable, "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    pids = [int(pid) for pid in server.stdout.readline().split()]
    assert len(pids) == 2
    assert all(exists(pid) for pid in pids)
    if isinstance(how, str):
        server.communicate("")
    else:
        server.send_signal(how)
        server.communicate()
    deadline = time.monotonic() + PATIENCE
    while any(exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(exists(pid) for pid in pids)


def test_a_closed_registry_takes_no_work_and_forgets_no_interruption(notes: Notes) -> None:
    jobs = Jobs(COMMAND, ledger=notes)
    view = jobs.submit("me", "deaf", "", {})
    wait(jobs, view, under_way)
    jobs.close()
    wait(jobs, view, ended)
    assert list(notes.active) == [view.id]  # the next server tells that it was interrupted
    with pytest.raises(JobError, match=r"The server is stopping\."):
        jobs.submit("you", "count", "", {})


def test_only_the_newest_ended_jobs_are_kept(jobs: Jobs) -> None:
    views = []
    for index in range(6):
        views.append(jobs.submit("me", "count", str(index), {"steps": 1}))
        wait(jobs, views[-1], ended)
    assert [view.title for view in jobs.of("me")] == ["5", "4", "3", "2"]
    assert jobs.get("me", views[0].id) is None


def test_series_thins_the_frequent_kind_evenly_and_keeps_the_rare_one() -> None:
    series = Series()
    for step in range(40_000):
        series.add({"step": step, "loss": 0.5})
        if step % 1_000 == 999:
            series.add({"epoch": step // 1_000, "accuracy": 0.9})
    points = series.points()
    steps = [point["step"] for point in points if "step" in point]
    assert len(points) <= MAX_POINTS
    assert [point["epoch"] for point in points if "epoch" in point] == list(range(40))
    gaps = {after - before for before, after in pairwise(steps)}
    assert len(gaps) == 1
    assert len(steps) > MAX_POINTS / 3
    assert steps[0] == 0


def test_series_keeps_everything_below_its_limit_in_order() -> None:
    series = Series(limit=4)
    for value in range(4):
        series.add({"a": value})
    assert [point["a"] for point in series.points()] == [0, 1, 2, 3]
    series.add({"a": 4})
    assert [point["a"] for point in series.points()] == [0, 2, 4]


def test_pace_foretells_a_steady_run() -> None:
    pace = Pace()
    assert pace.seconds_left(0) is None
    for step in range(11):
        pace.mark(100.0 + 2 * step, step, 50)
    assert pace.seconds_left(120.0) == pytest.approx(80)
    assert pace.seconds_left(121.0) == pytest.approx(79)
    assert pace.seconds_left(900.0) == 0


def test_pace_follows_the_last_half_minute_and_a_new_phase() -> None:
    pace = Pace()
    pace.mark(0, 90, 200)  # ninety found in a cache at once
    for step in range(1, 101):
        pace.mark(step, 90 + step, 200)
    assert pace.seconds_left(100) == pytest.approx(10)
    pace.mark(101, 1, 40)
    assert pace.seconds_left(101) is None
    pace.mark(103, 2, 40)
    assert pace.seconds_left(103) == pytest.approx(76)


def test_importing_jobs_imports_neither_torch_nor_streamlit() -> None:
    code = (
        "import sys, workbench.jobs; print({'torch', 'streamlit', 'sqlalchemy'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def exists(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return not Path("/proc/self").exists()
    return state != "Z"
