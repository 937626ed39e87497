"""Recursive convolutional network: one residual block again and again, one kernel at two scales."""

import re
from collections.abc import Mapping

from torch import Tensor, nn


class Recursive(nn.Module):
    """A stem, one residual block used several times, two views by one kernel, pooling, classifier.

    The two convolutions of the block are called once in every pass; each pass has BatchNorms of
    its own, because activations differ from pass to pass (Savarese and Maire 2019, "Learning
    Implicitly Recurrent CNNs Through Parameter Sharing"). ``near`` and ``far`` are two layers with
    one weight, which looks at neighbours and, dilated, at wider surroundings (Li et al. 2019,
    "Scale-Aware Trident Networks", section 3.2).

    Args:
        in_channels: Image channels.
        width: Channels of the stem and the block.
        wide: Channels of the two views.
        passes: How often the block is used.
        num_classes: Number of class scores.
    """

    def __init__(
        self,
        in_channels: int = 1,
        width: int = 24,
        wide: int = 32,
        passes: int = 3,
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        self.block = nn.ModuleDict(
            {
                "first": nn.Conv2d(width, width, 3, padding=1, bias=False),
                "second": nn.Conv2d(width, width, 3, padding=1, bias=False),
            }
        )
        self.first_norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(passes))
        self.second_norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(passes))
        self.near = nn.Conv2d(width, wide, 3, padding=1, bias=False)
        self.far = nn.Conv2d(width, wide, 3, padding=2, dilation=2, bias=False)
        self.far.weight = self.near.weight
        self.near_norm = nn.BatchNorm2d(wide)
        self.far_norm = nn.BatchNorm2d(wide)
        self.classifier = nn.Linear(wide, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score images ``(batch, in_channels, h, w)``; returns ``(batch, num_classes)``."""
        x = self.stem_norm(self.stem(x)).relu()
        for first_norm, second_norm in zip(self.first_norms, self.second_norms, strict=True):
            y = first_norm(self.block["first"](x)).relu()
            x = (second_norm(self.block["second"](y)) + x).relu()
        x = self.near_norm(self.near(x)).relu() + self.far_norm(self.far(x)).relu()
        return self.classifier(x.mean((2, 3)))


def infer_arguments(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """Read channels and passes off the weights."""
    width, in_channels = tensors["stem.weight"].shape[:2]
    passes = {m[1] for name in tensors if (m := re.match(r"second_norms\.(\d+)\.weight$", name))}
    return {
        "in_channels": in_channels,
        "width": width,
        "wide": tensors["near.weight"].shape[0],
        "passes": len(passes),
        "num_classes": tensors["classifier.weight"].shape[0],
    }
