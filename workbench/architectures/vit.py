"""Small vision transformer (Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words")."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head self-attention with separate query, key and value projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        y = F.scaled_dot_product_attention(q, k, v)
        return self.output(y.transpose(1, 2).flatten(2))


class EncoderBlock(nn.Module):
    """Attention and a two-layer perceptron, each behind a LayerNorm and beside a shortcut."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, mlp)
        self.fc2 = nn.Linear(mlp, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class ViT(nn.Module):
    """Patches become tokens, encoder blocks mix them, their mean is classified.

    Args:
        in_channels: Image channels.
        image_size: Height and width of the (square) images.
        patch: Height and width of a patch.
        width: Numbers per token.
        depth: Encoder blocks.
        heads: Attention heads.
        mlp: Hidden width of each block's perceptron.
        num_classes: Number of class scores.
    """

    def __init__(
        self, in_channels: int = 1, image_size: int = 28, patch: int = 4, width: int = 64,
        depth: int = 6, heads: int = 4, mlp: int = 128, num_classes: int = 10,
    ) -> None:  # fmt: skip
        super().__init__()
        self.patches = nn.Conv2d(in_channels, width, patch, patch)
        self.position = nn.Parameter(torch.zeros(1, (image_size // patch) ** 2, width))
        nn.init.normal_(self.position, std=0.02)
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads, mlp) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score images ``(batch, in_channels, size, size)``; returns ``(batch, num_classes)``."""
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        x = self.norm(self.blocks(x))
        return self.classifier(x.mean(1))


def infer_arguments(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """Read the sizes off the weights; heads of 16 numbers are assumed, as weights do not tell."""
    patches = tensors["patches.weight"]
    found = (re.match(r"blocks\.(\d+)\.fc1\.weight$", name) for name in tensors)
    patch = patches.shape[2]
    return {
        "in_channels": patches.shape[1],
        "image_size": round(tensors["position"].shape[1] ** 0.5) * patch,
        "patch": patch,
        "width": patches.shape[0],
        "depth": 1 + max((int(m[1]) for m in found if m), default=-1),
        "heads": max(1, patches.shape[0] // 16),
        "mlp": tensors["blocks.0.fc1.weight"].shape[0],
        "num_classes": tensors["classifier.weight"].shape[0],
    }
