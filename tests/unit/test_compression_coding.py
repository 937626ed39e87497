"""k-means and the two coders, against scikit-learn, slow loops and the entropy."""

import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from workbench.compression.code_matrix import code_matrix, read_words, write_words
from workbench.compression.huffman import LONGEST, BitReader, BitWriter, Words
from workbench.compression.kmeans import cluster_values
from workbench.compression.range_coder import BITS_AT_LEAST, Decoder, Encoder
from workbench.errors import SettingsError

matrices = st.tuples(
    st.integers(1, 12), st.integers(1, 12), st.integers(1, 20), st.integers(0, 2**32 - 1),
    st.floats(0, 1),
)  # fmt: skip


def made_codes(rows: int, columns: int, num_codes: int, seed: int, density: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    codes = rng.integers(1, num_codes + 1, (rows, columns))
    return codes * (rng.random((rows, columns)) < density)


def best_inertia(values: np.ndarray, count: int) -> float:
    """The least possible, by trying every way to cut the sorted values into stretches."""
    ordered = np.sort(values)
    best = math.inf
    for cuts in itertools.combinations(range(1, len(ordered)), count - 1):
        parts = np.split(ordered, cuts)
        best = min(best, sum(float(((part - part.mean()) ** 2).sum()) for part in parts))
    return best


# --- k-means ---


@pytest.mark.parametrize("count", [2, 7, 15, 31])
def test_inertia_is_that_of_scikit_learn_from_the_same_start(count):
    values = np.random.default_rng(count).standard_t(4, 3_000)
    start = np.linspace(values.min(), values.max(), count)[:, None]
    theirs = KMeans(count, init=start, n_init=1, max_iter=300, tol=0).fit(values[:, None])
    ours = cluster_values(values, count)
    assert ours.inertia <= theirs.inertia_ * (1 + 1e-9), "the better of two starts"
    direct = float(((ours.centroids[ours.codes] - values) ** 2).sum())
    assert ours.inertia == pytest.approx(direct, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_inertia_comes_near_the_least_possible(seed):
    values = np.random.default_rng(seed).normal(size=11)
    assert cluster_values(values, 3).inertia <= 1.6 * best_inertia(values, 3)


def test_as_many_centroids_as_values_lose_nothing():
    values = np.array([3.0, -1.0, 3.0, 0.5])
    book = cluster_values(values, 8)
    assert book.centroids.tolist() == [-1.0, 0.5, 3.0]
    assert book.centroids[book.codes].tolist() == values.tolist()
    assert book.inertia == 0


def test_every_value_has_its_nearest_centroid_and_every_centroid_a_value():
    values = np.random.default_rng(0).normal(size=(20, 30))
    book = cluster_values(values, 9)
    distances = np.abs(values[..., None] - book.centroids)
    assert np.array_equal(book.codes, distances.argmin(-1))
    assert set(book.codes.ravel()) == set(range(len(book.centroids)))


def test_no_values_have_no_centroids_and_none_is_refused():
    assert len(cluster_values(np.zeros(0), 4).centroids) == 0
    with pytest.raises(SettingsError, match=r"num_centroids is 0\."):
        cluster_values(np.ones(3), 0)


# --- the range coder ---


@given(bits=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), max_size=600))
@settings(max_examples=60, deadline=None)
def test_bits_come_back_in_their_contexts(bits):
    encoder, seen = Encoder(), [[0, 0] for _ in range(4)]
    for bit, context in bits:
        encoder.code(bit, seen[context])
    decoder, again = Decoder(encoder.finish()), [[0, 0] for _ in range(4)]
    assert [decoder.code(0, again[context]) for _, context in bits] == [bit for bit, _ in bits]
    assert again == seen


@pytest.mark.parametrize("ones", [0, 3, 100, 500, 1_000])
def test_length_lies_between_the_entropy_and_the_estimate_s_bound(ones):
    """Krichevsky and Trofimov: at most half a logarithm and one bit above n H; never below."""
    bits = [1] * ones + [0] * (1_000 - ones)
    random.Random(ones).shuffle(bits)
    encoder, counts = Encoder(), [0, 0]
    for bit in bits:
        encoder.code(bit, counts)
    length = 8 * len(encoder.finish())
    entropy = -sum(n * math.log2(n / 1_000) for n in (ones, 1_000 - ones) if n)
    assert entropy - 8 <= length <= entropy + 0.5 * math.log2(1_000) + 1 + 16


