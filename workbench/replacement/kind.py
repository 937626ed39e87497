"""What a replacement is, what it works on and what it gives."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from workbench.method import Method
from workbench.progress import Report, ShouldStop

if TYPE_CHECKING:
    import torch

    from workbench.data import Data
    from workbench.model import Model
    from workbench.replacement.settings import ReplacementSettings


@dataclass(frozen=True)
class TensorProof:
    """Whether the zeros of one weight are still there after a replacement.

    Attributes:
        name: Of the weight.
        num_weights: Its entries.
        zeros_before: Entries that were exactly zero.
        zeros_kept: Of those, how many are exactly zero in the file.
        zeros_after: Entries that are exactly zero in the file; more than before where small
            weights were rounded to zero as well.
        kind: What the file holds: ``int8``, ``codes`` or ``float32``; ``uint8`` for a constant
            that is no layer's weight, such as positions that are added.
        zero_point: The number that stands for zero in 8 bits, in ``int8`` that of the channel
            where it is farthest from 0; None for other kinds.
    """

    name: str
    num_weights: int
    zeros_before: int
    zeros_kept: int
    zeros_after: int
    kind: str
    zero_point: int | None = None

    @property
    def survived(self) -> bool:
        """Whether every zero is still exactly zero."""
        exact = self.kind == "uint8" or self.zero_point in (None, 0)
        return self.zeros_kept == self.zeros_before and exact


@dataclass(frozen=True, eq=False)
class Product:
    """What a replacement made: a file, and how to run what is in it.

    Attributes:
        file: Name of the file.
        content: The file.
        onnx: What is timed in ONNX Runtime; empty where the model cannot be written as ONNX.
        model: The model as it is read back from the file; None where ``onnx`` is the file.
        proof: One entry a weight.
        notes: What a reader should know.
    """

    file: str
    content: bytes
    onnx: bytes
    model: "Model | None"
    proof: tuple[TensorProof, ...]
    notes: tuple[str, ...] = ()


class Apply(Protocol):
    """Puts something else in the place of the weights of a model, which stays as it is."""

    def __call__(
        self, model: "Model", data: "Data", settings: "ReplacementSettings", *,
        report: Report, should_stop: ShouldStop, device: "torch.device | str",
    ) -> Product:  # fmt: skip
        """Make the file; a stop is obeyed by ending early with ``StoppedError``."""


@dataclass(frozen=True, kw_only=True)
class Replacement(Method):
    """One way to replace weights, and what is told of it.

    Attributes:
        apply: Does it.
    """

    apply: Apply
