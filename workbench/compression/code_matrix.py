"""The codes of a layer's weights as bits in their contexts, or as Huffman's words."""

import numpy as np

from workbench.compression.huffman import BitReader, BitWriter, Words
from workbench.compression.range_coder import Coder, Counts
from workbench.progress import ShouldStop, never, raise_if_stopped

LONGEST_RUN = 31
_DENSITIES = 12
_ASK_EVERY = 4_096


def code_matrix(
    coder: Coder, codes: np.ndarray, num_codes: int, should_stop: ShouldStop = never
) -> None:
    """Code every entry of a matrix: whether it is zero, and where it is not, which code it has.

    How likely a zero is depends on how many entries of the same row and of the same column were
    not zero before: inputs and units that pruning has emptied cost next to nothing.

    Args:
        coder: Writes ``codes``, or reads into it.
        codes: int64 ``(rows, columns)``; 0 is a pruned weight, 1 to ``num_codes`` the centroids.
            Filled in place where ``coder`` reads.
        num_codes: How many centroids there are.
        should_stop: Asked before every row.

    Raises:
        ValueError: If what is read is no code.
        StoppedError: If it should stop.
    """
    depth = max(0, num_codes - 1).bit_length()
    zero_counts: list[Counts] = [[0, 0] for _ in range(_DENSITIES * _DENSITIES)]
    tree: list[Counts] = [[0, 0] for _ in range(1 << depth)]
    in_columns = [0] * codes.shape[1]
    for number, row in enumerate(codes.tolist()):
        raise_if_stopped(should_stop)
        in_row = 0
        for column, entry in enumerate(row):
            density = _DENSITIES * _level(in_columns[column], number) + _level(in_row, column)
            if not coder.code(int(entry != 0), zero_counts[density]):
                continue
            in_columns[column] += 1
            in_row += 1
            entry = 1 + _code_number(coder, entry - 1, depth, tree)
            if entry > num_codes:
                raise ValueError(f"A weight has code {entry}; there are {num_codes}.")
            codes[number, column] = entry


def _level(found: int, seen: int) -> int:
    """How full a row or column was so far, on a scale of powers of two from 0 to 11."""
    return min((((2 * found + 1) << 8) // (seen + 1) + 1).bit_length() - 1, _DENSITIES - 1)


def _code_number(coder: Coder, number: int, depth: int, tree: list[Counts]) -> int:
    """Code a number of ``depth`` bits, the highest first, each in the context of those before."""
    node = 1
    for place in range(depth - 1, -1, -1):
        node = node << 1 | coder.code(number >> place & 1, tree[node])
    return node - (1 << depth)


def write_words(
    writer: BitWriter, codes: np.ndarray, num_codes: int, should_stop: ShouldStop = never
) -> None:
    """Write a matrix in Huffman's words: how many zeros come first, then the code, again and again.

    Args:
        writer: Gets the words, and before them their lengths.
        codes: As in ``code_matrix``.
        num_codes: How many centroids there are.
        should_stop: Asked now and then.

    Raises:
        StoppedError: If it should stop.

    Reference:
        Han et al. 2016, "Deep Compression", section 3.3 and figure 2 (relative index).
    """
    flat = codes.ravel()
    places = np.flatnonzero(flat)
    gaps = np.diff(places, prepend=-1) - 1
    fillers, rest = np.divmod(gaps, LONGEST_RUN)
    run_counts = np.bincount(rest, minlength=LONGEST_RUN + 1)
    run_counts[LONGEST_RUN] = fillers.sum()
    runs = Words.of_counts(run_counts.tolist())
    numbers = Words.of_counts(np.bincount(flat[places] - 1, minlength=num_codes).tolist())
    writer.write(len(places), 32)
    runs.write_lengths(writer)
    numbers.write_lengths(writer)
    words = zip(fillers.tolist(), rest.tolist(), flat[places].tolist(), strict=True)
    for number, (filler, run, code) in enumerate(words):
        if number % _ASK_EVERY == 0:
            raise_if_stopped(should_stop)
        for _ in range(filler):
            runs.write(writer, LONGEST_RUN)
        runs.write(writer, run)
        numbers.write(writer, code - 1)


def read_words(
    reader: BitReader, codes: np.ndarray, num_codes: int, should_stop: ShouldStop = never
) -> None:
    """The reverse of ``write_words``, into ``codes``, which is zero before.

    Raises:
        ValueError: If what is read is no code.
        StoppedError: If it should stop.
    """
    flat = codes.reshape(-1)
    count = reader.read(32)
    runs = Words.read_lengths(reader, LONGEST_RUN + 1)
    numbers = Words.read_lengths(reader, num_codes)
    place = -1
    for number in range(count):
        if number % _ASK_EVERY == 0:
            raise_if_stopped(should_stop)
        run = LONGEST_RUN
        while run == LONGEST_RUN:
            run = runs.read(reader)
            place += run
        place += 1
        if place >= len(flat):
            raise ValueError("There are more weights than the layer has.")
        flat[place] = numbers.read(reader) + 1
