"""Samples of a layer's inputs and outputs: one row for a place in an image."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Places:
    """Which places of every image are looked at, the same for the same seed.

    Args:
        num_images: Images in all.
        seed: Chooses the places.
        device: Where the images are.
    """

    def __init__(self, num_images: int, seed: int, device: torch.device) -> None:
        self.num_images = num_images
        self._seed = seed
        self._device = device
        self._chosen: dict[tuple[int, int], Tensor] = {}

    def choose(self, extent: Sequence[int], num_rows: int) -> Tensor:
        """Places in every image, ``(images, places)``, as numbers into the flattened extent.

        Args:
            extent: Size of the output without images and channels, e.g. ``(height, width)``.
            num_rows: About how many rows there should be in all.
        """
        size = math.prod(extent)
        count = min(size, max(1, math.ceil(num_rows / self.num_images)))
        if (size, count) not in self._chosen:
            if count == size:
                places = torch.arange(size).expand(self.num_images, size)
            else:
                generator = torch.Generator().manual_seed(hash((self._seed, size, count)) % 2**63)
                order = torch.rand(self.num_images, size, generator=generator)
                places = order.topk(count, dim=1).indices
            self._chosen[size, count] = places.contiguous().to(self._device)
        return self._chosen[size, count]


def extent_of(output: Tensor, is_linear: bool) -> tuple[int, ...]:
    """Size of an output without images and channels."""
    return tuple(output.shape[1:-1] if is_linear else output.shape[2:])


def output_rows(output: Tensor, places: Tensor, is_linear: bool) -> Tensor:
    """Outputs at the chosen places, ``(images * places, channels)``.

    Args:
        output: ``(images, channels, ...)``, or ``(images, ..., channels)`` of linear layers.
        places: ``(images, places)``.
        is_linear: Whether channels come last.
    """
    images, count = places.shape
    if is_linear:
        flat = output.reshape(images, -1, output.shape[-1])
        return flat.gather(1, places[:, :, None].expand(-1, -1, flat.shape[2])).flatten(0, 1)
    flat = output.flatten(2)
    picked = flat.gather(2, places[:, None].expand(-1, flat.shape[1], -1))
    return picked.transpose(1, 2).reshape(images * count, -1)


def patch_rows(
    inputs: Tensor, places: Tensor, extent: Sequence[int], kernel: Sequence[int],
    stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int,
) -> Tensor:  # fmt: skip
    """What a convolution sees at the chosen places of its output.

    Args:
        inputs: ``(images, channels, ...)``.
        places: ``(images, places)`` in the flattened extent.
        extent: Size of the output, e.g. ``(height, width)``.
        kernel: Size of the kernel; stride, padding and dilation have as many entries.
        stride: Step between outputs.
        padding: Zeros before the first input.
        dilation: Step between the inputs of one output.
        groups: Groups of the convolution.

    Returns:
        ``(groups, images * places, channels / groups * kernel)``, in the order of the weights.
    """
    images, count = places.shape
    channels, sizes = inputs.shape[1], inputs.shape[2:]
    index = torch.zeros(images, count, 1, dtype=torch.long, device=inputs.device)
    inside = torch.ones_like(index, dtype=torch.bool)
    for axis, size in enumerate(sizes):
        coordinate = places.div(math.prod(extent[axis + 1 :]), rounding_mode="floor")
        first = coordinate % extent[axis] * stride[axis] - padding[axis]
        steps = torch.arange(kernel[axis], device=inputs.device) * dilation[axis]
        at = first[:, :, None] + steps
        valid = (at >= 0) & (at < size)
        at = at.clamp(0, size - 1)
        index = (index[..., None] * size + at[:, :, None]).flatten(2)
        inside = (inside[..., None] & valid[:, :, None]).flatten(2)
    taps = index.shape[2]
    where = index.view(images, 1, count * taps).expand(-1, channels, -1)
    found = inputs.flatten(2).gather(2, where).view(images, channels, count, taps)
    found.mul_(inside[:, None])
    rows = found.permute(0, 2, 1, 3).reshape(images * count, groups, -1)
    return rows.transpose(0, 1)


def patches(given: Mapping[str, Any], output: Tensor, places: Tensor) -> Tensor:
    """The inputs of a convolution at the chosen places, by the arguments it was called with."""
    kernel = given["weight"].shape[2:]

    def each(value: Any) -> tuple[int, ...]:
        values = (value,) if isinstance(value, int) else tuple(value)
        return values * len(kernel) if len(values) == 1 else values

    stride, dilation = each(given.get("stride", 1)), each(given.get("dilation", 1))
    padding = given.get("padding", 0)
    if padding == "same":
        padding = [step * (size - 1) // 2 for step, size in zip(dilation, kernel, strict=True)]
    before = each(0 if padding == "valid" else padding)
    return patch_rows(
        given["input"], places, output.shape[2:], kernel, stride, before, dilation,
        given.get("groups", 1),
    )  # fmt: skip
