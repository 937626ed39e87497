"""Activations: what the layers of a network read, channel by channel."""

from collections.abc import Mapping

import torch
from torch import Tensor

from workbench.data import Data
from workbench.gathering.images import BATCH, calibration
from workbench.gathering.watching import Seen, watching
from workbench.model import Model
from workbench.progress import ShouldStop, never, raise_if_stopped

BINS = 32
"""Of the histograms."""
NEAR_ZERO = 0.01
"""Part of a layer's root mean square below which an activation counts as zero."""


class _Tally:
    """Sums over the inputs of one weight.

    Args:
        first: Inputs ``(channels, values)`` that set the bins, and what counts as zero.
    """

    def __init__(self, first: Tensor) -> None:
        channels = len(first)
        self.sums = torch.zeros(channels, dtype=torch.float64)
        self.zeros = torch.zeros(channels, dtype=torch.float64)
        self.counts = torch.zeros(channels, BINS, dtype=torch.float64)
        self.count = 0
        self.low = float(first.min())
        self.width = (float(first.max()) - self.low) / BINS or 1.0
        self.near = NEAR_ZERO * float(first.square().mean(dtype=torch.float64).sqrt())

    def add(self, x: Tensor) -> None:
        """Take in inputs ``(channels, values)``."""
        self.sums += x.abs().sum(1, dtype=torch.float64)
        self.zeros += (x.abs() <= self.near).sum(1)
        self.count += x.shape[1]
        bins = ((x - self.low) / self.width).long().clamp_(0, BINS - 1)
        bins += BINS * torch.arange(len(x))[:, None]
        found = torch.bincount(bins.flatten(), minlength=len(x) * BINS)
        self.counts += found.view(len(x), BINS)

    def entropy(self) -> Tensor:
        """Of every channel's histogram, in nats, ``(channels,)``."""
        shares = self.counts / self.counts.sum(1, keepdim=True)
        return -torch.xlogy(shares, shares).sum(1)


@torch.no_grad()
def gather_activations(
    model: Model, data: Data, seed: int, should_stop: ShouldStop = never
) -> Mapping[str, Tensor]:
    """What each weight is multiplied with, over calibration images and all places in them.

    Histograms have 32 bins of equal width between the lowest and the highest activation that the
    layer reads in the first 128 images, so that a channel that hardly moves beside the others has
    little entropy; what lies beyond is counted in the outer bins.

    Returns:
        By name, each for the weight p of every layer, ``(input channels,)``:

        - ``zeros/p``: part of the activations that are zero, or within 1 % of the layer's root
          mean square.
        - ``mean/p``: mean absolute activation.
        - ``entropy/p``: of the histogram, in nats, 0 to ln 32.
    """
    images = calibration(model, data, seed).split(4 * BATCH)
    module = model.copy_module().eval()
    tallies: dict[str, _Tally] = {}
    first: dict[str, list[Tensor]] = {}
    begun: set[str] = set()

    def look(seen: Seen) -> None:
        raise_if_stopped(should_stop)
        x = seen.channels()
        if seen.parameter in begun:
            tallies[seen.parameter].add(_flat(x))
        else:
            first.setdefault(seen.parameter, []).append(_flat(x))

    for batch in images:
        with watching(module, look):
            module(batch)
        for name, uses in first.items():
            tallies[name] = _Tally(torch.cat(uses, 1))
            for x in uses:
                tallies[name].add(x)
        begun |= first.keys()
        first.clear()
    found = {}
    for name, tally in tallies.items():
        found[f"zeros/{name}"] = tally.zeros / tally.count
        found[f"mean/{name}"] = tally.sums / tally.count
        found[f"entropy/{name}"] = tally.entropy()
    return found


def _flat(x: Tensor) -> Tensor:
    """``(images, channels, places)`` as ``(channels, images * places)``, on the CPU."""
    return x.transpose(0, 1).flatten(1).float().cpu()
