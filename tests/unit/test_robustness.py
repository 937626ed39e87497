"""Robustness: the same images for all, by hand-made loops; means, intervals and the cache."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.small import small_model, stripes_data
from workbench.corruptions import CORRUPTIONS, corrupt
from workbench.curve_cache import JsonLinesCache
from workbench.data import Data
from workbench.errors import DataError, SettingsError
from workbench.metrics import score
from workbench.model import Model
from workbench.robustness import (
    Robustness,
    RobustnessSettings,
    example_images,
    example_sheet,
    measure_robustness,
    read_robustness,
)

FEW = RobustnessSettings(("contrast", "salt_and_pepper"), (1, 5), 50)


def byte_data() -> Data:
    """160 training and 130 test images of 1 x 6 x 6 bytes: more than one batch."""
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (290, 1, 6, 6), dtype=np.uint8)
    y = rng.integers(0, 3, 290)
    return Data("bytes", x[:160], y[:160], x[160:], y[160:], mean=(0.3,), std=(0.2,))


class Recorder(nn.Module):
    """Remembers what it is shown; answers the first class."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([1.0, 0.0, 0.0]))
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x.clone())
        return self.bias.expand(len(x), 3)


class Told:
    """A report that remembers which conditions were done, and the last step."""

    def __init__(self) -> None:
        self.conditions: list[str] = []

    def __call__(self, progress) -> None:
        self.last = progress
        if "condition" in progress.values:
            self.conditions.append(progress.values["condition"])


def recorder(name: str, value: float) -> Model:
    module = Recorder().eval()
    module.bias.data[0] = value
    return Model(name, module, (1, 6, 6), 3)


def test_every_model_sees_the_same_images_normalised_after_the_corruption():
    data = byte_data()
    settings = RobustnessSettings(("salt_and_pepper",), (5,), 130)
    first, second = recorder("first", 1.0), recorder("second", 2.0)
    measure_robustness({"first": first, "second": second}, data, settings)
    shown = [torch.cat(model.module.seen) for model in (first, second)]
    assert torch.equal(*shown)
    unit = data.x_test.astype(np.float32) / 255
    noisy = np.concatenate([
        corrupt(unit[start : start + 100], "salt_and_pepper", 5, part=part)
        for part, start in enumerate((0, 100))
    ])  # fmt: skip
    clean, corrupted = shown[0][:130], shown[0][130:]
    assert clean.numpy() == pytest.approx((unit - 0.3) / 0.2, abs=1e-5)
    # Bytes back from the normalised image may differ by a rounding; black and white do not.
    assert corrupted.numpy() == pytest.approx((noisy - 0.3) / 0.2, abs=1e-5)
    assert not torch.equal(clean, corrupted)


def test_clean_accuracy_is_that_of_the_plain_score_and_the_rest_that_of_a_loop():
    model, data = small_model(), byte_data()
    settings = RobustnessSettings((), (1, 3, 5), 130)
    (found,) = measure_robustness({"m": model}, data, settings).models
    plain = score(model.module, data.split("test"))
    assert found.score().to_dict() == {
        key: getattr(plain, key) for key in ("correct", "samples", "accuracy", "ci_low", "ci_high")
    }
    unit = data.x_test.astype(np.float32) / 255
    for name, level in settings.conditions:
        right = 0
        for part, start in enumerate((0, 100)):
            changed = corrupt(unit[start : start + 100], name, level, part=part)
            outputs = model.module(torch.from_numpy((changed - 0.3) / 0.2).float())
            labels = data.y_test[start : start + 100]
            right += int((outputs.argmax(1).numpy() == labels).sum())
        assert found.score(name, level).correct == right, (name, level)


def test_float_images_are_scaled_by_the_range_of_the_training_images():
    data = stripes_data()
    low, high = data.x_train.min(), data.x_train.max()
    watched = recorder("r", 1.0)
    measure_robustness({"r": watched}, data, RobustnessSettings(("contrast",), (5,), 60))
    clean, corrupted = watched.module.seen
    assert torch.equal(clean, torch.from_numpy(data.x_test))
    unit = np.clip((data.x_test - low) / (high - low), 0, 1)
    expected = corrupt(unit, "contrast", 5) * (high - low) + low
    assert corrupted.numpy() == pytest.approx(expected, abs=1e-5)


