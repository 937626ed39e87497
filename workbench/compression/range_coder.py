"""A binary range coder that learns how likely each bit is while it codes.

Encoder and decoder have the same method ``code``: the encoder writes the bit it is given and
returns it, the decoder takes no notice of the argument and returns the bit that it reads. What is
coded can therefore be told once, for both directions. All arithmetic is of whole numbers, so that a
file reads the same on every machine.

References:
    Martin 1979, "Range encoding: an algorithm for removing redundancy from a digitised message".
    Krichevsky and Trofimov 1981, "The performance of universal encoding" (the estimate of a bit).
"""

from typing import Protocol

MOST_COUNTED = 1023
"""Bits of a context that are remembered; beyond that all counts are halved."""
BITS_AT_LEAST = 0.0007
"""What a bit costs at least, in bits: a context is never surer than its counts allow."""
_TOP, _LEAST = 1 << 40, 1 << 32
_PROBABILITY_BITS = 16

Counts = list[int]
"""Zeros and ones that a context has seen, ``[0, 0]`` at first; changed by every coded bit."""


class Coder(Protocol):
    """Either direction."""

    def code(self, bit: int, counts: Counts) -> int:
        """Write ``bit``, or read one; returns it."""


class Encoder:
    """Writes bits into bytes."""

    def __init__(self) -> None:
        self._low, self._range = 0, _TOP - 1
        self._out = bytearray()

    def code(self, bit: int, counts: Counts) -> int:
        """Write one bit, which costs little where its context expects it."""
        bound = (self._range >> _PROBABILITY_BITS) * _chance_of_zero(counts)
        if bit:
            self._low += bound
            self._range -= bound
            if self._low >= _TOP:
                self._low -= _TOP
                self._carry()
        else:
            self._range = bound
        while self._range < _LEAST:
            self._out.append(self._low >> 32)
            self._low = (self._low << 8) & (_TOP - 1)
            self._range <<= 8
        _count(bit, counts)
        return bit

    def finish(self) -> bytes:
        """All bytes; those that are zero at the end are left out, the decoder adds them."""
        for kept in range(1, 6):  # the number with the fewest digits that lies in the range
            step = 1 << (40 - 8 * kept)
            value = -(-self._low // step) * step
            if value < self._low + self._range:
                break
        if value >= _TOP:
            value -= _TOP
            self._carry()
        return bytes(self._out + value.to_bytes(5, "big")).rstrip(b"\0")

    def _carry(self) -> None:
        """Add one to what was written already."""
        place = len(self._out) - 1
        while self._out[place] == 255:
            self._out[place] = 0
            place -= 1
        self._out[place] += 1


class Decoder:
    """Reads bits from what an encoder wrote; beyond its end it reads zeros."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 5
        self._range = _TOP - 1
        self._value = int.from_bytes(content[:5].ljust(5, b"\0"), "big")

    def code(self, bit: int, counts: Counts) -> int:
        """Read one bit; ``bit`` is not looked at."""
        bound = (self._range >> _PROBABILITY_BITS) * _chance_of_zero(counts)
        bit = int(self._value >= bound)
        if bit:
            self._value -= bound
            self._range -= bound
        else:
            self._range = bound
        while self._range < _LEAST:
            place = self._place
            following = self._content[place] if place < len(self._content) else 0
            self._value = self._value << 8 | following
            self._range <<= 8
            self._place = place + 1
        _count(bit, counts)
        return bit


def _chance_of_zero(counts: Counts) -> int:
    """The estimate (zeros + 1/2) / (all + 1), in parts of 65,536."""
    zeros, ones = counts
    return ((2 * zeros + 1) << _PROBABILITY_BITS) // (2 * (zeros + ones) + 2)


def _count(bit: int, counts: Counts) -> None:
    counts[bit] += 1
    if counts[0] + counts[1] > MOST_COUNTED:
        counts[0] >>= 1
        counts[1] >>= 1
