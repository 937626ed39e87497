"""Corruptions: against closed forms, slow loops and the rates that they state."""

import math

import numpy as np
import pytest

from workbench.corruptions import CORRUPTIONS, SEVERITIES, corrupt, get_corruption
from workbench.corruptions.blur import blur
from workbench.errors import SettingsError

NOISY = ("gaussian_noise", "salt_and_pepper", "occlusion")


def images(count: int = 3, channels: int = 2, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).random((count, channels, side, side), dtype=np.float32)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_pixels_stay_in_range_and_the_images_given_stay_as_they_are(name, severity):
    given = images()
    before = given.copy()
    found = corrupt(given, name, severity)
    assert found.shape == given.shape
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert not np.array_equal(found, given)
    assert np.array_equal(given, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_severity_is_further_from_the_image_than_the_one_before(name):
    given = images(count=20)
    distances = [np.abs(corrupt(given, name, level) - given).mean() for level in SEVERITIES]
    assert distances == sorted(distances)
    assert len(set(distances)) == len(SEVERITIES)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_gives_the_same_images_and_another_seed_others(name):
    given = images()
    first = corrupt(given, name, 3, seed=4)
    assert np.array_equal(first, corrupt(given, name, 3, seed=4))
    for other in (corrupt(given, name, 3, seed=5), corrupt(given, name, 3, seed=4, part=1)):
        assert np.array_equal(first, other) == (name not in NOISY)


def test_the_strengths_are_those_of_the_paper_at_both_of_its_sizes():
    # As the authors published them for CIFAR-10-C and ImageNet-C.
    published = {
        "gaussian_noise": ((0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)),
        "salt_and_pepper": ((0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27)),
        "blur": ((0.4, 0.6, 0.7, 0.8, 1.0), (1, 2, 3, 4, 6)),
        "contrast": ((0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),
    }
    for name, (small, large) in published.items():
        one = get_corruption(name)
        assert [one.strength(level, 32) for level in SEVERITIES] == pytest.approx(small)
        assert [one.strength(level, 224) for level in SEVERITIES] == pytest.approx(large)


def test_between_the_sizes_the_strength_goes_along_the_logarithm():
    noise, wide = get_corruption("gaussian_noise"), get_corruption("blur")
    middle = round(math.sqrt(32 * 224))  # half way, but for rounding
    assert noise.strength(5, middle) == pytest.approx(math.sqrt(0.10 * 0.38), rel=0.01)
    assert noise.strength(5, 8) == noise.strength(5, 32)
    assert wide.strength(5, 28) == pytest.approx(28 / 32)  # in pixels: the same part of the image
    assert wide.strength(5, 448) == pytest.approx(12)
    assert wide.strength(5, 8) == pytest.approx(0.5)  # no narrower


def test_gaussian_noise_has_the_deviation_it_states():
    grey = np.full((50, 1, 32, 32), 0.5, np.float32)
    for level in SEVERITIES:
        stated = get_corruption("gaussian_noise").strength(level, 32)
        noise = corrupt(grey, "gaussian_noise", level) - 0.5
        error = stated / math.sqrt(2 * noise.size)  # of a standard deviation
        assert abs(noise.std() - stated) < 5 * error
        assert abs(noise.mean()) < 5 * stated / math.sqrt(noise.size)


def test_salt_and_pepper_hits_as_many_values_as_it_states_both_alike():
    grey = np.full((50, 1, 32, 32), 0.5, np.float32)
    for level in SEVERITIES:
        stated = get_corruption("salt_and_pepper").strength(level, 32)
        found = corrupt(grey, "salt_and_pepper", level)
        assert set(np.unique(found)) == {0.0, 0.5, 1.0}
        for value in (0.0, 1.0):
            share, error = stated / 2, math.sqrt(stated / 2 / grey.size)
            assert abs((found == value).mean() - share) < 5 * error


def test_blur_is_the_weighted_average_of_the_neighbours():
    given = images(count=1, channels=2, side=9)
    sigma = 0.8
    reach = int(4 * sigma + 0.5)
    weights = np.array([math.exp(-(d**2) / (2 * sigma**2)) for d in range(-reach, reach + 1)])
    weights /= weights.sum()
    slow = np.zeros_like(given)
    for channel in range(2):
        for i in range(9):
            for j in range(9):
                for a in range(-reach, reach + 1):
                    for b in range(-reach, reach + 1):
                        row, column = np.clip([i + a, j + b], 0, 8)
                        part = weights[a + reach] * weights[b + reach]
                        slow[0, channel, i, j] += part * given[0, channel, row, column]
    fast = blur(given, sigma, np.random.default_rng(0))
    assert np.abs(fast - slow).max() < 1e-6


def test_contrast_keeps_the_mean_and_a_part_of_every_distance_to_it():
    given = images()
    for level in SEVERITIES:
        found = corrupt(given, "contrast", level)
        part = get_corruption("contrast").strength(level, 32)
        mean = given.mean((2, 3), keepdims=True)
        assert found == pytest.approx(mean + part * (given - mean), abs=1e-6)


def test_occlusion_covers_one_square_wholly_inside_and_nothing_else():
    given = images(count=40, side=20) * 0.4  # nothing is grey yet
    sides = []
    for level in SEVERITIES:
        found = corrupt(given, "occlusion", level)
        side = round(get_corruption("occlusion").strength(level, 20) * 20)
        sides.append(side)
        places = set()
        for before, after in zip(given, found, strict=True):
            covered = (after == 0.5).all(0)
            rows, columns = np.nonzero(covered)
            assert covered.sum() == side * side
            assert np.ptp(rows) == np.ptp(columns) == side - 1
            assert np.array_equal(after[:, ~covered], before[:, ~covered])
            places.add((int(rows.min()), int(columns.min())))
        assert len(places) > 10
    assert sides == [4, 6, 8, 10, 12]


def test_an_image_that_is_not_square_is_covered_by_its_shorter_side():
    found = corrupt(np.zeros((5, 1, 10, 30), np.float32), "occlusion", 3)
    assert [(image == 0.5).sum() for image in found] == [16] * 5


@pytest.mark.parametrize("severity", [0, 6, 2.5, True, "3"])
def test_a_severity_outside_1_to_5_is_refused(severity):
    with pytest.raises(SettingsError, match="unknown"):
        corrupt(images(), "blur", severity)


def test_an_unknown_corruption_is_refused_with_the_nearest():
    with pytest.raises(SettingsError, match="gaussian_noise"):
        corrupt(images(), "gauss_noise", 1)
