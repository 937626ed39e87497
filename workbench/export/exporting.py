"""Export a model: write every format, run the files afresh, compare, report, move into place."""

import json
import tempfile
import time
import zlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from workbench.architectures import ARCHITECTURES
from workbench.data import Data, Split
from workbench.errors import ExportError
from workbench.export.before import inspect_before
from workbench.export.check import (
    BATCH_SIZE,
    REFERENCE,
    check_folder,
    reference_bytes,
    verify_export,
)
from workbench.export.exported import Exported, ExportedFile, FileCheck
from workbench.export.folder import REPORT, new_folder, storage_errors, write, write_whole
from workbench.export.formats import (
    FORMATS,
    count_zeros,
    get_formats,
    onnx_bytes,
    pt2_bytes,
    safetensors_bytes,
    trace,
)
from workbench.export.page import report_page
from workbench.export.report import ON_CHANNELS, ON_ZEROS, Facts, make_report
from workbench.export.source import model_source, takes_pixels
from workbench.layers import Inspection, inspect
from workbench.model import Model, check_fit
from workbench.plan import PruningPlan
from workbench.plan_file import format_plan
from workbench.progress import (
    Progress,
    Report,
    ShouldStop,
    StoppedError,
    abandonable,
    ignore,
    never,
    raise_if_stopped,
)

if TYPE_CHECKING:
    from workbench.experiment import Run

TOLERANCE = 1e-3
RELATIVE_TOLERANCE = 1e-5
NUM_KEPT = 16
RANDOM_SEED = 0


def export_model(
    model: Model, data: Data | None, plan: PruningPlan | None, folder: Path | str, *,
    formats: Collection[str] = tuple(FORMATS), run: "Run | None" = None,
    dense: Model | None = None, num_samples: int = 256, accuracy: bool = False,
    fresh_process: bool = True, report: Report = ignore, should_stop: ShouldStop = never,
) -> Exported:  # fmt: skip
    """Write a model as files that run elsewhere, each proven to give the same class scores.

    The folder appears whole or not at all; an earlier export in it is replaced.

    Args:
        model: The pruned model, or any other.
        data: Test images to compare on; random images if None.
        plan: What was pruned; written as ``plan.yaml`` unless None.
        folder: Where the files go; it must be new, empty or an earlier export.
        formats: Names in ``FORMATS``; all of them by default.
        run: The measured stages that led to this model, for the report.
        dense: What it was pruned from, for the report; where channels are missing and it is None,
            the network that the architecture builds.
        num_samples: How many test images to compare on.
        accuracy: Measure the accuracy of the ONNX file too, on all test images.
        fresh_process: Run the files in a process of their own, as another machine would.
        report: Receives the steps.
        should_stop: Asked between and during the steps; True leaves no folder behind.

    Raises:
        ExportError: If a format cannot be written, a file's scores differ by more than 1e-3 (or
            by more than 1e-5 of the largest score), pruned zeros are lost, or the folder holds
            something else.
        StorageError: If the folder cannot be written.
        DataError: If the data does not fit the model.
    """
    begin = time.perf_counter()
    folder = Path(folder).absolute()
    export = _Export(model, data, plan, run, dense, get_formats(formats), report, should_stop)
    try:
        with new_folder(folder) as work:
            export.write_files(work)
            export.compare(work, num_samples, accuracy, fresh_process)
            export.write_report(work)
            export.step("Moving the files into place")
    except StoppedError:
        raise ExportError(
            "The export was stopped.", "Nothing was written; start it again."
        ) from None
    return Exported(
        folder=folder,
        files=tuple(export.files),
        checks=export.checks,
        notes=tuple(export.notes),
        seconds=time.perf_counter() - begin,
    )


