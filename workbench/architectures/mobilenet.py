"""Small depthwise-separable network (Sandler et al. 2018, "MobileNetV2", section 3)."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class ConvBN(nn.Sequential):
    """Convolution without bias, BatchNorm and, unless it ends a block, ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1,
        activation: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU6() if activation else nn.Identity(),
        )


class InvertedResidual(nn.Module):
    """Expand with 1x1, filter each channel with 3x3, project with 1x1; add the input if it fits."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = ConvBN(inputs, inner)
        self.depthwise = ConvBN(inner, inner, 3, stride, groups=inner)
        self.project = ConvBN(inner, outputs, activation=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class MobileNet(nn.Module):
    """A stem with stride 2, stages of inverted residuals, a 1x1 head, pooling, classifier.

    Args:
        in_channels: Image channels.
        stem: Channels after the stem.
        widths: Channels of each stage; every stage but the first halves the image.
        blocks: Inverted residuals in each stage.
        expansion: Factor by which a block widens its input.
        head: Channels before pooling.
        num_classes: Number of class scores.
    """

    def __init__(
        self,
        in_channels: int = 1,
        stem: int = 16,
        widths: Sequence[int] = (24, 40, 64),
        blocks: Sequence[int] = (2, 3, 2),
        expansion: int = 4,
        head: int = 192,
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        self.stem = ConvBN(in_channels, stem, 3, 2)
        stages, inputs = [], stem
        for index, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            stage = []
            for block in range(count):
                stride = 2 if index and not block else 1
                stage.append(InvertedResidual(inputs, width, stride, expansion))
                inputs = width
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.head = ConvBN(inputs, head)
        self.classifier = nn.Linear(head, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score images ``(batch, in_channels, h, w)``; returns ``(batch, num_classes)``."""
        x = self.head(self.stages(self.stem(x)))
        return self.classifier(x.mean((2, 3)))


def infer_arguments(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """Read channels, widths, blocks and expansion off the weights."""
    found = (re.match(r"stages\.(\d+)\.(\d+)\.expand\.0\.weight$", name) for name in tensors)
    positions = [(int(m[1]), int(m[2])) for m in found if m]
    depth = 1 + max((stage for stage, _ in positions), default=0)
    expand = tensors["stages.0.0.expand.0.weight"]
    return {
        "in_channels": tensors["stem.0.weight"].shape[1],
        "stem": tensors["stem.0.weight"].shape[0],
        "widths": [tensors[f"stages.{s}.0.project.0.weight"].shape[0] for s in range(depth)],
        "blocks": [1 + max(b for stage, b in positions if stage == s) for s in range(depth)],
        "expansion": max(1, expand.shape[0] // expand.shape[1]),
        "head": tensors["head.0.weight"].shape[0],
        "num_classes": tensors["classifier.weight"].shape[0],
    }
