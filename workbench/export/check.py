"""Run exported files again, in a fresh process, and compare them with the model in memory.

``python -m workbench.export.check FOLDER`` prints the comparisons as JSON. It runs the folder's
``model.py``, so use it on folders that you trust.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from workbench.errors import ExportError
from workbench.export.exported import FileCheck
from workbench.progress import ShouldStop, never, raise_if_stopped

MODULE = "workbench.export.check"
REFERENCE = "check.safetensors"
BATCH_SIZE = 250
TIMEOUT_SECONDS = 900
ASK_SECONDS = 0.1
Run = Callable[[Tensor], Tensor]


def reference_bytes(images: Tensor, scores: Tensor, labels: Tensor | None = None) -> bytes:
    """Images and the scores of the model in memory, for ``check_folder`` to compare with.

    Args:
        images: ``(samples, channels, height, width)``.
        scores: ``(samples, num_classes)``.
        labels: ``(samples,)``; None where they are not known.
    """
    tensors = {"images": images.contiguous(), "scores": scores.contiguous()}
    if labels is not None:
        tensors["labels"] = labels.contiguous()
    content: bytes = safetensors.torch.save(tensors)
    return content


def check_folder(
    folder: Path, reference: Path | None = None, num_samples: int | None = None,
    should_stop: ShouldStop = never,
) -> tuple[FileCheck, ...]:  # fmt: skip
    """Run each file of an exported folder in this process and compare its scores.

    Args:
        folder: What ``export_model`` wrote.
        reference: Images and expected scores; by default the few that lie in the folder.
        num_samples: Compare so many images only, except in ONNX Runtime; all of them if None.
        should_stop: Asked before every file.

    Raises:
        StoppedError: If it should stop.
        ExportError: If there is nothing to compare with or a file cannot be run.
    """
    reference = reference or folder / REFERENCE
    if not reference.is_file():
        raise ExportError(f"{folder} holds no {REFERENCE}.", "Choose an exported folder.")
    known = safetensors.torch.load_file(reference)
    checks = []
    for name, prepare in (
        ("model.onnx", _prepare_onnx), ("model.pt2", _prepare_pt2), ("model.py", _prepare_source),
    ):  # fmt: skip
        path = folder / name
        raise_if_stopped(should_stop)
        if path.is_file():
            count = None if name == "model.onnx" else num_samples
            try:
                check = _compare(name, prepare(path), {k: v[:count] for k, v in known.items()})
            except Exception as error:
                raise ExportError(f"{name} cannot be run: {error}", "Export it again.") from error
            checks.append(check)
    return tuple(checks)


def verify_export(
    folder: Path, reference: Path | None = None, num_samples: int | None = None,
    should_stop: ShouldStop = never,
) -> tuple[FileCheck, ...]:  # fmt: skip
    """Do the same as ``check_folder`` in a fresh process, which shares nothing with this one.

    The process is ended where the work should stop.

    Raises:
        StoppedError: If it should stop.
        ExportError: If there is nothing to compare with or a file cannot be run.
    """
    command = [sys.executable, "-m", MODULE, str(folder)]
    command += ["--reference", str(reference)] if reference else []
    command += ["--num-samples", str(num_samples)] if num_samples else []
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    done = _run(command, os.environ | {"PYTHONPATH": paths}, should_stop)
    answer = _answer(done.stdout)
    if "message" in answer:
        raise ExportError(str(answer["message"]), str(answer["hint"]))
    if done.returncode or "checks" not in answer:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no answer"]
        raise ExportError(
            f"The process that checks the files ended with status {done.returncode}: {reason[0]}",
            "Try again; it may have run out of memory.",
        )
    return tuple(FileCheck(**check) for check in answer["checks"])


def _run(
    command: Sequence[str], environment: Mapping[str, str], should_stop: ShouldStop
) -> subprocess.CompletedProcess[bytes]:
    """Run a process and read what it writes; end it where it takes too long or should stop."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment,
    )  # fmt: skip
    late = time.monotonic() + TIMEOUT_SECONDS
    with process:
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    output, errors = process.communicate(timeout=ASK_SECONDS)
                    return subprocess.CompletedProcess(command, process.returncode, output, errors)
                raise_if_stopped(should_stop)
                if time.monotonic() > late:
                    raise ExportError(
                        f"Checking the files took more than {TIMEOUT_SECONDS} seconds.",
                        "Compare fewer images.",
                    )
        except BaseException:
            process.kill()
            raise


def _answer(output: bytes) -> dict[str, Any]:
    """The last line that the process wrote, if it is JSON."""
    try:
        answer = json.loads(output.decode().strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _compare(name: str, run: Run, known: dict[str, Tensor]) -> FileCheck:
    images, expected = known["images"], known["scores"]
    with torch.no_grad():
        scores = torch.cat([run(part) for part in images.split(BATCH_SIZE)])
        if len(images) > 1 and len(images) % BATCH_SIZE != 1:
            scores[:1] = run(images[:1])  # a single image must do as well
    classes = scores.argmax(1)
    accuracy = None
    if "labels" in known:
        accuracy = int((classes == known["labels"]).sum()) / len(images)
    return FileCheck(
        file=name,
        max_abs_diff=float((scores.double() - expected.double()).abs().max()),
        agreement=int((classes == expected.argmax(1)).sum()) / len(images),
        samples=len(images),
        accuracy=accuracy,
    )


def _prepare_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: torch.from_numpy(session.run(None, {name: images.numpy()})[0])


def _prepare_pt2(path: Path) -> Run:
    module: Run = torch.export.load(path).module()
    return module


def _prepare_source(path: Path) -> Run:
    spec = importlib.util.spec_from_file_location("exported_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    network: Run = module.load()
    return network


def _main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--num-samples", type=int)
    choices = parser.parse_args(argv)
    try:
        checks = check_folder(choices.folder, choices.reference, choices.num_samples)
        answer: dict[str, object] = {"checks": [asdict(check) for check in checks]}
    except ExportError as error:
        answer = {"message": error.message, "hint": error.hint}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 2 if "message" in answer else 0


if __name__ == "__main__":
    sys.exit(_main())
