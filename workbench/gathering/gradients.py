"""Gradients of the loss on training images, image by image."""

import warnings
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from workbench.data import Data
from workbench.gathering.images import BATCH, batches, training
from workbench.gathering.watching import watching
from workbench.model import Model
from workbench.progress import ShouldStop, never, raise_if_stopped

MAX_NUMBERS = 2**26
"""Numbers in the gradients of all images that are alive at once."""
Gradients = dict[str, Tensor]
"""Parameter name to the gradient for each image, ``(images, *shape)``."""


def gather_gradients(
    model: Model, data: Data, seed: int, should_stop: ShouldStop = never
) -> Mapping[str, Tensor]:
    """What the gradients of the loss (mean cross-entropy, in nats) tell of every parameter.

    Returns:
        By name, each for every parameter p:

        - ``size/p``: absolute gradient of a batch of 32 images, averaged over batches, p's shape.
        - ``square/p``: squared gradient of an image, averaged over images, p's shape.
        - ``along/d/p``: for every image the sum of weight times gradient over all of p but
          dimension d, ``(images, size of d)``; for parameters of two or more dimensions, d of 0
          and 1. It is the derivative of the loss by a factor on that slice of p.
    """
    split = training(model, data, seed)
    module = model.copy_module().eval()
    own = {name: p.detach() for name, p in module.named_parameters() if p.is_floating_point()}
    size = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in own.items()}
    square = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in own.items()}
    along: dict[str, list[Tensor]] = {}
    for images, labels in batches(split):
        raise_if_stopped(should_stop)
        mean = {name: torch.zeros_like(p) for name, p in own.items()}
        for found in gradients_by_image(module, images, labels):
            raise_if_stopped(should_stop)
            for name, each in found.items():
                mean[name] += each.sum(0) / len(images)
                square[name] += each.square().sum(0)
                _add_along(along, name, each * own[name])
        for name, value in mean.items():
            size[name] += value.abs() * len(images) / len(split)
    return (
        {f"size/{name}": value.float() for name, value in size.items()}
        | {f"square/{name}": (value / len(split)).float() for name, value in square.items()}
        | {name: torch.cat(parts) for name, parts in along.items()}
    )


def gradients_by_image(module: nn.Module, images: Tensor, labels: Tensor) -> Iterator[Gradients]:
    """The gradient of the cross-entropy of each image, some images at a time.

    All images of a part go through ``torch.func`` at once; a network that cannot be run so is
    differentiated image by image, which gives the same more slowly.

    Args:
        module: In eval mode; stays as it is.
        images: ``(images, channels, height, width)``.
        labels: ``(images,)``.
    """
    numbers = sum(p.numel() for p in module.parameters())
    at_once = max(1, min(BATCH, MAX_NUMBERS // max(1, numbers)))
    parameters = {n: p.detach() for n, p in module.named_parameters() if p.is_floating_point()}
    rest = {n: p.detach() for n, p in module.named_parameters() if n not in parameters}
    rest |= dict(module.named_buffers())

    def loss(own: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        with watching(module):  # recurrent layers step by step
            scores = functional_call(module, (own, rest), (image[None],))
        return F.cross_entropy(scores, label[None])

    every = vmap(grad(loss), (None, 0, 0))
    for some, theirs in zip(images.split(at_once), labels.split(at_once), strict=True):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # some operations run in a loop inside
                yield every(parameters, some, theirs)
        except RuntimeError:
            yield _one_by_one(module, some, theirs)


def _one_by_one(module: nn.Module, images: Tensor, labels: Tensor) -> Gradients:
    named = [(n, p) for n, p in module.named_parameters() if p.is_floating_point()]
    for _, parameter in named:
        parameter.requires_grad_()
    found: dict[str, list[Tensor]] = {name: [] for name, _ in named}
    with torch.enable_grad():
        for image, label in zip(images, labels, strict=True):
            loss = F.cross_entropy(module(image[None]), label[None])
            slopes = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True)
            for (name, parameter), slope in zip(named, slopes, strict=True):
                found[name].append(torch.zeros_like(parameter) if slope is None else slope)
    return {name: torch.stack(each) for name, each in found.items()}


def _add_along(along: dict[str, list[Tensor]], name: str, product: Tensor) -> None:
    for dim in range(min(2, product.dim() - 1) if product.dim() > 2 else 0):
        sums = product.movedim(dim + 1, 1).flatten(2).sum(2)
        along.setdefault(f"along/{dim}/{name}", []).append(sums.float())