def both(settings: RobustnessSettings = FEW) -> Robustness:
    models = {"dense": small_model(0), "other": small_model(1)}
    return measure_robustness(models, byte_data(), settings)


def test_the_mean_is_that_of_all_accuracies_and_differences_are_those_of_means():
    found = both()
    dense, other = found.models
    for model in found.models:
        scores = [model.score(*condition).accuracy for condition in FEW.conditions]
        assert found.mean(model).accuracy == pytest.approx(np.mean(scores))
    apart = found.difference(other)
    assert apart.accuracy == pytest.approx(found.mean(other).accuracy - found.mean(dense).accuracy)
    nothing = found.difference(dense)
    assert (nothing.accuracy, nothing.ci_low, nothing.ci_high) == (0, 0, 0)


def test_the_interval_is_that_of_drawing_images_anew():
    found = both(replace(FEW, num_samples=130))
    model = found.models[0]
    per_image = model.counts(FEW) / len(FEW.conditions)
    rng = np.random.default_rng(1)
    means = [per_image[rng.integers(0, 130, 130)].mean() for _ in range(4_000)]
    low, high = np.quantile(means, [0.025, 0.975])
    mean = found.mean(model)
    assert mean.accuracy == pytest.approx(per_image.mean())
    assert mean.ci_low == pytest.approx(low, abs=0.01)
    assert mean.ci_high == pytest.approx(high, abs=0.01)


def test_a_network_that_gives_nan_recognises_nothing():
    model = small_model()
    model.module.classifier.bias.data[:] = float("nan")
    found = measure_robustness({"m": model}, byte_data(), FEW)
    assert found.mean(found.models[0]).accuracy == 0


def test_the_models_given_stay_as_they_are():
    model = small_model()
    before = small_model().digest
    measure_robustness({"m": model}, byte_data(), FEW)
    assert model.digest == before


def test_what_was_measured_is_not_measured_again(tmp_path):
    data, cache = byte_data(), JsonLinesCache(tmp_path)
    first = measure_robustness({"r": recorder("r", 1.0)}, data, FEW, cache=cache)
    again = recorder("r", 1.0)
    second = measure_robustness({"other name": again}, data, FEW, cache=cache)
    assert not again.module.seen
    assert second.models[0].hits == first.models[0].hits
    digests = {"r": again.digest}
    assert read_robustness(digests, data, FEW, cache=cache).complete
    more = replace(FEW, severities=(1, 2, 5))
    assert not read_robustness(digests, data, more, cache=cache).complete
    measure_robustness({"r": again}, data, more, cache=cache)
    assert len(again.module.seen) == 2  # the second severity of both corruptions
    for other in (replace(FEW, seed=1), replace(FEW, num_samples=40)):
        assert not read_robustness(digests, data, other, cache=cache).models[0].hits


def test_a_stop_keeps_what_is_there_and_the_next_goes_on(tmp_path):
    data, cache = byte_data(), JsonLinesCache(tmp_path)
    seen, rest = Told(), Told()
    part = measure_robustness(
        {"dense": small_model()}, data, FEW, cache=cache, report=seen,
        should_stop=lambda: len(seen.conditions) >= 2,
    )  # fmt: skip
    assert not part.complete
    assert list(part.models[0].hits) == ["clean", "contrast-1"]
    assert part.mean(part.models[0]) is None
    whole = measure_robustness({"dense": small_model()}, data, FEW, cache=cache, report=rest)
    assert whole.complete
    assert seen.conditions == ["clean", "contrast-1"]
    assert rest.conditions == ["contrast-5", "salt_and_pepper-1", "salt_and_pepper-5"]
    assert (rest.last.done, rest.last.total) == (250, 250)
    assert whole.models == measure_robustness({"dense": small_model()}, data, FEW).models


