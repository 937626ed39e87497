"""Repair without labels: raw, BatchNorm statistics and full repair on the test split.

Run: python -m tests.benchmarks.repair_resnet20 [--model fashion-resnet20] [--threads 2]

Removes 50 and 70 % of the channels of every group, and 80, 90 and 95 % of all prunable weights by
global magnitude; repairs on at most 2,000 calibration images and prints accuracies on the test
split as shares of the dense model's. The goals, for full repair of ResNet-20: 98.5 and 91 %;
99.5, 98 and 92 %; at most 6 seconds on 2 cores.
"""

import argparse
import resource
import sys

import torch

import workbench as wb
from workbench.groups import find_groups
from workbench.metrics import score

CHANNELS, WEIGHTS = (0.3, 0.5, 0.7), (0.5, 0.8, 0.9, 0.95)


def plans(model: wb.Model, criterion: str) -> dict[str, wb.PruningPlan]:
    """What to prune, by the name of its row."""
    groups = [group.name for group in find_groups(model, "channel").prunable if not group.protected]
    found = {
        f"{share:.0%} of channels": wb.PruningPlan(
            dict.fromkeys(groups, share), "channel", criterion
        )
        for share in CHANNELS
    }
    for share in WEIGHTS:
        found[f"{share:.0%} of weights"] = wb.allocate(model, "global", sparsity=share)
    return found


def peak_gib() -> float:
    """The most memory this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fashion-resnet20")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--criterion", default="l1", help="ranks channels (%(default)s)")
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, data = wb.load_model(arguments.model), wb.load_data(arguments.data)
    split = data.split("test")
    dense = score(model.module, split).accuracy
    print(f"{model.name}: {dense:.2%} on {len(split):,} test images")
    print(f"{'pruned':18}" + "".join(f"{name:>10}" for name in ("raw", "bn", "full", "seconds")))
    for row, plan in plans(model, arguments.criterion).items():
        pruned = wb.prune(model, plan)
        shares = []
        for method in ("none", "bn", "full"):
            done = wb.repair(
                pruned, data, method, num_samples=arguments.images, seed=arguments.seed
            )  # fmt: skip
            shares.append(score(done.pruned.model.module, split).accuracy / dense)
        print(f"{row:18}" + "".join(f"{share:10.2%}" for share in shares) + f"{done.seconds:10.1f}")
    print(f"shares of the dense accuracy; peak memory {peak_gib():.2f} GiB")


if __name__ == "__main__":
    main()
