"""Recurrent network that reads an image row by row (Cho et al. 2014, the gated recurrent unit)."""

from collections.abc import Mapping

from torch import Tensor, nn


class RowGRU(nn.Module):
    """Each image row, all its channels side by side, is one step of a GRU.

    Args:
        row: Numbers in a row: channels times width.
        hidden: Hidden units of each GRU layer.
        layers: Stacked GRU layers.
        num_classes: Number of class scores.
    """

    def __init__(
        self, row: int = 28, hidden: int = 96, layers: int = 2, num_classes: int = 10
    ) -> None:
        super().__init__()
        self.gru = nn.GRU(row, hidden, layers, batch_first=True)
        self.classifier = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score images ``(batch, channels, h, w)``; returns ``(batch, num_classes)``."""
        steps, _ = self.gru(x.transpose(1, 2).flatten(2))
        return self.classifier(steps[:, -1])


def infer_arguments(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """Read row length, hidden units and layers off the weights."""
    return {
        "row": tensors["gru.weight_ih_l0"].shape[1],
        "hidden": tensors["gru.weight_hh_l0"].shape[1],
        "layers": sum(name.startswith("gru.weight_hh_l") for name in tensors),
        "num_classes": tensors["classifier.weight"].shape[0],
    }
