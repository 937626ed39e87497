"""Full repair of a depthwise network of ImageNet size: time and peak memory.

Run: python -m tests.benchmarks.repair_large [--images 512] [--sparsity 0.5] [--threads 2]

Five million parameters, 224 x 224 images, 1,000 classes; random weights and random images serve
for the timing. Half of the channels of every group are removed, or half of the weights. The goal
is 120 seconds and 6 GiB.
"""

import argparse
import resource
import sys
import time

import numpy as np
import torch

import workbench as wb
from workbench.architectures.mobilenet import MobileNet
from workbench.data import Data
from workbench.groups import find_groups
from workbench.model import Model
from workbench.plan import PruningPlan

SHAPE, CLASSES = (3, 224, 224), 1_000
WIDTHS, BLOCKS = (32, 48, 80, 128, 208, 416), (1, 2, 3, 4, 3, 1)


def network() -> Model:
    """A MobileNetV2 of about five million parameters."""
    torch.manual_seed(0)
    module = MobileNet(3, 32, WIDTHS, BLOCKS, 6, 1_280, CLASSES).eval()
    return Model("large", module, SHAPE, CLASSES)


def noise(count: int) -> Data:
    """Smooth random images, so that neighbours have something in common."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (count + 10, 3, 28, 28), dtype=np.uint8)
    images = small.repeat(8, 2).repeat(8, 3)
    labels = rng.integers(0, CLASSES, count + 10)
    names = tuple(str(number) for number in range(CLASSES))
    return Data("noise", images[:-10], labels[:-10], images[-10:], labels[-10:], class_names=names)


def peak_gib() -> float:
    """The most memory this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--granularity", choices=("channel", "weight"), default="channel")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, data = network(), noise(arguments.images)
    groups = find_groups(model, arguments.granularity)
    names = [group.name for group in groups.prunable if not group.protected]
    plan = PruningPlan(dict.fromkeys(names, arguments.sparsity), arguments.granularity)
    pruned = wb.prune(model, plan)
    sizes = [sum(p.numel() for p in m.module.parameters()) for m in (model, pruned.model)]
    print(f"{sizes[0]:,} parameters, pruned {sizes[1]:,}; {peak_gib():.2f} GiB before repair")
    start, processor = time.perf_counter(), time.process_time()
    done = wb.repair(pruned, data, "full", num_samples=arguments.images)
    seconds, worked = time.perf_counter() - start, time.process_time() - processor
    for step in done.steps:
        print(
            f"  {step.layer:60} {step.method:16} {step.error_before:8.4f} {step.error_after:8.4f}"
        )
    print(f"chosen: {done.record.chosen}; distances {dict(done.record.distances)}")
    print(f"{seconds:.1f} s, {worked:.1f} s of processor time, peak {peak_gib():.2f} GiB")


if __name__ == "__main__":
    main()
