"""Residual networks for small images (He et al. 2016, "Deep Residual Learning", section 4)."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

WIDENING = 4


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y))
        return (y + self.shortcut(x)).relu()


class Bottleneck(nn.Module):
    """A 3x3 convolution between two of 1x1, the last four times as wide, beside a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = WIDENING * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.bn3(self.conv3(y))
        return (y + self.shortcut(x)).relu()


class ResNet(nn.Module):
    """A stem, stages of residual blocks (each later stage halves the image), pooling, classifier.

    Three basic blocks in each of three stages make ResNet-20; 3, 4, 6 and 3 bottlenecks in four
    stages make a network of the shape of ResNet-50.

    Args:
        in_channels: Image channels.
        widths: Channels of each stage; of bottlenecks those in the middle.
        blocks: Residual blocks in each stage.
        num_classes: Number of class scores.
        bottleneck: Whether the blocks are bottlenecks.
    """

    def __init__(
        self,
        in_channels: int = 1,
        widths: Sequence[int] = (16, 32, 64),
        blocks: Sequence[int] = (3, 3, 3),
        num_classes: int = 10,
        bottleneck: bool = False,
    ) -> None:
        super().__init__()
        kind = Bottleneck if bottleneck else BasicBlock
        self.stem = nn.Conv2d(in_channels, widths[0], 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        stages, inputs = [], widths[0]
        for index, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            stage = []
            for block in range(count):
                stage.append(kind(inputs, width, 2 if index and not block else 1))
                inputs = WIDENING * width if bottleneck else width
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(inputs, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score images ``(batch, in_channels, h, w)``; returns ``(batch, num_classes)``."""
        x = self.bn(self.stem(x)).relu()
        x = self.stages(x)
        return self.classifier(x.mean((2, 3)))


def infer_arguments(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """Read channels, widths and blocks off the weights."""
    found = (re.match(r"stages\.(\d+)\.(\d+)\.conv1\.weight$", name) for name in tensors)
    positions = [(int(m[1]), int(m[2])) for m in found if m]
    depth = 1 + max((stage for stage, _ in positions), default=0)
    bottleneck = "stages.0.0.conv3.weight" in tensors
    return {
        "in_channels": tensors["stem.weight"].shape[1],
        "widths": [tensors[f"stages.{s}.0.conv1.weight"].shape[0] for s in range(depth)],
        "blocks": [1 + max(b for stage, b in positions if stage == s) for s in range(depth)],
        "num_classes": tensors["classifier.weight"].shape[0],
        **({"bottleneck": True} if bottleneck else {}),
    }
