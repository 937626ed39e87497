"""How much faster exact sensitivity is than the obvious loop.

    python -m tests.benchmarks.sensitivity_exact [MODEL ...]

For every sample: 9 levels x all layers x 1,000 validation images (fewer where there are fewer),
by the workbench and by the obvious loop, in turns: set the weights of a layer, evaluate all images
(default memory format, batches of 500), put the weights back. Printed are the median ratio of
times, the ratio to the same loop with channels last and the best of several batch sizes, how many
accuracies differ, and the share of the machine's peak arithmetic that the workbench reached: the
multiply-accumulates that it really did per second, against a large matrix product.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from workbench.groups import find_groups
from workbench.layers import inspect
from workbench.loading import load_data, load_model
from workbench.metrics import score
from workbench.plan import PruningPlan
from workbench.prune import build_masks
from workbench.sensitivity import SensitivitySettings, measure_sensitivity

MODELS = (
    "fashion-resnet20", "fashion-mobilenet", "fashion-lenet5", "fashion-vit", "fashion-gru",
    "digits-mlp",
)  # fmt: skip
LEVELS = tuple(i / 10 for i in range(1, 10))
IMAGES = 1_000
BATCHES = (25, 50, 100, 250, 500)


def obvious_loop(
    model: object, data: object, batch: int, channels_last: bool
) -> dict[tuple[str, float], float]:
    """Accuracy by layer and level, measured as anybody would."""
    groups = find_groups(model)
    split = data.split("validation", IMAGES, 0)
    module = model.copy_module()
    if channels_last:
        module.to(memory_format=torch.channels_last)
        images = split.images.to(memory_format=torch.channels_last)
        split = type(split)(split.name, images, split.labels)
    found = {}
    for group in groups.prunable:
        parameter = module.get_parameter(group.layer.parameter_name)
        dense = parameter.detach().clone()
        for level in LEVELS:
            masks = build_masks(model, PruningPlan({group.name: level}), groups)
            with torch.no_grad():
                parameter.copy_(dense * masks[group.layer.parameter_name])
            found[group.name, level] = score(module, split, batch_size=batch).accuracy
        with torch.no_grad():
            parameter.copy_(dense)
    return found


def workbench(model: object, data: object) -> dict[tuple[str, float], float]:
    """The same by the workbench."""
    curves = measure_sensitivity(model, data, SensitivitySettings(LEVELS, IMAGES))
    return {(point.group, point.level): point.accuracy for point in curves.points}


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds, and what came out."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def best_batch(model: object, data: object) -> int:
    """The batch size with which the loop, channels last, is fastest."""
    module = model.copy_module().to(memory_format=torch.channels_last)
    images = data.split("validation", IMAGES, 0).images.to(memory_format=torch.channels_last)

    def run(batch: int) -> None:
        with torch.inference_mode():
            for part in images.split(batch):
                module(part)

    return min(BATCHES, key=lambda b: min(timed(partial(run, b))[0] for _ in range(3)))


def peak_macs_per_second() -> float:
    """Multiply-accumulates a second of a large matrix product."""
    one: Tensor = torch.rand(2048, 2048)
    return 2048**3 / min(timed(lambda: one @ one)[0] for _ in range(5))


def macs_done(model: object) -> float:
    """Multiply-accumulates of the sweep per image, as far as they have to be done again.

    For a network without branches: the layers from the cut one on, once a level.
    """
    layers = [layer.macs for layer in inspect(model).layers]
    prunable = [n for n, layer in enumerate(inspect(model).layers) if layer.prunable]
    return len(LEVELS) * sum(sum(layers[n:]) for n in prunable) + sum(layers)


def main() -> None:
    """Print a line for every model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    peak = peak_macs_per_second()
    print(f"{torch.get_num_threads()} threads, peak {peak / 1e9:.0f} G multiply-accumulates a second")
    for name in options.models:
        model = load_model(name)
        data = load_data(model.data_name)
        batch = best_batch(model, data)
        ways = {
            "ours": partial(workbench, model, data),
            "obvious": partial(obvious_loop, model, data, 500, False),
            "best": partial(obvious_loop, model, data, batch, True),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        results = {}
        for _ in range(options.runs):
            for way, work in ways.items():
                spent, results[way] = timed(work)
                seconds[way].append(spent)
        ours = statistics.median(seconds["ours"])
        wrong = sum(results["ours"][key] != value for key, value in results["obvious"].items())
        images = len(data.split("validation", IMAGES, 0))
        reached = macs_done(model) * images / ours / peak
        print(
            f"{name:20} {ours:7.2f} s   obvious loop {statistics.median(seconds['obvious']) / ours:5.2f}x"
            f"   best loop (batch {batch:3}, channels last) {statistics.median(seconds['best']) / ours:5.2f}x"
            f"   {wrong} of {len(results['obvious'])} accuracies differ   {reached:.0%} of peak",
            flush=True,
        )


if __name__ == "__main__":
    main()
