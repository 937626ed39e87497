"""Real local clusters: a worker that dies in the middle, a stop, the command line."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from workbench import ray_points as package
from workbench.curves import SensitivitySettings
from workbench.errors import LoadError
from workbench.loading import load_data, load_model
from workbench.ray_points import ray_points
from workbench.ray_points.cluster import connected
from workbench.sensitivity import measure_sensitivity

pytestmark = pytest.mark.skipif(os.name == "nt", reason="workers are found by ps and signals")

LEVELS = tuple(round(0.08 * step, 2) for step in range(1, 13))
SETTINGS = SensitivitySettings(levels=LEVELS, num_samples=300)


@pytest.fixture(scope="module")
def lenet():
    model = load_model("fashion-lenet5")
    return model, load_data(model.data_name)


@pytest.fixture(scope="module")
def cluster():
    """Ray with two workers for a while; what runs in this process uses it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workbench.ray_points.cluster.os.cpu_count", lambda: 2)
        with connected("local", 80_000_000) as ray:
            yield ray


def processes() -> dict[int, tuple[int, str]]:
    """Every process: its parent and its title."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,command="], capture_output=True, text=True, check=True
    ).stdout
    rows = (line.split(None, 2) for line in listed.splitlines())
    return {int(row[0]): (int(row[1]), row[2] if len(row) > 2 else "") for row in rows}


def is_own(pid: int, table: dict[int, tuple[int, str]]) -> bool:
    while pid in table and pid != os.getpid():
        pid = table[pid][0]
    return pid == os.getpid()


def kill_a_busy_worker() -> int:
    """Kill a worker of this process's cluster while it measures; its number."""
    for _ in range(1000):
        for pid in processes():
            table = processes()
            if pid not in table or "ray::measure" not in table[pid][1] or not is_own(pid, table):
                continue
            os.kill(pid, signal.SIGSTOP)  # its title is true as long as it stands still
            if "ray::measure" in processes()[pid][1]:
                os.kill(pid, signal.SIGKILL)
                return pid
            os.kill(pid, signal.SIGCONT)
    raise AssertionError("no worker was ever busy")


@pytest.mark.slow
def test_a_killed_worker_loses_only_its_task(cluster, lenet, monkeypatch):
    losses, killed = [], []
    after_loss = package._after_loss

    def counted(share, address, error):
        losses.append([place for place in share.places if place not in share.told])
        return after_loss(share, address, error)

    monkeypatch.setattr(package, "_after_loss", counted)

    def on_point(progress):
        if progress.done == 5:
            killed.append(kill_a_busy_worker())

    found = measure_sensitivity(*lenet, SETTINGS, source=ray_points("local"), report=on_point)
    assert len(killed) == 1
    assert killed[0] not in processes()
    assert len(losses) == 1
    assert losses[0], "it was lost in the middle of its work"
    assert found.complete
    assert found.evaluations == len(found.points) + 1, "nothing was told twice"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    here = measure_sensitivity(*lenet, SETTINGS)
    torch.set_num_threads(threads)
    assert found.points == here.points, "the same bits"
    assert found.baseline == here.baseline


@pytest.mark.slow
def test_a_stop_ends_with_the_points_so_far_and_frees_the_workers(cluster, lenet):
    done = []
    found = measure_sensitivity(
        *lenet, SETTINGS, source=ray_points("local"), report=lambda progress: done.append(progress),
        should_stop=lambda: len(done) >= 3,
    )  # fmt: skip
    assert not found.complete
    assert 3 <= len(done) < 3 + package.TASKS_PER_CPU * 2
    while any("ray::measure" in title and is_own(pid, processes())
              for pid, (_, title) in processes().items()):  # fmt: skip
        time.sleep(0.05)


@pytest.mark.slow
def test_code_that_the_workers_lack_is_refused(cluster, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text(
        "from torch import nn\n\n\n"
        "def build():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = load_model("only_here:build", input_shape=(1, 8, 8), allow_factory=True)
    source = ray_points("local", factory="only_here:build")
    with pytest.raises(LoadError, match="There is no Python module 'only_here'"):
        measure_sensitivity(model, load_data("digits"), SETTINGS, source=source)


@pytest.mark.slow
def test_the_command_line_starts_a_cluster_and_leaves_none(tmp_path):
    table, home = tmp_path / "curves.json", tmp_path / "home"
    home.mkdir()
    words = (
        "sensitivity", "digits-mlp", "--levels", "0.5,0.9", "--samples", "100", "--ray", "local",
        "--json", str(table),
    )  # fmt: skip
    command = [sys.executable, "-m", "workbench", *words]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=os.environ | {"HOME": str(home)}
    )
    assert done.returncode == 0, done.stderr
    assert "Most fragile" in done.stdout or "Dense" in done.stdout
    assert json.loads(table.read_text())["complete"]
    assert not list(home.iterdir()), "neither tokens nor statistics are left in the home"
    assert "Token" not in done.stderr
    assert not [
        title for _, title in processes().values() if "raylet" in title and str(home) in title
    ]
