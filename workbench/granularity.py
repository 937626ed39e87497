"""Granularity: what goes together when a network is pruned."""

import re
from dataclasses import dataclass

from workbench.errors import PlanError
from workbench.names import suggest

MAX_M = 64
MAX_BLOCK = 256
EXAMPLES = ("weight", "nm:2:4", "block:4x4", "subblock:2x2", "kernel", "channel")
"""One name of each kind, in the order in which pages offer them."""
_NM = re.compile(r"nm:(\d{1,4}):(\d{1,4})\Z")
_BLOCK = re.compile(r"block:(\d{1,4})x(\d{1,4})(:kernel)?\Z")
_SUBBLOCK = re.compile(r"subblock:(\d{1,4})x(\d{1,4})(:disjoint)?\Z")


@dataclass(frozen=True)
class Granularity:
    """What goes together.

    Attributes:
        name: As it stands in plans and on the command line.
        kind: ``weight``, ``nm``, ``block``, ``subblock``, ``kernel`` or ``channel``.
        n: Weights kept of every ``m`` along the inputs; 0 for other kinds.
        m: See ``n``.
        rows: Outputs that a block spans, or rows of a sub-block; 0 for other kinds.
        columns: Inputs that a block spans, or columns of a sub-block; 0 for other kinds.
        inside_kernels: Whether rows and columns of a block are those of each kernel instead, as
            in ``block:2x2:kernel``; always so for sub-blocks.
        overlapping: Whether sub-blocks lie at every place of a kernel rather than side by side.
    """

    name: str
    kind: str
    n: int = 0
    m: int = 0
    rows: int = 0
    columns: int = 0
    inside_kernels: bool = False
    overlapping: bool = False

    @property
    def structured(self) -> bool:
        """Whether whole channels go, so that the network itself becomes smaller."""
        return self.kind == "channel"

    @property
    def unit(self) -> str:
        """What is kept or pruned as one; of sub-blocks, which overlap, the weights are counted."""
        return {"nm": "N:M group", "subblock": "weight"}.get(self.kind, self.kind)

    @property
    def title(self) -> str:
        """What a page shows."""
        return {
            "weight": "Single weights",
            "nm": f"{self.n}:{self.m} ({self.n} of every {self.m} inputs kept)",
            "block": f"Blocks of {self.rows} x {self.columns}"
            + (" inside kernels" if self.inside_kernels else ""),
            "subblock": f"Sub-blocks of {self.rows} x {self.columns}, "
            + ("overlapping" if self.overlapping else "side by side"),
            "kernel": "Whole kernels",
            "channel": "Channels, neurons and heads",
        }[self.kind]

    @property
    def summary(self) -> str:
        """One sentence on what it is and what it is good for."""
        return {
            "weight": "Prunes single weights wherever they lie: the least damage at a given "
            "sparsity, smaller files, but no gain in speed on common runtimes.",
            "nm": "Keeps N of every M weights along the inputs of a layer, the pattern that "
            "sparse tensor cores can use.",
            "block": "Prunes rectangles of outputs by inputs, the pattern of block-sparse kernels.",
            "subblock": "Cuts each kernel of a convolution into parts that overlap or lie side by "
            "side; the parts with the lowest scores go, and with them every weight that no kept "
            "part covers. Sparsity is the share of a layer's weights.",
            "kernel": "Prunes whole kernels: all weights between one input channel and one "
            "output channel.",
            "channel": "Removes whole channels, neurons and attention heads together with all "
            "that depends on them: the file and the latency really shrink.",
        }[self.kind]


def parse_granularity(text: object) -> Granularity:
    """Read a granularity such as ``weight``, ``nm:2:4``, ``block:4x4``, ``kernel``, ``channel``.

    Blocks are outputs by inputs, or places of each kernel as in ``block:2x2:kernel``. Sub-blocks,
    ``subblock:4x4``, lie at every place of each kernel, or side by side as in
    ``subblock:2x2:disjoint``.

    Raises:
        PlanError: If there is none of that name, or its numbers are out of range.
    """
    if not isinstance(text, str):
        raise PlanError(f"The granularity is {text!r}.", f"Write one of: {', '.join(EXAMPLES)}.")
    if text in ("weight", "kernel", "channel"):
        return Granularity(text, text)
    if match := _NM.match(text):
        n, m = int(match[1]), int(match[2])
        if not 1 <= n < m <= MAX_M:
            raise PlanError(
                f"Granularity {text!r} keeps {n} of every {m} weights.",
                f"Choose N:M with 1 <= N < M <= {MAX_M}, such as nm:2:4.",
            )
        return Granularity(text, "nm", n=n, m=m)
    if match := _BLOCK.match(text):
        rows, columns = _rectangle(text, match, "block:4x4")
        inside = match[3] is not None
        return Granularity(text, "block", rows=rows, columns=columns, inside_kernels=inside)
    if match := _SUBBLOCK.match(text):
        rows, columns = _rectangle(text, match, "subblock:2x2")
        return Granularity(
            text, "subblock", rows=rows, columns=columns, inside_kernels=True,
            overlapping=match[3] is None,
        )  # fmt: skip
    raise PlanError(f"There is no granularity {text!r}.", suggest(text, EXAMPLES))


def _rectangle(text: str, match: re.Match[str], example: str) -> tuple[int, int]:
    """Rows and columns of a block, at least two weights."""
    rows, columns = int(match[1]), int(match[2])
    if not (1 <= rows <= MAX_BLOCK and 1 <= columns <= MAX_BLOCK and rows * columns > 1):
        raise PlanError(
            f"Granularity {text!r} asks for blocks of {rows} x {columns}.",
            f"Choose 1 to {MAX_BLOCK} rows and columns, at least 2 weights in all, "
            f"such as {example}.",
        )
    return rows, columns
