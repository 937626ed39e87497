"""Replace the weights of a model, measure what came out, and prove that zeros survived."""

import tempfile
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.data import Data
from workbench.errors import ExportError
from workbench.export.folder import write_whole
from workbench.latency import (
    MIN_RUNS,
    LatencyComparison,
    compare_times,
    onnx_pass,
    random_images,
    time_in_turns,
)
from workbench.metrics import Score, score
from workbench.model import Model, check_fit
from workbench.progress import (
    Progress,
    Report,
    ShouldStop,
    StoppedError,
    ignore,
    never,
)
from workbench.replacement import get_replacement
from workbench.replacement.kind import Product, TensorProof
from workbench.replacement.settings import ReplacementSettings
from workbench.speedup import RUNS, write_onnx

TOTAL = 1_000
_MAKING, _SCORING = 600, 300


@dataclass(frozen=True)
class State:
    """A model as it is before a replacement: what the results are compared with.

    Attributes:
        name: Of the model.
        accuracy: On the test split, a fraction; ``ci_low`` and ``ci_high`` bound it at 95 %.
        samples: Test images.
        bytes: Of its weights file on disk, float32.
        zipped_bytes: Of that file after deflate.
        num_params: Parameters.
        num_nonzero: Parameters that are not zero.
    """

    name: str
    accuracy: float
    ci_low: float
    ci_high: float
    samples: int
    bytes: int
    zipped_bytes: int
    num_params: int
    num_nonzero: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Replaced:
    """What came out of one replacement; every number is measured on the file itself.

    Attributes:
        settings: What was asked for.
        file: Name of the file.
        bytes: How long it is on disk.
        zipped_bytes: After deflate.
        sha256: Of the file.
        accuracy: Of what is in the file, on the test split; ``ci_low`` and ``ci_high`` bound it
            at 95 %.
        samples: Test images.
        validation: Accuracy on the validation split, for choosing among settings.
        proof: Zeros before and after, a weight each.
        latency: The former model and this one, timed in turns in ONNX Runtime; None where they
            cannot be written as ONNX or the timing was stopped.
        restored: Whether reading the file gave again, bit for bit, what was measured.
        notes: What a reader should know.
        seconds: Time it took, measuring included.
    """

    settings: ReplacementSettings
    file: str
    bytes: int
    zipped_bytes: int
    sha256: str
    accuracy: float
    ci_low: float
    ci_high: float
    samples: int
    validation: float
    proof: tuple[TensorProof, ...]
    latency: LatencyComparison | None
    restored: bool
    notes: tuple[str, ...]
    seconds: float

    @property
    def survived(self) -> bool:
        """Whether every weight that was zero is exactly zero in the file."""
        return all(proof.survived for proof in self.proof)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return vars(self) | {
            "settings": self.settings.to_dict(),
            "key": self.settings.key,
            "proof": [asdict(proof) | {"survived": proof.survived} for proof in self.proof],
            "latency": self.latency.to_dict() if self.latency else None,
            "notes": list(self.notes),
            "survived": self.survived,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Replaced":
        """The reverse of ``to_dict``."""
        own = {key: value for key, value in values.items() if key not in ("key", "survived")}
        proof = tuple(
            TensorProof(**{key: value for key, value in row.items() if key != "survived"})
            for row in values["proof"]
        )
        latency = values["latency"]
        return cls(
            **own
            | {
                "settings": ReplacementSettings.from_dict(values["settings"]),
                "proof": proof,
                "latency": LatencyComparison.from_dict(latency) if latency else None,
                "notes": tuple(values["notes"]),
            }
        )


def describe_state(
    model: Model, data: Data, *, device: torch.device | str = "cpu",
    should_stop: ShouldStop = never,
) -> State:  # fmt: skip
    """Measure a model as it is: accuracy on the test split, and its weights file.

    Raises:
        DataError: If the data do not fit the model.
    """
    check_fit(model, data)
    scored = score(model.module, data.split("test"), device=device, should_stop=should_stop)
    content = _weights_file(model)
    parameters = list(model.module.parameters())
    return State(
        model.name, scored.accuracy, scored.ci_low, scored.ci_high, scored.samples,
        _on_disk(content), len(zlib.compress(content, 9)),
        sum(parameter.numel() for parameter in parameters),
        sum(int(torch.count_nonzero(parameter)) for parameter in parameters),
    )  # fmt: skip


def replace_weights(
    model: Model, data: Data, settings: ReplacementSettings, folder: Path | str, *,
    timed: bool = True, report: Report = ignore, should_stop: ShouldStop = never,
    device: torch.device | str = "cpu",
) -> Replaced | None:  # fmt: skip
    """Put something else in the place of a model's weights, as a file, and measure that file.

    Args:
        model: Dense or pruned; it stays as it is.
        data: Images that fit it. Calibration images serve without labels, training images train,
            validation images choose, and the test split gives the final number.
        settings: What to do.
        folder: Gets the file; made if absent.
        timed: Whether to time it beside the model as it was, in ONNX Runtime.
        report: Hears of every step.
        should_stop: True gives up.
        device: Where to compute; ONNX Runtime computes on the processor.

    Returns:
        The result, or None if it was stopped.

    Raises:
        DataError: If the data do not fit the model.
        ExportError: If the model cannot be written in that form.
        PlanError: If a pattern or multiple leaves nothing to do.
        StorageError: If the folder cannot be written.
    """
    check_fit(model, data)
    start = time.perf_counter()
    making = part_of_total(report, 0, _MAKING)
    try:
        product = get_replacement(settings.method).apply(
            model, data, settings, report=making, should_stop=should_stop, device=device
        )
    except StoppedError:
        return None
    except Exception:
        if should_stop():
            return None
        raise
    path = Path(folder) / product.file
    written = write_whole(path, product.content)
    module: nn.Module = (
        product.model.module if product.model is not None else OnnxModule(path.read_bytes())
    )
    where = device if product.model is not None else "cpu"
    scored = _scored(module, data, where, part_of_total(report, _MAKING, _SCORING), should_stop)
    if scored is None:
        return None
    try:
        restored = _reads_back(path, product, model, should_stop)
    except StoppedError:
        return None
    latency = None
    if timed and product.onnx:
        rest = part_of_total(report, _MAKING + _SCORING, TOTAL - _MAKING - _SCORING)
        latency = _timed(model, product, rest, should_stop)
    test, validation = scored
    return Replaced(
        settings, product.file, path.stat().st_size, len(zlib.compress(product.content, 9)),
        written.sha256, test.accuracy, test.ci_low, test.ci_high, test.samples,
        validation.accuracy, product.proof, latency, restored, product.notes,
        time.perf_counter() - start,
    )  # fmt: skip


class OnnxModule(nn.Module):
    """An ONNX file as a network on the processor.

    Args:
        content: The file.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        import onnxruntime  # here, because only this needs it

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self._name = self._session.get_inputs()[0].name
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Score images ``(batch, channels, height, width)``; returns ``(batch, classes)``."""
        scores: np.ndarray = self._session.run(None, {self._name: images.numpy()})[0]
        return torch.from_numpy(scores)


def part_of_total(report: Report, first: int, count: int) -> Report:
    """A report of its own for ``count`` steps out of ``TOTAL``, from ``first`` on."""

    def tell(progress: Progress) -> None:
        inside = min(1.0, progress.done / progress.total) if progress.total else 0.0
        done = first + round(count * inside)
        report(Progress(done, TOTAL, progress.message, progress.values))

    return tell


def _scored(
    module: nn.Module, data: Data, device: torch.device | str, report: Report,
    should_stop: ShouldStop,
) -> tuple[Score, Score] | None:  # fmt: skip
    """Scores on the test and the validation split; None if stopped before the last image."""
    splits = data.split("test"), data.split("validation")
    scores = []
    for split in splits:
        scores.append(score(module, split, device=device, report=report, should_stop=should_stop))
        if scores[-1].samples < len(split):
            return None
    return scores[0], scores[1]


def _timed(
    model: Model, product: Product, report: Report, should_stop: ShouldStop
) -> LatencyComparison | None:
    """The former model and the new one in turns, one image, one thread."""
    images = random_images(model.input_shape, 1)
    try:
        before = write_onnx(model, should_stop)
    except (ExportError, StoppedError):
        return None
    passes = [onnx_pass(content, images, 1) for content in (before, product.onnx)]
    times = time_in_turns(passes, RUNS, report=report, should_stop=should_stop)
    if len(times[0]) < MIN_RUNS:
        return None
    return compare_times("onnxruntime", times[0], times[1], 1, 1)


def _reads_back(path: Path, product: Product, model: Model, should_stop: ShouldStop) -> bool:
    """Whether the file on disk gives, bit for bit, the network that was measured."""
    if product.model is None:
        return path.read_bytes() == product.content
    from workbench.compression.restoring import load_compressed
    from workbench.loading import load_model

    if path.suffix == ".safetensors":
        if not model.architecture:
            return path.read_bytes() == product.content
        again = load_model(path)
    else:
        again = load_compressed(path, None if model.architecture else model, should_stop)
    expected = product.model.module.state_dict()
    found = again.module.state_dict()
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


def _weights_file(model: Model) -> bytes:
    from workbench.export.formats import safetensors_bytes

    record = {
        "name": model.name, "architecture": model.architecture,
        "arguments": dict(model.arguments), "input_shape": list(model.input_shape),
        "data": model.data_name,
    }  # fmt: skip
    return safetensors_bytes(model.module.cpu(), record)


def _on_disk(content: bytes) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        path.write_bytes(content)
        return path.stat().st_size
