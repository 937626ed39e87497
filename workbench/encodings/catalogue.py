"""The encodings by name: how each stores the weights, and who can compute with it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from workbench.encodings.blocks import Blocks
from workbench.encodings.layouts import Bitmask, Coo, Csr, Dense, Int8, Layout, NmPacked
from workbench.granularity import Granularity

Speed = Literal["everywhere", "some hardware", "nowhere"]


@dataclass(frozen=True)
class Encoding:
    """One way to store a pruned network.

    Attributes:
        name: In results and JSON.
        title: What a page shows.
        summary: One sentence on how it stores the weights.
        runtimes: Who computes with it, in sentences.
        speed: Where its zeros, or missing channels, save time.
        layout: How it writes one weight tensor; None where it is a whole file or network.
    """

    name: str
    title: str
    summary: str
    runtimes: str
    speed: Speed
    layout: Layout | None = None


FP32 = Encoding(
    "fp32", "Dense, 32 bits",
    "Every weight in four bytes, zero or not.",
    "Every runtime. A zero takes the room and the time of any other number.",
    "nowhere", Dense(32),
)  # fmt: skip
FP16 = Encoding(
    "fp16", "Dense, 16 bits",
    "Every weight in two bytes, rounded to three digits.",
    "GPUs and phones compute in it (PyTorch with CUDA, TensorRT, Core ML, LiteRT); on most CPUs it "
    "is turned back into 32 bits first. Zeros play no part.",
    "nowhere", Dense(16),
)  # fmt: skip
INT8 = Encoding(
    "int8", "8-bit integers",
    "Every weight in one byte, with one scale an output channel; rounded.",
    "ONNX Runtime, OpenVINO, LiteRT and TensorRT compute in it, on CPUs as well, once the "
    "activations are quantised too. Zeros play no part.",
    "nowhere", Int8(),
)  # fmt: skip
BITMASK = Encoding(
    "bitmask", "Bit mask",
    "One bit for every place, and four bytes for each weight that is not zero.",
    "For storing and sending only: no common runtime computes with it, it is unpacked on loading.",
    "nowhere", Bitmask(),
)  # fmt: skip
CSR = Encoding(
    "csr", "CSR, 32-bit indices",
    "Row by row the column and the value of each weight that is not zero.",
    "Matrix products in torch.sparse, SciPy, MKL and cuSPARSE, as a rule faster than dense ones "
    "only where nine weights of ten are zero; PyTorch's own indices have 64 bits and take more. "
    "LiteRT has such kernels for 1 × 1 convolutions (XNNPACK). ONNX Runtime has none.",
    "some hardware", Csr(),
)  # fmt: skip
CSR_NARROW = Encoding(
    "csr_narrow", "CSR, narrowest indices",
    "CSR with indices of one, two or four bytes, whichever is enough for the layer.",
    "For storing: LiteRT's files allow such indices, other libraries widen them on loading.",
    "nowhere", Csr(narrow=True),
)  # fmt: skip
COO = Encoding(
    "coo", "COO, 32-bit indices",
    "Row, column and value of each weight that is not zero.",
    "torch.sparse (with 64-bit indices, which take more), SciPy, and the sparse weights of ONNX "
    "files, which ONNX Runtime makes dense again on loading.",
    "nowhere", Coo(),
)  # fmt: skip
GZIP = Encoding(
    "gzip", "Weights file, gzip",
    "The safetensors file as written, compressed by gzip at its usual level 6.",
    "For storing and sending only: it is unpacked before the network is loaded.",
    "nowhere",
)  # fmt: skip
ZSTD = Encoding(
    "zstd", "Weights file, zstd",
    "The safetensors file as written, compressed by Zstandard at its usual level 3.",
    "For storing and sending only: it is unpacked before the network is loaded.",
    "nowhere",
)  # fmt: skip
REMOVED = Encoding(
    "removed", "Channels removed",
    "What is left of the dense network when whole channels, neurons and heads are cut out.",
    "Every runtime: the layers themselves are smaller, so there is less to store, to load and to "
    "compute.",
    "everywhere",
)  # fmt: skip

_NM_ON_GPUS = (
    "The tensor cores of NVIDIA GPUs from Ampere on, in 16 or 8 bits as a rule: TensorRT, "
    "cuSPARSELt, PyTorch's semi-structured tensors. On CPUs it is for storing only."
)
_NM_NOWHERE = (
    "For storing only: sparse tensor cores take 2:4, and no common runtime computes with {n}:{m}."
)
_BLOCK_RUNTIMES = (
    "PyTorch's block-sparse tensors on NVIDIA GPUs (sides of 16 and more), matrix products in MKL "
    "and cuSPARSE, LiteRT for fully connected layers with blocks of 1 × 4. ONNX Runtime has no "
    "such kernels; DeepSparse, a CPU runtime for sparse networks, is no longer developed."
)


def encodings_for(granularity: Granularity) -> Mapping[str, Encoding]:
    """All encodings by name, in the order of a table; N:M and blocks as the granularity has them.

    Args:
        granularity: Of the plan. Where it has no N:M or block size of its own, 2:4 and 4 x 4 stand
            for the kind.
    """
    layers = (FP16, INT8, BITMASK, CSR, CSR_NARROW, COO, _nm(granularity), _block(granularity))
    return {entry.name: entry for entry in (FP32, *layers, GZIP, ZSTD, REMOVED)}


def _nm(granularity: Granularity) -> Encoding:
    n, m = (granularity.n, granularity.m) if granularity.kind == "nm" else (2, 4)
    layout = NmPacked(n, m)
    on_gpus = m in (2, 4) and 2 * n <= m
    return Encoding(
        "nm", f"{n}:{m} packed",
        f"Of every {m} weights {n} in four bytes each, and where they stand in {layout.bits} bits.",
        _NM_ON_GPUS if on_gpus else _NM_NOWHERE.format(n=n, m=m),
        "some hardware" if on_gpus else "nowhere", layout,
    )  # fmt: skip


def _block(granularity: Granularity) -> Encoding:
    entry = Encoding(
        "block", "Blocks of 4 × 4", "The blocks that are not all zero, each with its column.",
        _BLOCK_RUNTIMES, "some hardware", Blocks(4, 4),
    )  # fmt: skip
    if granularity.kind == "kernel":
        return replace(entry, title="Whole kernels", layout=Blocks())
    if granularity.kind != "block":
        return entry
    title = f"Blocks of {granularity.rows} × {granularity.columns}"
    inside = granularity.inside_kernels
    layout = Blocks(granularity.rows, granularity.columns, inside)
    return replace(entry, title=title + " in kernels" * inside, layout=layout)
