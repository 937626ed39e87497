"""The formats of an export, each as bytes."""

import json
import logging
import threading
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from workbench.errors import ExportError
from workbench.names import suggest
from workbench.shared import stored_once

INPUT, OUTPUT, BATCH = "images", "scores", "batch"
_ONE_AT_A_TIME = threading.Lock()
"""PyTorch's exporters fail beside each other; one that was left when work was stopped goes on."""


@dataclass(frozen=True)
class Format:
    """One way to write a model.

    Attributes:
        name: The word used on the command line.
        title: What a page shows.
        summary: One sentence on what it is for.
        file: Name of its file in an exported folder.
    """

    name: str
    title: str
    summary: str
    file: str


FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        Format("onnx", "ONNX", "Runs in ONNX Runtime and many other engines, without PyTorch.",
               "model.onnx"),
        Format("pt2", "PyTorch program",
               "Runs in PyTorch through torch.export.load, without the network's source code.",
               "model.pt2"),
        Format("safetensors", "Weights and source",
               "The weights, and a model.py that rebuilds the network from them with PyTorch "
               "alone.", "weights.safetensors"),
    )
}  # fmt: skip


def get_formats(names: Collection[str]) -> tuple[str, ...]:
    """The named formats, each once, in the order of ``FORMATS``.

    Raises:
        ExportError: If a name is unknown or none is given.
    """
    for name in names:
        if name not in FORMATS:
            raise ExportError(f"There is no export format {name!r}.", suggest(name, FORMATS))
    if not names:
        raise ExportError("No export format is chosen.", suggest("", FORMATS))
    return tuple(name for name in FORMATS if name in names)


def trace(module: nn.Module, input_shape: tuple[int, ...]) -> ExportedProgram:
    """Record what a module computes, for any number of images.

    Args:
        module: In eval mode, on the CPU.
        input_shape: Shape of one image, e.g. ``(channels, height, width)``.

    Raises:
        ExportError: If the computation cannot be recorded.
    """
    images = torch.zeros(2, *input_shape)
    try:
        with _quiet(), torch.no_grad():
            program = torch.export.export(module, (images,), dynamic_shapes=_any_batch())
    except Exception as error:
        raise ExportError(
            f"What {type(module).__name__} computes cannot be recorded: {_first_line(error)}",
            "Choose the format safetensors, which needs no recording.",
        ) from error
    for graph in program.graph_module.modules():
        for node in graph.graph.nodes if isinstance(graph, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # it would carry this machine's paths away
    return program


def onnx_bytes(program: ExportedProgram, facts: Mapping[str, str]) -> bytes:
    """The program as one ONNX file that takes any number of images.

    Args:
        program: What ``trace`` recorded.
        facts: What the file says about itself, such as the class names.

    Raises:
        ExportError: If an operation has no ONNX counterpart, the file would be too large for one
            ONNX file, or the ONNX checker finds a fault in it.
    """
    import onnx  # here, because it takes most of a second to import

    try:
        with _quiet(), torch.no_grad():
            written = torch.onnx.export(
                program, verbose=False, input_names=[INPUT], output_names=[OUTPUT],
                dynamic_shapes=_any_batch(), external_data=False,
            )  # fmt: skip
        assert written is not None
        proto = written.model_proto
        _strip(proto)
        for key, value in facts.items():
            proto.metadata_props.add(key=key, value=value)
        onnx.checker.check_model(proto, full_check=True)
        content: bytes = proto.SerializeToString()
    except Exception as error:
        raise ExportError(
            f"The model cannot be written as ONNX: {_first_line(error)}",
            "Choose the formats pt2 and safetensors.",
        ) from error
    return content


def count_zeros(onnx_content: bytes) -> int:
    """Zeros in the weights of an ONNX file: its initialisers of two or more dimensions."""
    import onnx

    proto = onnx.load_from_string(onnx_content)
    arrays = (
        onnx.numpy_helper.to_array(tensor)
        for tensor in proto.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) >= 2
    )
    return sum(int((array == 0).sum()) for array in arrays)


def pt2_bytes(program: ExportedProgram, facts: Mapping[str, str]) -> bytes:
    """The program as a PyTorch archive; ``torch.export.load`` reads it.

    Args:
        program: What ``trace`` recorded.
        facts: Stored inside as the extra file ``facts.json``.
    """
    buffer = BytesIO()
    with _quiet():
        torch.export.save(program, buffer, extra_files={"facts.json": json.dumps(dict(facts))})
    return buffer.getvalue()


def safetensors_bytes(module: nn.Module, record: Mapping[str, object]) -> bytes:
    """The state dict in safetensors, with a record that lets the workbench open it again.

    Args:
        module: On the CPU. What its layers share is written once, under its first name.
        record: Name, architecture, arguments and data; plain JSON.
    """
    import safetensors.torch

    tensors = {
        name: tensor.detach().clone().contiguous()
        for name, tensor in stored_once(module.state_dict(), module).items()
    }
    metadata = {"format": "pt", "training": json.dumps(dict(record))}
    content: bytes = safetensors.torch.save(tensors, metadata)
    return content


def _any_batch() -> tuple[dict[int, Dim]]:
    return ({0: Dim(BATCH)},)


def _strip(proto: object) -> None:
    """Take out of an ONNX model how it was made: paths and source lines of this machine."""
    proto.ClearField("metadata_props")  # type: ignore[attr-defined]
    graphs = [proto.graph, *proto.functions]  # type: ignore[attr-defined]
    for graph in graphs:
        graph.ClearField("metadata_props")
        parts = [*graph.node, *graph.value_info]
        parts += [*graph.input, *graph.output, *graph.initializer] if graph is graphs[0] else []
        for part in parts:
            part.ClearField("metadata_props")
            part.ClearField("doc_string")


def _first_line(error: Exception) -> str:
    lines = (str(error).strip() or type(error).__name__).splitlines()
    return lines[0][:200].rstrip(".") + "."


@contextmanager
def _quiet() -> Iterator[None]:
    """Run one exporter at a time, and hide what it says about itself, and nothing else."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        for about, category in (
            (r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning),
            ("_check_is_size will be removed", FutureWarning),
            (r"The tensor attributes? self\..*_flat_weights", UserWarning),
        ):
            warnings.filterwarnings("ignore", about, category)
        logger.addFilter(_not_about_torchvision)
        try:
            yield
        finally:
            logger.removeFilter(_not_about_torchvision)


def _not_about_torchvision(record: logging.LogRecord) -> bool:
    return "torchvision" not in record.getMessage()
