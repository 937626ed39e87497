"""Multi-layer perceptron on flattened images."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import Tensor, nn


class MLP(nn.Module):
    """Fully connected layers with ReLU between them; the last one gives the class scores.

    Args:
        input_shape: Image shape ``(channels, height, width)``; images are flattened.
        hidden: Widths of the hidden layers, in order.
        num_classes: Number of class scores.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 8, 8),
        hidden: Sequence[int] = (128, 64),
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        channels, height, width = input_shape
        widths = [channels * height * width, *hidden]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score images ``(batch, channels, height, width)``; returns ``(batch, num_classes)``."""
        x = x.flatten(1)
        for layer in self.hidden:
            x = layer(x).relu()
        return self.classifier(x)


def infer_arguments(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """Read the widths off the weights; square one-channel images are assumed."""
    count = sum(name.startswith("hidden.") and name.endswith(".weight") for name in tensors)
    hidden = [tensors[f"hidden.{i}.weight"].shape[0] for i in range(count)]
    classifier = tensors["classifier.weight"]
    inputs = tensors["hidden.0.weight"].shape[1] if count else classifier.shape[1]
    side = round(inputs**0.5)
    input_shape = [1, side, side] if side * side == inputs else [1, 1, inputs]
    return {"input_shape": input_shape, "hidden": hidden, "num_classes": classifier.shape[0]}
