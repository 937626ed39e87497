"""Distributions of 100 million weights: ``python -m tests.benchmarks.distributions_100m``.

Prints the seconds that looking at every weight takes and by how much memory grows at its peak,
beside the size of the weights.
"""

import resource
import sys
import time

import torch
from torch import nn

from workbench.distributions import threshold, weight_distributions
from workbench.model import Model

WIDTH, DEPTH = 1_600, 39


def build() -> Model:
    """A plain network of ``DEPTH`` square layers and a classifier, made without a second copy."""
    layers = [nn.utils.skip_init(nn.Linear, WIDTH, WIDTH, bias=False) for _ in range(DEPTH)]
    classifier = nn.utils.skip_init(nn.Linear, WIDTH, 10, bias=False)
    net = nn.Sequential(nn.Flatten(), *layers, classifier)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.02, generator=generator)
    return Model("random network", net.eval(), (1, 40, 40), 10)


def peak_mib() -> float:
    """Most memory this process ever held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main() -> None:
    model = build()
    count = sum(parameter.numel() for parameter in model.module.parameters())
    model.module(torch.zeros(1, *model.input_shape))
    before = peak_mib()
    began = time.perf_counter()
    distributions = weight_distributions(model)
    seconds = time.perf_counter() - began
    print(f"{count / 1e6:.1f} M weights ({count * 4 / 2**20:.0f} MiB), {len(distributions)} layers")
    print(f"distributions of all layers: {seconds:.2f} s, memory grew by "
          f"{peak_mib() - before:.0f} MiB")  # fmt: skip
    began = time.perf_counter()
    threshold(model, "1", 0.9)
    print(f"exact threshold of one layer: {(time.perf_counter() - began) * 1000:.0f} ms")
    began = time.perf_counter()
    for distribution in distributions:
        distribution.threshold(0.9)
    print(f"thresholds of all layers, from the counts: "
          f"{(time.perf_counter() - began) * 1000:.1f} ms")  # fmt: skip


if __name__ == "__main__":
    main()