def test_a_stop_acts_within_a_batch():
    watched, asked = recorder("r", 1.0), []
    found = measure_robustness(
        {"r": watched}, byte_data(), RobustnessSettings(num_samples=130),
        should_stop=lambda: bool(asked.append(1)) or len(asked) > 1,
    )  # fmt: skip
    assert [len(images) for images in watched.module.seen] == [100]
    assert not found.models[0].hits


def test_two_names_of_the_same_weights_are_measured_once():
    seen = Told()
    found = measure_robustness(
        {"one": small_model(), "two": small_model()}, byte_data(), FEW, report=seen
    )
    assert len(seen.conditions) == 1 + len(FEW.conditions)
    assert found.models[0].hits == found.models[1].hits


def test_examples_are_the_first_images_that_are_measured():
    data = byte_data()
    split = data.split("test", 50)
    unit = split.images.numpy() * 0.2 + 0.3
    for name in ("clean", *CORRUPTIONS):
        shown = example_images(data, name, 3, count=4, num_samples=50)
        assert shown.shape == (4, 6, 6, 1)
        assert shown.dtype == np.uint8
        wanted = unit if name == "clean" else corrupt(np.clip(unit, 0, 1), name, 3)
        assert np.abs(shown[:, :, :, 0] - 255 * wanted[:4, 0]).max() < 0.51


@pytest.mark.parametrize(("channels", "side"), [(1, 20), (3, 3), (4, 12)])
def test_a_sheet_frames_the_examples_beside_each_other(channels, side):
    rng = np.random.default_rng(channels)
    x = rng.integers(0, 256, (60, channels, 6, 6), dtype=np.uint8)
    y = rng.integers(0, 3, 60)
    data = Data("sheet", x[:30], y[:30], x[30:], y[30:], mean=(0.3,) * channels,
                std=(0.2,) * channels)  # fmt: skip
    images = example_images(data, "clean", 0, count=3)
    sheet = example_sheet(data, "clean", 0, count=3, side=side, gap=2)
    times = max(1, side // 6)
    wide = 6 * times
    assert sheet.dtype == np.uint8
    assert sheet.shape == (wide, 3 * wide + 2 * 2, 3)
    for row, column, colour in np.ndindex(*sheet.shape):
        number, place = divmod(column, wide + 2)
        if place >= wide:
            wanted = 127
        else:
            one = images[number, row // times, place // times]
            wanted = one[0 if channels == 1 else colour]
        assert sheet[row, column, colour] == wanted


def test_the_dictionary_holds_what_the_functions_say():
    found = both()
    values = found.to_dict()
    dense, other = values["models"]
    assert values["split"] == "test"
    assert values["complete"]
    assert len(dense["points"]) == 4
    assert dense["clean"]["samples"] == 50
    assert other["mean_corruption_accuracy"]["accuracy"] == found.mean(found.models[1]).accuracy
    assert RobustnessSettings.from_dict(values["settings"]) == FEW


def test_no_corruption_means_all_in_the_order_of_the_registry():
    assert RobustnessSettings().corruptions == tuple(CORRUPTIONS)
    assert RobustnessSettings(("blur", "blur")).corruptions == ("blur",)
    assert RobustnessSettings(severities=(3, 1, 3)).severities == (1, 3)
    assert len(RobustnessSettings().conditions) == 5 * len(CORRUPTIONS)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"corruptions": ("fog",)}, "no corruption 'fog'"),
        ({"severities": ()}, "No severity"),
        ({"severities": (7,)}, "severity 7 is unknown"),
        ({"num_samples": 0}, "num_samples is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_what_makes_no_sense_is_refused(values, words):
    with pytest.raises(SettingsError, match=words):
        RobustnessSettings(**values)


def test_no_model_and_data_that_do_not_fit_are_refused():
    with pytest.raises(SettingsError, match="No model"):
        measure_robustness({}, byte_data(), FEW)
    with pytest.raises(DataError, match="takes images"):
        measure_robustness({"m": replace(small_model(), input_shape=(1, 8, 8))}, byte_data(), FEW)
