"""Gram matrices: how the inputs of every layer go together, and how the loss hangs on its outputs.

They describe the loss around a trained network as a product: what a layer reads, times what its
outputs are worth (Martens and Grosse 2015, "Optimizing Neural Networks with Kronecker-factored
Approximate Curvature", section 3).
"""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.data import Data
from workbench.gathering.images import BATCH, calibration
from workbench.gathering.watching import Seen, watching
from workbench.model import Model
from workbench.progress import ShouldStop, never, raise_if_stopped
from workbench.reconstruct.rows import Places, extent_of, output_rows, patches

ROWS = 16_384
"""Places, over all images, at which a convolution's inputs are looked at."""
MAX_INPUTS = 4_608
"""Inputs of one output beyond which they are taken to be independent."""
DRAWS = 2
"""Labels drawn for each image from what the network itself believes."""


class _Gram:
    """Sums over the uses of one weight."""

    def __init__(self, groups: int, inputs: int, outputs: int, device: torch.device) -> None:
        full = inputs <= MAX_INPUTS
        shape = (groups, inputs, inputs) if full else (groups, inputs)
        self.full = full
        self.products = torch.zeros(shape, dtype=torch.float32, device=device)
        self.sums = torch.zeros(groups, inputs, dtype=torch.float64, device=device)
        self.slopes = torch.zeros(outputs, outputs, dtype=torch.float32, device=device)
        self.rows = 0

    def add(self, rows: Tensor) -> None:
        """Take in inputs ``(groups, rows, inputs)``."""
        if self.full:
            self.products += rows.mT @ rows
        else:
            self.products += rows.square().sum(1)
        self.sums += rows.sum(1, dtype=torch.float64)
        self.rows += rows.shape[1]

    def add_slopes(self, slopes: Tensor) -> None:
        """Take in gradients by the outputs, ``(rows, outputs)``."""
        self.slopes += slopes.mT @ slopes


def gather_grams(
    model: Model, data: Data, seed: int, should_stop: ShouldStop = never
) -> Mapping[str, Tensor]:
    """Second moments of the inputs of every layer, and of the loss's gradients by its outputs.

    The labels of the loss are drawn from the network's own class probabilities, so that the
    gradients give the Fisher information and no label is needed.

    Returns:
        By name, each for the weight p of every layer with g groups (1 if it has none), k inputs of
        an output (kernel included) and o outputs:

        - ``inputs/p``: mean of x x^T over images and places, ``(g, k, k)``; ``(g, k)``, its
          diagonal, where k is above 4,608.
        - ``means/p``: mean of x, ``(g, k)``.
        - ``slopes/p``: g g^T summed over places, averaged over images, ``(o, o)``; in nats for a
          unit change of the outputs at every place.
    """
    images = calibration(model, data, seed)
    module = model.copy_module().eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    grams: dict[str, _Gram] = {}
    places = Places(len(images), seed, images.device)
    start = 0

    def look(first: bool, seen: Seen) -> None:
        raise_if_stopped(should_stop)
        gram = grams.get(seen.parameter)
        if first:
            rows = _rows(seen, places, start)
            if gram is None:
                outputs = seen.outputs(seen.output).shape[2]
                gram = _Gram(len(rows), rows.shape[2], outputs, rows.device)
                grams[seen.parameter] = gram
            gram.add(rows.float())
        assert gram is not None
        if seen.output.requires_grad:  # not so in the first step of a recurrent layer
            seen.output.register_hook(partial(_take_slopes, gram, seen))

    generator = torch.Generator().manual_seed(seed)
    for batch in images.split(BATCH):
        for draw in range(DRAWS):
            raise_if_stopped(should_stop)
            with torch.enable_grad(), watching(module, partial(look, draw == 0)):
                inputs = batch.clone().requires_grad_()
                scores = module(inputs)
            beliefs = scores.detach().float().softmax(1).cpu()
            labels = beliefs.multinomial(1, generator=generator).view(-1).to(scores.device)
            with torch.enable_grad():
                torch.autograd.grad(F.cross_entropy(scores, labels, reduction="sum"), inputs)
        start += len(batch)
    found = {}
    for name, gram in grams.items():
        found[f"inputs/{name}"] = gram.products / gram.rows
        found[f"means/{name}"] = gram.sums / gram.rows
        found[f"slopes/{name}"] = gram.slopes / (DRAWS * len(images))
    return found


def _take_slopes(gram: _Gram, seen: Seen, slopes: Tensor) -> None:
    """What the backward pass brings to the output of one use."""
    gram.add_slopes(seen.outputs(slopes.detach()).flatten(0, 1).float())


def _rows(seen: Seen, places: Places, start: int) -> Tensor:
    """Inputs at a sample of places, ``(groups, rows, inputs)``."""
    x = seen.inputs
    if seen.kind == "conv":
        chosen = places.choose(seen.output.shape[2:], ROWS)[start : start + len(x)]
        return patches({**seen.given, "input": seen.inputs}, seen.output, chosen)
    is_linear = seen.kind == "linear"
    chosen = places.choose(extent_of(x, is_linear), ROWS)[start : start + len(x)]
    return output_rows(x, chosen, is_linear)[None]
