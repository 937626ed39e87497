"""The layers among which an allocation spreads its target."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from workbench.criteria import Criterion, score_layer
from workbench.layers import LayerInfo
from workbench.model import Model


@dataclass(frozen=True, eq=False)
class Pool:
    """Layers that may be pruned, with the means to score them.

    Attributes:
        model: The dense model.
        layers: In the order of the model.
        criterion: How weights are ranked.
        seed: Seed of the criterion.
    """

    model: Model
    layers: tuple[LayerInfo, ...]
    criterion: Criterion
    seed: int

    @property
    def num_weights(self) -> int:
        """Weights of all layers."""
        return sum(layer.num_weights for layer in self.layers)

    def scores(self) -> Iterator[Tensor]:
        """Scores of each layer, flattened, on the CPU."""
        for layer in self.layers:
            weight = self.model.module.get_parameter(layer.parameter_name)
            yield score_layer(self.criterion, weight, self.seed, layer.layer_name).flatten().cpu()
