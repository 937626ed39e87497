"""LeNet-5 in the Caffe variant, the network of the early pruning papers."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class LeNet5(nn.Module):
    """Two 5x5 convolutions with max pooling and two fully connected layers.

    The default widths give the 431 k parameters pruned by Han et al. 2015, "Learning both
    Weights and Connections for Efficient Neural Networks", table 4.

    Args:
        in_channels: Image channels.
        image_size: Height and width of the (square) images.
        widths: Outputs of ``conv1``, ``conv2`` and ``fc1``.
        num_classes: Number of class scores.
    """

    def __init__(
        self,
        in_channels: int = 1,
        image_size: int = 28,
        widths: Sequence[int] = (20, 50, 500),
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        first, second, third = widths
        side = ((image_size - 4) // 2 - 4) // 2
        self.conv1 = nn.Conv2d(in_channels, first, 5)
        self.conv2 = nn.Conv2d(first, second, 5)
        self.fc1 = nn.Linear(second * side * side, third)
        self.fc2 = nn.Linear(third, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score images ``(batch, in_channels, size, size)``; returns ``(batch, num_classes)``."""
        x = F.max_pool2d(self.conv1(x).relu(), 2)
        x = F.max_pool2d(self.conv2(x).relu(), 2)
        x = self.fc1(x.flatten(1)).relu()
        return self.fc2(x)


def infer_arguments(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """Read widths and image size off the weights."""
    first, second = tensors["conv1.weight"], tensors["conv2.weight"]
    third, classifier = tensors["fc1.weight"], tensors["fc2.weight"]
    side = round((third.shape[1] / second.shape[0]) ** 0.5)
    return {
        "in_channels": first.shape[1],
        "image_size": (side * 2 + 4) * 2 + 4,
        "widths": [first.shape[0], second.shape[0], third.shape[0]],
        "num_classes": classifier.shape[0],
    }