def export_file(
    model: Model, data: Data | None, path: Path | str, name: str, *, num_samples: int = 256,
    fresh_process: bool = True, report: Report = ignore, should_stop: ShouldStop = never,
) -> Exported:  # fmt: skip
    """Write a model as one file, checked as ``export_model`` does.

    Args:
        model: Any model.
        data: Test images to compare on; random images if None.
        path: The file; replaced where it exists.
        name: A format in ``FORMATS``; ``safetensors`` writes the weights alone.
        num_samples: How many test images to compare on.
        fresh_process: Run the file in a process of its own.
        report: Receives the steps.
        should_stop: Asked between the steps; True writes nothing.

    Raises:
        ExportError: As ``export_model``.
        StorageError: If the file cannot be written.
    """
    path = Path(path).absolute()
    get_formats([name])
    with tempfile.TemporaryDirectory() as scratch:
        exported = export_model(
            model, data, None, Path(scratch) / "export", formats=[name], num_samples=num_samples,
            fresh_process=fresh_process, report=report, should_stop=should_stop,
        )  # fmt: skip
        file = write_whole(path, (exported.folder / FORMATS[name].file).read_bytes())
    checks = tuple(replace(check, file=path.name) for check in exported.checks)
    return replace(exported, folder=path.parent, files=(file,), checks=checks, notes=())


