"""Random changes to training images that leave their class as it is."""

import torch
from torch import Tensor
from torch.nn import functional as F


def shift_and_flip(images: Tensor, shift: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Move each image by up to ``shift`` pixels each way and mirror half of them.

    What moves in at an edge repeats that edge.

    Args:
        images: ``(batch, channels, height, width)``.
        shift: Pixels; 0 moves nothing.
        flip: Whether to mirror half of the images left to right.
        generator: Decides, on the CPU.

    Returns:
        New images of the same shape, or the same tensor if nothing is asked for.
    """
    if flip:
        mirrored = torch.rand(len(images), generator=generator) < 0.5
        images = images.clone()
        images[mirrored] = images[mirrored].flip(3)
    if not shift:
        return images
    height, width = images.shape[2:]
    padded = F.pad(images, (shift,) * 4, mode="replicate")
    moves = torch.randint(2 * shift + 1, (2, len(images), 1), generator=generator)
    rows = moves[0] + torch.arange(height)
    columns = moves[1] + torch.arange(width)
    which = torch.arange(len(images))[:, None, None]
    moved = padded[which, :, rows[:, :, None], columns[:, None, :]]  # (batch, height, width, ...)
    return moved.permute(0, 3, 1, 2)
