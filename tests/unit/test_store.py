"""The store keeps what it is given, shares nothing between workspaces and never half-writes."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sqlalchemy import event

from workbench.data import Data
from workbench.errors import StorageError
from workbench.plan import PruningPlan
from workbench.store import DataRef, InterruptedJob, ModelRef, Store, files

SAMPLE = ModelRef(name="Fashion ResNet-20", sample="fashion-resnet20")
DATA = DataRef(name="Fashion-MNIST", sample="fashion-mnist")
CURVES = {"model": "m", "data": "d", "settings": {"levels": [0.5]}, "points": [0.25, None]}
PLAN = PruningPlan({"conv1": 1 / 3, "Schicht-é": 0.5}, seed=7)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home ü?x=%20#1")


def tensors(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"fc.weight": torch.full((2, 3), value), "bn.num_batches_tracked": torch.tensor(4)}


def small_data() -> Data:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (6, 1, 4, 4), dtype=np.uint8)
    labels = np.array([0, 1, 0, 1, 0, 1])
    return Data(
        "up", images, labels, images[:2], labels[:2], (0.25,), (0.5,), ("Füße", "b"), 2, "n"
    )


def add(store: Store, workspace: str, value: float = 1.0, **more: object):
    return store.add_run(
        workspace,
        {"value": value},
        model_ref=more.pop("model_ref", SAMPLE),
        data_ref=more.pop("data_ref", DATA),
        weights={"pruned": tensors(value)},
        **more,
    )


def stored_files(store: Store, folder: str = "tensors") -> set[str]:
    return {path.name for path in (store.folder / folder).iterdir()}


def test_everything_saved_is_there_after_reopening(store: Store) -> None:
    workspace = store.create_workspace()
    store.save_model_ref(workspace, SAMPLE)
    store.save_data_ref(workspace, DATA)
    store.save_plan(workspace, PLAN)
    store.save_settings(workspace, {"sensitivity": {"samples": 500}, "theme": "dark"})
    store.save_settings(workspace, {"theme": "light"})
    key = store.save_curves(workspace, CURVES)
    store.close()

    reopened = Store(store.folder)
    opened = reopened.open_workspace(workspace)

    assert opened is not None
    assert (opened.model_ref, opened.data_ref, opened.plan) == (SAMPLE, DATA, PLAN)
    assert opened.settings == {"sensitivity": {"samples": 500}, "theme": "light"}
    assert opened.curves == key
    assert reopened.load_curves(key) == CURVES


def test_another_model_clears_plan_and_curves_the_same_one_does_not(store: Store) -> None:
    workspace = store.create_workspace()
    store.save_model_ref(workspace, SAMPLE)
    store.save_plan(workspace, PLAN)
    store.save_curves(workspace, CURVES)

    store.save_model_ref(workspace, SAMPLE)
    assert store.open_workspace(workspace).plan == PLAN

    store.save_model_ref(workspace, ModelRef(name="x", sample="digits-mlp"))
    opened = store.open_workspace(workspace)
    assert (opened.plan, opened.curves) == (None, "")


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", "a" * 22, "é" * 22, "a" * 22 + "\n"])
def test_an_unknown_address_opens_nothing_and_saves_nothing(store: Store, name: str) -> None:
    assert store.open_workspace(name) is None
    with pytest.raises(StorageError, match=r"This address names no workspace here\."):
        store.save_plan(name, PLAN)
    with pytest.raises(StorageError, match=r"This address names no workspace here\."):
        add(store, name)


def test_curves_of_other_settings_are_kept_apart_and_better_ones_replace(store: Store) -> None:
    workspace = store.create_workspace()
    first = store.save_curves(workspace, CURVES)
    other = store.save_curves(workspace, {**CURVES, "settings": {"levels": [0.9]}})
    assert first != other
    assert store.open_workspace(workspace).curves == other
    whole = {**CURVES, "points": [0.25, 0.5]}
    assert store.save_curves(workspace, whole) == first
    assert store.load_curves(first) == whole
    (store.curves_folder / f"{first}.json").write_text("{torn")
    assert store.load_curves(first) is None
    assert store.load_curves("0" * 16) is None


def test_workspaces_never_see_each_others_runs(store: Store) -> None:
    mine, yours = store.create_workspace(), store.create_workspace()
    assert mine != yours
    add(store, mine, name="mine")

    assert [run.name for run in store.runs(mine)] == ["mine"]
    assert store.runs(yours) == ()
    for act in (store.run, store.delete_run, lambda w, n: store.rename_run(w, n, "stolen")):
        with pytest.raises(StorageError, match=r"This workspace has no run 1\."):
            act(yours, 1)
    assert store.run(mine, 1).name == "mine"


def test_run_numbers_are_never_used_again(store: Store) -> None:
    workspace = store.create_workspace()
    assert [add(store, workspace).number for _ in range(3)] == [1, 2, 3]
    store.delete_run(workspace, 3)
    store.delete_run(workspace, 1)
    assert add(store, workspace).number == 4
    assert [run.number for run in store.runs(workspace)] == [2, 4]


def test_a_run_returns_as_it_was_added(store: Store) -> None:
    workspace = store.create_workspace()
    added = add(store, workspace, 0.1 + 0.2, name="Größer ✂")
    assert store.runs(workspace) == (added,)
    assert added.record == {"value": 0.1 + 0.2}
    assert (added.model_ref, added.data_ref) == (SAMPLE, DATA)
    loaded = store.load_tensors(added.weights["pruned"])
    assert all(torch.equal(loaded[name], value) for name, value in tensors(0.1 + 0.2).items())


def test_rename(store: Store) -> None:
    workspace = store.create_workspace()
    add(store, workspace)
    assert store.run(workspace, 1).name == "Run 1"
    store.rename_run(workspace, 1, "  Half of it ")
    assert store.run(workspace, 1).name == "Half of it"
    store.rename_run(workspace, 1, " ")
    assert store.run(workspace, 1).name == "Run 1"


def test_deleting_a_run_deletes_only_files_that_nothing_else_needs(store: Store) -> None:
    first, second = store.create_workspace(), store.create_workspace()
    upload = store.save_model_ref(first, ModelRef("up.pt", architecture="mlp"), tensors(9))
    add(store, first, 1.0, model_ref=upload)
    add(store, second, 1.0)
    add(store, second, 2.0)
    assert len(stored_files(store)) == 3

    store.delete_run(first, 1)
    assert len(stored_files(store)) == 3
    store.delete_run(second, 2)
    assert len(stored_files(store)) == 2
    store.delete_run(second, 1)
    assert stored_files(store) == {f"{upload.tensors}.safetensors"}
    store.save_model_ref(first, SAMPLE)
    assert stored_files(store) == set()


def test_a_run_keeps_the_uploads_it_began_with(store: Store) -> None:
    workspace = store.create_workspace()
    model = store.save_model_ref(workspace, ModelRef("up.pt", architecture="mlp"), tensors(9))
    data = store.save_data_ref(workspace, DataRef("up.npz"), small_data())
    add(store, workspace, model_ref=model, data_ref=data)
    store.save_model_ref(workspace, SAMPLE)
    store.save_data_ref(workspace, DATA)

    assert store.load_tensors(store.run(workspace, 1).model_ref.tensors).keys() == tensors().keys()
    assert stored_files(store, "data") == {f"{data.digest}.npz"}
    store.delete_run(workspace, 1)
    assert stored_files(store) == stored_files(store, "data") == set()


def test_weights_can_be_shared_with_another_run(store: Store) -> None:
    workspace = store.create_workspace()
    first = add(store, workspace).weights["pruned"]
    weights = {"pruned": first, "finetuned": tensors(2.0), "repaired": "0" * 16}
    grown = store.add_run(workspace, {}, model_ref=SAMPLE, data_ref=DATA, weights=weights)
    assert grown.weights == {"pruned": first, "finetuned": store.save_tensors(tensors(2.0))}
    store.delete_run(workspace, 1)
    assert store.load_tensors(first).keys() == tensors().keys()
    store.delete_run(workspace, 2)
    assert stored_files(store) == set()


def test_uploaded_data_returns_equal(store: Store) -> None:
    data = small_data()
    digest = store.save_data(data)
    loaded = store.load_data(digest, "name")
    assert loaded.digest == data.digest
    assert (loaded.class_names, loaded.num_validation, loaded.notice) == (("Füße", "b"), 2, "n")
    assert (loaded.name, loaded.mean, loaded.std) == ("name", (0.25,), (0.5,))


def test_tied_and_strided_tensors_are_kept(store: Store) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    given = {"a": weight, "b": weight, "t": weight.t(), "none": torch.zeros(0, 2)}
    loaded = store.load_tensors(store.save_tensors(given))
    assert given.keys() == loaded.keys()
    assert all(torch.equal(loaded[name], value) for name, value in given.items())


@pytest.mark.parametrize("digest", ["", "../workbench", "0" * 15, "0" * 16 + "/"])
def test_only_digests_name_files(store: Store, digest: str) -> None:
    for load in (store.load_tensors, lambda d: store.load_data(d, "x")):
        with pytest.raises(StorageError, match="names nothing in the store"):
            load(digest)


def test_missing_files_are_named(store: Store) -> None:
    with pytest.raises(StorageError, match=r"0{16}\.safetensors is missing from"):
        store.load_tensors("0" * 16)
    with pytest.raises(StorageError, match=r"0{16}\.npz is missing from"):
        store.load_data("0" * 16, "x")


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_damaged_files_are_named(store: Store, damage: str) -> None:
    names = {store.save_tensors(tensors()): "safetensors", store.save_data(small_data()): "npz"}
    for digest, suffix in names.items():
        folder = "tensors" if suffix == "safetensors" else "data"
        path = store.folder / folder / f"{digest}.{suffix}"
        content = bytearray(path.read_bytes())
        if damage == "flip":
            content[-3 if suffix == "safetensors" else 200] ^= 0x55
        path.write_bytes({"truncate": content[:-5], "flip": content, "empty": b""}[damage])
        load = store.load_tensors if folder == "tensors" else lambda d: store.load_data(d, "x")
        with pytest.raises(StorageError, match=rf"{digest}\.{suffix} in .* is damaged"):
            load(digest)


def test_saving_again_replaces_a_damaged_file(store: Store) -> None:
    kept, data = store.save_tensors(tensors()), store.save_data(small_data())
    for path in (
        store.folder / "tensors" / f"{kept}.safetensors", store.folder / "data" / f"{data}.npz"
    ):  # fmt: skip
        path.write_bytes(path.read_bytes()[:-5])
    assert (store.save_tensors(tensors()), store.save_data(small_data())) == (kept, data)
    assert torch.equal(store.load_tensors(kept)["fc.weight"], tensors()["fc.weight"])
    assert store.load_data(data, "up").digest == small_data().digest


def test_full_disk_leaves_nothing_half_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = store.create_workspace()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StorageError, match=r"The disk is full: .*\.safetensors could not be saved"):
        add(store, workspace)
    monkeypatch.undo()
    assert stored_files(store) == set()
    assert store.runs(workspace) == ()
    assert add(store, workspace).number == 1


def test_a_really_full_file_system_is_refused(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    code = (
        "import pathlib, resource, sys\n"
        "from workbench.store.files import StorageError, write_file\n"
        f"resource.setrlimit({resource.RLIMIT_FSIZE}, (200_000, 200_000))\n"
        "try: write_file(pathlib.Path(sys.argv[1], 'w'), lambda file: file.write(bytes(400_000)))\n"
        "except StorageError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("The disk is full: w could not be saved in ")
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_finds_no_space_keeps_what_it_had(store: Store) -> None:
    workspace = store.create_workspace()
    store.save_settings(workspace, {"kept": 1})
    store.close()
    event.listen(  # SQLite's own way to run into a full disk
        store._database._engine, "connect", lambda c, _: c.execute("PRAGMA max_page_count=24")
    )
    with pytest.raises(StorageError, match=r"The disk is full: .*workbench\.db could not be saved"):
        store.save_settings(workspace, {"large": "x" * 200_000})
    assert store.open_workspace(workspace).settings == {"kept": 1}


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match=r"file.* cannot be written: Not a directory\."):
        Store(tmp_path / "file" / "home")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "workbench.db").write_bytes(b"this is a letter to my aunt\n" * 500)
    with pytest.raises(StorageError, match=r"workbench\.db is damaged: file is not a database\."):
        Store(tmp_path)


def test_a_torn_database_is_refused(store: Store) -> None:
    workspace = store.create_workspace()
    for index in range(30):
        store.save_settings(workspace, {str(index): "x" * 3000})
    store.close()
    path = store.folder / "workbench.db"
    content = path.read_bytes()
    assert len(content) > 40_000
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    with pytest.raises(StorageError, match=r"workbench\.db is damaged") as refused:
        Store(store.folder).open_workspace(workspace)
    assert refused.value.hint.startswith("Move the file away")


def test_a_newer_database_is_refused_and_left_alone(store: Store) -> None:
    store.close()
    with sqlite3.connect(store.folder / "workbench.db") as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    connection.close()
    with pytest.raises(StorageError, match=r"newer workbench \(schema 99; this one reads up to 1"):
        Store(store.folder)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "workbench.db") as connection:
        connection.execute("CREATE TABLE recipes (title)")
    connection.close()
    with pytest.raises(StorageError, match="is another program's database"):
        Store(tmp_path)


def test_threads_and_processes_write_at_once(store: Store) -> None:
    workspace = store.create_workspace()
    code = (
        "import sys\n"
        "from workbench.store import *\n"
        "store = Store(sys.argv[1])\n"
        "for i in range(10):\n"
        "    store.add_run(sys.argv[2], {}, model_ref=ModelRef('m'), data_ref=DataRef('d'),"
        " weights={})\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, store.folder, workspace])

    def write() -> None:
        for _ in range(10):
            store.add_run(workspace, {}, model_ref=SAMPLE, data_ref=DATA, weights={})
            store.save_settings(workspace, {threading.current_thread().name: 1})

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert child.wait(30) == 0
    assert [run.number for run in store.runs(workspace)] == list(range(1, 41))
    assert len(store.open_workspace(workspace).settings) == 3


def test_two_first_openers_agree(tmp_path: Path) -> None:
    faults: list[Exception] = []

    def open_it() -> None:
        try:
            Store(tmp_path).create_workspace()
        except StorageError as error:
            faults.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_sweep_deletes_only_what_is_old_and_unused(store: Store) -> None:
    workspace = store.create_workspace()
    used = add(store, workspace).weights["pruned"]
    orphan, fresh = store.save_tensors(tensors(5)), store.save_tensors(tensors(6))
    part = store.folder / "tensors" / ".x.safetensors.abc.part"
    part.write_bytes(b"torn")
    long_ago = time.time() - 3 * 24 * 3600
    for path in (part, *(store.folder / "tensors" / f"{d}.safetensors" for d in (used, orphan))):
        os.utime(path, (long_ago, long_ago))
    store.sweep()
    assert stored_files(store) == {f"{used}.safetensors", f"{fresh}.safetensors"}


def test_a_job_of_a_server_that_ended_is_told_once(store: Store) -> None:
    workspace = store.create_workspace()
    code = (
        "import os, sys\n"
        "from workbench.store import Store\n"
        "store = Store(sys.argv[1])\n"
        "store.jobs.begin('j1', sys.argv[2], 'finetune', 'Fine-tune ✂')\n"
        "store.jobs.begin('j2', sys.argv[2], 'sensitivity', 'ended well')\n"
        "store.jobs.end('j2')\n"
        "print('ready', flush=True); sys.stdin.read(); os._exit(9)\n"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", code, store.folder, workspace],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout.readline() == "ready\n"
    store.jobs.begin("j3", workspace, "export", "mine, alive")
    assert store.jobs.mark_interrupted() == 0  # both servers live
    assert store.jobs.take_interrupted(workspace) == ()
    server.communicate("")
    assert len(list((store.folder / "servers").iterdir())) == 2

    store.sweep()
    assert len(list((store.folder / "servers").iterdir())) == 1
    assert store.jobs.take_interrupted(store.create_workspace()) == ()
    (told,) = store.jobs.take_interrupted(workspace)
    assert (told.kind, told.title) == ("finetune", "Fine-tune ✂")
    assert isinstance(told, InterruptedJob)
    assert store.jobs.take_interrupted(workspace) == ()


def test_importing_the_store_imports_no_torch() -> None:
    code = "import sys, workbench.store; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
