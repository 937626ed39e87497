"""One look at every weight: counts by the upper bits, moments, zeros, what is no number.

A float32 is sorted by its bits, so the upper half of its bits (sign, exponent and seven bits of
the fraction) is a histogram bin, called its code here, and each bin is less than 0.8 % wide.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor, float32

CODES = 1 << 15
"""Codes of the absolute value; a negative weight's code is so much higher."""
INFINITE = 0x7F80
"""The first code that stands for no finite number."""
CHUNK = 1 << 15
"""Weights at a time: they and what is computed from them stay in the processor's cache."""

Counts = npt.NDArray[np.int64]
Pieces = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scan:
    """One look at every weight of a layer.

    Attributes:
        num_weights: Entries of the weight.
        num_zeros: Entries that are zero, of either sign.
        num_nan: Entries that are not a number.
        minimum: Smallest finite weight, infinite if there is none.
        maximum: Largest finite weight, minus infinite if there is none.
        shift: About the mean.
        sums: First to fourth powers of the distance to ``shift``, summed over finite weights.
        codes: Codes that occur among weights other than zero, rising, ``(codes,)``.
        counts: How often, ``(codes,)``.
    """

    num_weights: int
    num_zeros: int
    num_nan: int
    minimum: float
    maximum: float
    shift: float
    sums: tuple[float, ...]
    codes: Counts
    counts: Counts

    @property
    def by_code(self) -> Counts:
        """Finite weights other than zero: positive and negative ones by code, ``(2, INFINITE)``."""
        both = np.zeros(2 * CODES, np.int64)
        both[self.codes] = self.counts
        return both.reshape(2, CODES)[:, :INFINITE]


def scan_weight(weight: Tensor) -> Scan:
    """Look at every weight once, of any shape and floating type, without copying it."""
    signed, sums = np.zeros(1 << 16, np.int64), np.zeros(4)
    shift: float | None = None
    num_zeros = num_nan = 0
    low, high = math.inf, -math.inf
    for chunk in chunks_of(weight):
        counts = np.bincount(signed_codes(chunk), minlength=1 << 16)
        signed += counts
        num_zeros += len(chunk) - int(np.count_nonzero(chunk))
        if counts[INFINITE:CODES].any() or counts[CODES + INFINITE :].any():
            num_nan += int(np.isnan(chunk).sum())
            chunk = chunk[np.isfinite(chunk)]
        if len(chunk):
            shift = float(chunk.mean(dtype=np.float64)) if shift is None else shift
            low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
            sums += _power_sums(chunk, shift)
    negative_zeros = num_zeros and sum(_num_negative_zeros(chunk) for chunk in chunks_of(weight))
    signed[0] -= num_zeros - negative_zeros
    signed[CODES] -= negative_zeros
    codes = np.flatnonzero(signed)
    return Scan(
        weight.numel(), num_zeros, num_nan, low, high, shift or 0.0, tuple(sums.tolist()),
        codes, signed[codes],
    )  # fmt: skip


def _power_sums(chunk: Pieces, shift: float) -> Floats:
    """Sums of the first four powers of ``chunk - shift``, in double precision."""
    distance = np.subtract(chunk, shift, dtype=np.float64)
    square = distance * distance
    first, second = distance.sum(), square.sum()
    distance *= square
    square *= square
    return np.array([first, second, distance.sum(), square.sum()])


def _num_negative_zeros(chunk: Pieces) -> int:
    return int(np.count_nonzero(chunk.view(np.uint32) == 0x80000000))


def chunks_of(weight: Tensor) -> Iterator[Pieces]:
    """Pieces of a tensor in the order of its memory, without copying it where it is float32."""
    weight = weight.detach()
    by_stride = sorted(range(weight.dim()), key=weight.stride, reverse=True)
    dense = weight.permute(by_stride)
    flat = dense.reshape(-1)  # a view, unless the tensor has gaps
    for piece in flat.split(CHUNK):
        yield piece.to("cpu", float32).numpy()


def signed_codes(chunk: Pieces) -> npt.NDArray[np.uint32]:
    """The code of each weight; ``CODES`` and more for negative ones."""
    return chunk.view(np.uint32) >> np.uint32(16)


def nearest_codes(values: Floats) -> Counts:
    """The bin whose lower edge lies nearest to each value, at most the first infinite one."""
    bits = values.clip(max=3.4e38).astype(np.float32).view(np.uint32)
    codes: Counts = np.minimum((bits.astype(np.int64) + 0x8000) >> 16, INFINITE)
    return codes


def values_of_codes(codes: Counts) -> Floats:
    """Lower edge of each bin; the largest float where that is infinite."""
    values = (codes.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.minimum(values.astype(np.float64), np.finfo(np.float32).max)


def bin_edges(first: int, bins: int) -> Floats:
    """Lower edges of so many bins from a code on, and the end of the last."""
    return values_of_codes(np.arange(first, first + bins + 1))


def value_at_rank(counts: Counts, starts: Floats, rank: float) -> float:
    """Value below which ``rank`` of the counted ones lie, evenly spread inside each bin.

    ``counts`` is ``(bins,)``, ``starts`` the lower edge of each bin and the end, ``(bins + 1,)``.
    """
    cumulative = counts.cumsum()
    index = min(int(np.searchsorted(cumulative, rank)), len(counts) - 1)
    inside = (rank - float(cumulative[index] - counts[index])) / max(1, int(counts[index]))
    return float(starts[index] + min(1.0, inside) * (starts[index + 1] - starts[index]))