def test_carries_run_through_bytes_of_ones():
    """Rare bits right at the edge of the range make the last bytes written wrap around."""
    bits = ([0] * 400 + [1]) * 12
    encoder, counts = Encoder(), [0, 0]
    for bit in bits:
        encoder.code(bit, counts)
    decoder, again = Decoder(encoder.finish()), [0, 0]
    assert [decoder.code(0, again) for _ in bits] == bits


def test_a_bit_never_costs_less_than_is_claimed():
    encoder, counts = Encoder(), [0, 0]
    for _ in range(100_000):
        encoder.code(0, counts)
    assert -math.log2(1 - 1 / (2 * sum(counts) + 2)) >= BITS_AT_LEAST
    assert sum(counts) <= 1_023


# --- Huffman's words ---


def least_total(counts: list[int]) -> int:
    """Bits of the best prefix code: the sum of all merged weights, in the slow obvious way."""
    left, total = sorted(count for count in counts if count), 0
    if len(left) == 1:
        return left[0]
    while len(left) > 1:
        merged = left[0] + left[1]
        total += merged
        left = sorted([*left[2:], merged])
    return total


@given(counts=st.lists(st.integers(0, 1_000), min_size=1, max_size=40))
@settings(max_examples=80, deadline=None)
def test_words_are_the_shortest_and_no_word_begins_another(counts):
    words = Words.of_counts(counts)
    used = [length for length in words.lengths if length]
    if max(used, default=0) < LONGEST:
        total = sum(n * length for n, length in zip(counts, words.lengths, strict=True))
        assert total == least_total(counts)
    assert sum(2.0**-length for length in used) <= 1


def test_frequencies_of_fibonacci_stay_within_the_longest_word():
    counts = [1, 1]
    while len(counts) < 30:
        counts.append(counts[-1] + counts[-2])
    assert max(Words.of_counts(counts).lengths) == LONGEST


def test_mean_length_is_less_than_a_bit_above_the_entropy():
    symbols = np.random.default_rng(1).geometric(0.3, 5_000) - 1
    counts = np.bincount(symbols).tolist()
    words = Words.of_counts(counts)
    mean = sum(n * words.lengths[s] for s, n in Counter(symbols.tolist()).items()) / 5_000
    entropy = -sum(n / 5_000 * math.log2(n / 5_000) for n in counts if n)
    assert entropy <= mean < entropy + 1


# --- matrices ---


@given(asked=matrices)
@settings(max_examples=60, deadline=None)
def test_a_matrix_comes_back_from_either_coding(asked):
    codes = made_codes(*asked)
    encoder = Encoder()
    code_matrix(encoder, codes.copy(), asked[2])
    found = np.zeros_like(codes)
    code_matrix(Decoder(encoder.finish()), found, asked[2])
    assert np.array_equal(found, codes)
    writer = BitWriter()
    write_words(writer, codes, asked[2])
    found = np.zeros_like(codes)
    read_words(BitReader(writer.finish()), found, asked[2])
    assert np.array_equal(found, codes)


def test_emptied_rows_and_columns_cost_next_to_nothing():
    """What no single probability can know: where pruning has emptied inputs and units."""
    codes = made_codes(60, 80, 7, 0, 1.0)
    codes[::2] = 0
    codes[:, ::4] = 0
    encoder = Encoder()
    code_matrix(encoder, codes, 7)
    alive = int((codes != 0).sum())
    density = alive / codes.size
    flat = -codes.size * (
        density * math.log2(density) + (1 - density) * math.log2(1 - density)
    ) + alive * math.log2(7)  # fmt: skip
    assert 8 * len(encoder.finish()) < 0.75 * flat


def test_codes_that_are_none_are_refused():
    with pytest.raises(ValueError, match="The words end too early"):
        read_words(BitReader(b"\0\0\0\5"), np.zeros((2, 2), dtype=np.int64), 3)
    encoder = Encoder()
    code_matrix(encoder, np.array([[4]]), 4)
    with pytest.raises(ValueError, match="A weight has code 4; there are 3"):
        code_matrix(Decoder(encoder.finish()), np.zeros((1, 1), dtype=np.int64), 3)
