"""A worker with tasks that behave well or badly, for the tests of jobs and worker."""

import os
import sys
import time
from pathlib import Path

from workbench.errors import DataError
from workbench.progress import Progress, abandonable
from workbench.worker import serve


def count(owner, arguments, report, should_stop):
    """Count to ``steps``, ``seconds`` each; obey stop."""
    steps = arguments["steps"]
    for step in range(steps):
        if should_stop():
            return {"counted": step, "owner": owner}
        report(
            Progress(step + 1, steps, f"step {step + 1}", {"step": step, "loss": 1 / (step + 1)})
        )
        time.sleep(arguments.get("seconds", 0))
    return {"counted": steps, "owner": owner}


def finish_slowly(owner, arguments, report, should_stop):
    """See the stop at once, then need longer than an unanswered stop would be given."""
    report(Progress(0, 2, "training"))
    while not should_stop():
        time.sleep(0.01)
    report(Progress(1, 2, "measuring the best state"))
    time.sleep(arguments["seconds"])
    return {"kept": "best"}


def leave(owner, arguments, report, should_stop):
    """Do what cannot ask, and leave it with nothing to show."""
    report(Progress(0, 0, "writing"))
    abandonable(lambda: time.sleep(600), should_stop)
    return {"written": True}


def deaf(owner, arguments, report, should_stop):
    """Never ask whether to stop."""
    report(Progress(0, 0, "working"))
    time.sleep(600)


def die(owner, arguments, report, should_stop):
    """End as if killed for memory."""
    report(Progress(1, 2, "about to die"))
    time.sleep(0.2)
    os._exit(arguments["code"])


def refuse(owner, arguments, report, should_stop):
    """Refuse as the workbench does."""
    raise DataError("Die Größe ist 3 × 4.", "Wähle 28 × 28 ✂.")


def fault(owner, arguments, report, should_stop):
    """Fail as nobody foresaw."""
    raise {"KeyError": KeyError, "MemoryError": MemoryError, "SystemExit": SystemExit}[
        arguments["error"]
    ]("lost\nand more")


def chatter(owner, arguments, report, should_stop):
    """Print everywhere, read standard input, then answer."""
    print("stray {not json")
    os.write(1, b"stray bytes \xff\n")
    os.system("echo stray child")
    return {"typed": sys.stdin.read(), "word": "Schicht-é ✂ 剪枝", "pid": os.getpid()}


def tell_priority(owner, arguments, report, should_stop):
    """What keeps the page usable while this works."""
    return {"nice": getattr(os, "nice", lambda _: 10)(0), "omp": os.environ["OMP_WAIT_POLICY"]}


def load():
    """The tasks; a marker file makes the worker die while it gets ready."""
    if len(sys.argv) > 1 and Path(sys.argv[1]).exists():
        Path(sys.argv[1]).unlink()
        os._exit(5)
    return {
        task.__name__: task
        for task in (count, finish_slowly, leave, deaf, die, refuse, fault, chatter, tell_priority)
    }


if __name__ == "__main__":
    serve(load)
