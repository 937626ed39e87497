"""The worker's side of the protocol, spoken to by hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.jobs.process import WorkerProcess, worker_command

SCRIPT = Path(__file__).with_name("worker_for_tests.py")
COMMAND = (sys.executable, str(SCRIPT))


def converse(task: str, **arguments: object) -> tuple[list[dict[str, object]], str]:
    """All messages of one request, and what went to standard error."""
    child = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    request = {"task": task, "owner": "me", "arguments": arguments}
    assert child.stdin is not None
    child.stdin.write(json.dumps(request).encode() + b"\n")
    child.stdin.flush()  # left open: its end would end the worker
    assert child.stdout is not None
    lines = child.stdout.read().decode().splitlines()
    assert child.stderr is not None
    log = child.stderr.read().decode(errors="replace")
    for stream in (child.stdin, child.stdout, child.stderr):
        stream.close()
    assert child.wait() == 0
    return [json.loads(line) for line in lines], log


def test_messages_come_in_order_and_no_point_is_lost() -> None:
    messages, _ = converse("count", steps=2_000)
    kinds = [message["kind"] for message in messages]
    assert kinds[:2] == ["ready", "begun"]
    assert set(kinds[2:-1]) == {"progress"}
    assert len(kinds) < 200  # gathered, not one line a step
    points = [point for message in messages[2:-1] for point in message["points"]]
    assert [point["step"] for point in points] == list(range(2_000))
    assert (messages[-2]["done"], messages[-2]["total"]) == (2_000, 2_000)
    assert messages[-1] == {
        "kind": "result",
        "result": {"counted": 2_000, "owner": "me"},
        "stopped": False,
    }


def test_stray_prints_go_to_standard_error_and_stray_reads_find_nothing() -> None:
    messages, log = converse("chatter")
    assert [message["kind"] for message in messages] == ["ready", "begun", "result"]
    assert messages[-1]["result"]["typed"] == ""
    assert messages[-1]["result"]["word"] == "Schicht-é ✂ 剪枝"
    for stray in ("stray {not json", "stray bytes", "stray child"):
        assert stray in log


def test_a_refusal_comes_through_without_traceback() -> None:
    messages, log = converse("refuse")
    assert messages[-1] == {
        "kind": "error", "message": "Die Größe ist 3 × 4.", "hint": "Wähle 28 × 28 ✂."
    }  # fmt: skip
    assert log == ""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("KeyError", "The background work failed: KeyError: 'lost\\nand more'."),
        ("SystemExit", "The background work failed: SystemExit: lost."),
        ("MemoryError", "The background work ran out of memory."),
    ],
)
def test_a_fault_becomes_a_sentence_and_the_traceback_goes_to_the_log(
    error: str, message: str
) -> None:
    messages, log = converse("fault", error=error)
    assert (messages[-1]["kind"], messages[-1]["message"]) == ("error", message)
    assert log.startswith("Traceback")
    assert "worker_for_tests.py" in log


@pytest.mark.parametrize("task", ["deaf", None])
def test_the_worker_ends_when_nobody_holds_its_standard_input(task: str | None) -> None:
    child = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    assert b"ready" in child.stdout.readline()
    if task:
        child.stdin.write(json.dumps({"task": task, "owner": "", "arguments": {}}).encode() + b"\n")
        child.stdin.flush()
        assert b"begun" in child.stdout.readline()
        assert b"working" in child.stdout.readline()
    child.stdin.close()
    assert child.wait(10) == 0
    child.stdout.close()


def test_the_real_worker_answers(tmp_path: Path) -> None:
    worker = WorkerProcess(worker_command(tmp_path))
    worker.send({"task": "no such task", "owner": "", "arguments": {}})
    kinds = []
    while not kinds or kinds[-1] != "error":
        message = worker.receive(150)
        assert message is not None
        kinds.append(message["kind"])
    worker.kill()
    assert kinds == ["ready", "begun", "error"]
    assert (tmp_path / "workbench.db").is_file()
