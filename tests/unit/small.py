"""Small networks and data that many tests share."""

import numpy as np
import torch
from torch import nn

from workbench.data import Data
from workbench.model import Model


class SmallNet(nn.Module):
    """Grouped convolution, BatchNorm, shared positions, an unprunable scale and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2, bias=False)
        self.fc = nn.Linear(8 * 9, 6)
        self.classifier = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv2(self.norm(self.conv1(x)).relu()).relu()
        return self.classifier(self.fc(y.flatten(1)).relu())


def small_model(seed: int = 0) -> Model:
    """A network for images of 1 x 6 x 6 and 3 classes without a parameter that is zero."""
    torch.manual_seed(seed)
    network = SmallNet().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_((parameter == 0) * 0.01)
    return Model("small", network, (1, 6, 6), 3)


def stripes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images whose class is the bright third of the rows, with noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    images = rng.normal(0, 0.5, (count, 1, 6, 6)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[0, 2 * label : 2 * label + 2] += 1
    return images, labels


def stripes_data() -> Data:
    """160 training and 60 test images that ``small_model`` takes."""
    return Data("stripes", *stripes(160, 0), *stripes(60, 1), class_names=("a", "b", "c"))
