"""ONNX Runtime's quantiser, without its chatter, and a look into what it wrote."""

import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from workbench.errors import ExportError
from workbench.progress import StoppedError
from workbench.replacement.kind import TensorProof

if TYPE_CHECKING:
    import onnx

QUANTIZED, ZERO_POINT = "_quantized", "_zero_point"
_WEIGHTY = ("Conv", "Gemm", "MatMul", "GRU", "LSTM", "RNN", "ConvTranspose")


def quantised(content: bytes, quantise: Callable[[Path, Path], None]) -> bytes:
    """Run the quantiser from one file to another.

    Args:
        content: An ONNX file in float32.
        quantise: Takes the two paths.

    Raises:
        ExportError: If the quantiser cannot handle the network.
    """
    import onnx

    proto = onnx.load_from_string(content)
    # Shapes that the exporter noted are those before the quantiser turns matrices around.
    proto.graph.ClearField("value_info")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(proto.SerializeToString())
        try:
            with _quiet():
                quantise(source, target)
            return target.read_bytes()
        except StoppedError:
            raise
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")
            raise ExportError(
                f"ONNX Runtime's quantiser cannot handle this network: {reason}.",
                "Choose k-means clustering, which works on any network.",
            ) from error


class CalibrationImages:
    """Images without labels, as the quantiser reads them: one batch at a time.

    Args:
        images: ``(samples, channels, height, width)``.
        name: Of the network's input.
        batch: Images at once.
        on_batch: Hears how many images were read.
    """

    def __init__(
        self, images: Tensor, name: str, batch: int, on_batch: Callable[[int], None]
    ) -> None:
        self._parts: Iterator[Tensor] = iter(images.split(batch))
        self._name, self._on_batch, self._read = name, on_batch, 0

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch, or None after the last."""
        part = next(self._parts, None)
        if part is None:
            return None
        self._read += len(part)
        self._on_batch(self._read)
        return {self._name: part.numpy()}


def prove_zeros(before: bytes, after: bytes) -> tuple[TensorProof, ...]:
    """Compare each weight of an ONNX file with what a quantised file holds in its place.

    Args:
        before: In float32.
        after: What the quantiser made of it.

    Returns:
        One entry for each weight of two or more axes.
    """
    import onnx

    old, new = onnx.load_from_string(before), onnx.load_from_string(after)
    arrays = {entry.name: entry for entry in new.graph.initializer}
    return tuple(
        _prove(entry.name, onnx.numpy_helper.to_array(entry), arrays)
        for entry in old.graph.initializer
        if entry.data_type == onnx.TensorProto.FLOAT and len(entry.dims) >= 2
    )


def left_in_float(after: bytes) -> list[str]:
    """Sentences about layers whose weights the quantiser left in float32."""
    import onnx

    proto = onnx.load_from_string(after)
    floats = {
        entry.name
        for entry in proto.graph.initializer
        if entry.data_type == onnx.TensorProto.FLOAT and len(entry.dims) >= 2
    }
    found: Counter[str] = Counter(
        node.op_type
        for node in proto.graph.node
        if node.op_type in _WEIGHTY and any(name in floats for name in node.input)
    )
    return [
        f"{count} {kind} {'layer stays' if count == 1 else 'layers stay'} in float32: ONNX "
        "Runtime's quantiser has no 8-bit form of this kind here."
        for kind, count in sorted(found.items())
    ]


def _prove(name: str, weight: np.ndarray, arrays: "Mapping[str, onnx.TensorProto]") -> TensorProof:
    import onnx

    zeros = weight == 0
    held = arrays.get(name + QUANTIZED) or arrays.get(name)
    if held is None:
        return TensorProof(name, weight.size, int(zeros.sum()), 0, 0, "missing")
    numbers = onnx.numpy_helper.to_array(held)
    if numbers.shape != weight.shape:
        zeros = zeros.T  # a Gemm with its matrix turned around has become a MatMul
    kind, point = str(numbers.dtype), None
    zero = numbers == 0
    if kind != "float32":
        points = onnx.numpy_helper.to_array(arrays[name + ZERO_POINT]).ravel().astype(int)
        point = int(points[np.abs(points).argmax()])
        if kind == "uint8":  # a constant that is added, held as the values between layers are
            zero = numbers == point
    return TensorProof(
        name, weight.size, int(zeros.sum()), int((zero & zeros).sum()), int(zero.sum()), kind, point
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the quantiser says about itself on the root logger, and nothing else."""
    root = logging.getLogger()
    root.addFilter(_not_the_quantiser)
    try:
        yield
    finally:
        root.removeFilter(_not_the_quantiser)


def _not_the_quantiser(record: logging.LogRecord) -> bool:
    return "onnxruntime/quantization" not in record.pathname.replace("\\", "/")