class _Export:
    """One export under way."""

    def __init__(
        self, model: Model, data: Data | None, plan: PruningPlan | None, run: "Run | None",
        dense: Model | None, names: tuple[str, ...], report: Report, should_stop: ShouldStop,
    ) -> None:  # fmt: skip
        if data is not None:
            check_fit(model, data)
        module = model.copy_module().cpu()
        module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.model = replace(model, module=module.eval())
        self.data, self.plan, self.run, self.names = data, plan, run, names
        self.inspection: Inspection = inspect(self.model)
        self.before = inspect_before(self.model, dense)
        self.files: list[ExportedFile] = []
        self.checks: tuple[FileCheck, ...] = ()
        self.notes: list[str] = []
        self.tolerance = TOLERANCE
        self.zipped_weights_bytes: int | None = None
        self._report, self._should_stop = report, should_stop
        self._done = 0
        self._total = len(names) + 4 + ("onnx" in names or "pt2" in names)

    def step(self, message: str) -> None:
        """Tell what comes next, unless the work is to end here."""
        raise_if_stopped(self._should_stop)
        self._report(Progress(self._done, self._total, message))
        self._done += 1

    def write_files(self, work: Path) -> None:
        """Write the model in every format, and the plan."""
        facts = self._facts()
        if "onnx" in self.names or "pt2" in self.names:
            self.step("Recording what the model computes")
            program = abandonable(
                lambda: trace(self.model.module, self.model.input_shape), self._should_stop
            )
        if "onnx" in self.names:
            self.step("Writing ONNX")
            content = abandonable(lambda: onnx_bytes(program, facts), self._should_stop)
            self._check_zeros(content)
            self._write(work / "model.onnx", content)
        if "pt2" in self.names:
            self.step("Writing the PyTorch program")
            content = abandonable(lambda: pt2_bytes(program, facts), self._should_stop)
            self._write(work / "model.pt2", content)
        if "safetensors" in self.names:
            self.step("Writing weights and source")
            self._write_weights(work)
        if self.plan is not None:
            self._write(work / "plan.yaml", format_plan(self.plan).encode())
        else:
            self.notes.append("There is no plan.yaml: the model was exported as it came.")

    def compare(self, work: Path, num_samples: int, accuracy: bool, fresh_process: bool) -> None:
        """Run the files on images and refuse the export if their scores differ."""
        self.step("Running the model in memory")
        split = self._images(None if accuracy else num_samples)
        scores = _scores(self.model.module, split.images, self._should_stop)
        if not torch.isfinite(scores).all():
            raise ExportError(
                f"{self.model.name} gives scores that are NaN or infinite.",
                "Fine-tune again with a lower learning rate, or export an earlier run.",
            )
        largest = float(scores.abs().max())
        self.tolerance = max(TOLERANCE, RELATIVE_TOLERANCE * largest)
        labels = split.labels if accuracy and self.data is not None else None
        few = slice(NUM_KEPT)
        known = split.labels[few] if self.data is not None else None
        kept = reference_bytes(split.images[few], scores[few], known)
        self._write(work / REFERENCE, kept)
        self.step("Running the files and comparing")
        reference = work / "reference.safetensors"
        write(reference, reference_bytes(split.images, scores, labels))
        check = verify_export if fresh_process else check_folder
        self.checks = check(work, reference, num_samples, self._should_stop)
        with storage_errors(reference):
            reference.unlink()
        for result in self.checks:
            if not result.max_abs_diff <= self.tolerance:
                raise ExportError(
                    f"The scores of {result.file} differ from the model's by up to "
                    f"{result.max_abs_diff:.2g}; {self.tolerance:.2g} is let through.",
                    "Leave that format out.",
                )

    def write_report(self, work: Path) -> None:
        """Write the numbers for programs and for people."""
        self.step("Writing the report")
        zeros = sum(row.num_zeros for row in self.inspection.prunable)
        if zeros:
            self.notes.append(ON_ZEROS)
        if self.before:
            self.notes.append(ON_CHANNELS)
        facts = Facts(
            self.model, self.inspection, self.before, self.data, self.plan, self.run,
            tuple(self.files), self.checks, tuple(self.notes), self.tolerance,
            self.zipped_weights_bytes,
        )  # fmt: skip
        values = make_report(facts)
        self._write(work / REPORT, (json.dumps(values, indent=2) + "\n").encode())
        self._write(work / "report.html", report_page(values).encode())

    def _write_weights(self, work: Path) -> None:
        record = {
            "name": self.model.name,
            "architecture": self.model.architecture,
            "arguments": dict(self.model.arguments),
            "input_shape": list(self.model.input_shape),
            "data": self.data.name if self.data else self.model.data_name,
            "data_digest": self.data.digest if self.data else "",
        }
        content = safetensors_bytes(self.model.module, record)
        self._write(work / "weights.safetensors", content)
        self.zipped_weights_bytes = len(zlib.compress(content))
        if self.model.architecture in ARCHITECTURES:
            self._write(work / "model.py", model_source(self.model, self.data).encode())
        else:
            self.notes.append(
                "There is no model.py: the network comes from a factory, whose source the "
                "workbench does not know. Build it with that factory and load the weights."
            )

    def _check_zeros(self, content: bytes) -> None:
        pruned = sum(row.num_zeros for row in self.inspection.prunable)
        found = count_zeros(content)
        if found < pruned:
            raise ExportError(
                f"The ONNX file holds {found:,} zeros; the model has {pruned:,} pruned weights.",
                "Choose the formats pt2 and safetensors.",
            )

    def _facts(self) -> dict[str, str]:
        """What a file says about itself: strings, because ONNX takes nothing else."""
        facts: dict[str, object] = {
            "name": self.model.name,
            "digest": self.model.digest,
            "plan": self.plan.digest if self.plan else "",
            "granularity": self.plan.granularity if self.plan else "",
            "num_params": self.inspection.num_params,
            "dense_num_params": (self.before or self.inspection).num_params,
        }
        if self.data is not None:
            facts["class_names"] = list(self.data.class_names)
            if takes_pixels(self.data):
                facts |= {"mean": list(self.data.mean), "std": list(self.data.std)}
        return {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()}

    def _images(self, num_samples: int | None) -> Split:
        if self.data is not None:
            return self.data.split("test", num_samples)
        self.notes.append("No data was given: the files were compared on random images.")
        generator = torch.Generator().manual_seed(RANDOM_SEED)
        shape = (num_samples or BATCH_SIZE, *self.model.input_shape)
        return Split("random", torch.randn(shape, generator=generator), torch.zeros(0))

    def _write(self, path: Path, content: bytes) -> None:
        self.files.append(write(path, content))


def _scores(module: nn.Module, images: Tensor, should_stop: ShouldStop) -> Tensor:
    found = []
    with torch.no_grad():
        for part in images.split(BATCH_SIZE):
            raise_if_stopped(should_stop)
            found.append(module(part))
    return torch.cat(found)
