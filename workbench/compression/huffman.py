"""Canonical Huffman words: the lengths of the words alone tell all of them.

Reference:
    Huffman 1952, "A Method for the Construction of Minimum-Redundancy Codes".
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

LONGEST = 15
_LENGTH_BITS = 4


class BitWriter:
    """Bits in a row, the highest of each number first."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def write(self, number: int, length: int) -> None:
        """Append a number in so many bits."""
        if length:
            self._bits.append(f"{number:0{length}b}")

    def finish(self) -> bytes:
        """All bits, filled up to whole bytes with zeros."""
        bits = "".join(self._bits)
        bits += "0" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big") if bits else b""


class BitReader:
    """Reads what a ``BitWriter`` wrote."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0

    def read(self, length: int) -> int:
        """The number in the next bits.

        Raises:
            ValueError: If there are not so many.
        """
        number = 0
        for _ in range(length):
            byte, bit = divmod(self._place, 8)
            if byte >= len(self._content):
                raise ValueError("The words end too early.")
            number = number << 1 | (self._content[byte] >> (7 - bit) & 1)
            self._place += 1
        return number


@dataclass(frozen=True)
class Words:
    """The words of an alphabet.

    Attributes:
        lengths: Bits of the word of each symbol; 0 where it does not occur.
    """

    lengths: tuple[int, ...]

    @classmethod
    def of_counts(cls, counts: Sequence[int]) -> "Words":
        """The shortest words, none longer than 15 bits, for symbols that occur so often."""
        while True:
            lengths = _lengths(counts)
            if max(lengths, default=0) <= LONGEST:
                return cls(tuple(lengths))
            counts = [(count + 1) // 2 for count in counts]

    @cached_property
    def _words(self) -> dict[int, int]:
        """Symbol to its word: rising within a length, and from each length to the next."""
        word, last, words = 0, 0, {}
        for length, symbol in sorted((n, s) for s, n in enumerate(self.lengths) if n):
            word <<= length - last
            words[symbol] = word
            word, last = word + 1, length
        return words

    @cached_property
    def _symbols(self) -> dict[tuple[int, int], int]:
        return {(self.lengths[symbol], word): symbol for symbol, word in self._words.items()}

    def write(self, writer: BitWriter, symbol: int) -> None:
        """Append the word of a symbol."""
        writer.write(self._words[symbol], self.lengths[symbol])

    def read(self, reader: BitReader) -> int:
        """The symbol whose word comes next.

        Raises:
            ValueError: If no word does.
        """
        word = 0
        for length in range(1, LONGEST + 1):
            word = word << 1 | reader.read(1)
            symbol = self._symbols.get((length, word))
            if symbol is not None:
                return symbol
        raise ValueError("No word begins like this.")

    def write_lengths(self, writer: BitWriter) -> None:
        """Append what ``read_lengths`` needs."""
        for length in self.lengths:
            writer.write(length, _LENGTH_BITS)

    @classmethod
    def read_lengths(cls, reader: BitReader, count: int) -> "Words":
        """The words of ``count`` symbols.

        Raises:
            ValueError: If the bits end before.
        """
        return cls(tuple(reader.read(_LENGTH_BITS) for _ in range(count)))


def _lengths(counts: Sequence[int]) -> list[int]:
    """Depth of each symbol in Huffman's tree; a symbol that is alone has one bit."""
    lengths = [0] * len(counts)
    heap = [(count, symbol, [symbol]) for symbol, count in enumerate(counts) if count]
    if len(heap) == 1:
        lengths[heap[0][1]] = 1
    heapq.heapify(heap)
    while len(heap) > 1:
        low, high = heapq.heappop(heap), heapq.heappop(heap)
        members = low[2] + high[2]
        for symbol in members:
            lengths[symbol] += 1
        heapq.heappush(heap, (low[0] + high[0], min(low[1], high[1]), members))
    return lengths
