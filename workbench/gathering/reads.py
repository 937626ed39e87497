"""Where the units of a group are read: the inputs of the layers behind them."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from workbench.groups import Group
from workbench.model import Model
from workbench.shared import second_names


@dataclass(frozen=True, eq=False)
class Read:
    """One weight that reads the units of a group.

    Attributes:
        parameter: First name of the weight.
        dim: Its dimension of inputs.
        indices: ``(num_units, per_unit)``, the places of each unit in that dimension.
        repeats: Groups of a grouped convolution, each of which has such places; 1 elsewhere.
    """

    parameter: str
    dim: int
    indices: Tensor
    repeats: int = 1

    def of_inputs(self, channels: int) -> Tensor:
        """The channels of each unit among all that the layer reads, ``(num_units, ...)``."""
        each = channels // self.repeats
        shifts = self.indices.new_tensor(range(self.repeats)) * each
        return (self.indices[:, None, :] + shifts[None, :, None]).flatten(1)


def find_reads(model: Model, group: Group) -> Sequence[Read]:
    """The weights that the units of a group go into, recurrent ones among them.

    Setting a unit's places there to zero takes the unit out of the network. A weight that is used
    under several names is one.
    """
    seconds = second_names(model.module)
    found: dict[tuple[str, int], Read] = {}
    for part in group.slices:
        name = seconds.get(part.parameter, part.parameter)
        path, _, own = part.parameter.rpartition(".")
        layer = model.module.get_submodule(path)
        repeats = getattr(layer, "groups", 1)
        if _reads(layer, own, part.dim):
            found.setdefault((name, part.dim), Read(name, part.dim, part.indices, repeats))
    return [*found.values()]


def _reads(layer: nn.Module, own: str, dim: int) -> bool:
    if isinstance(layer, nn.RNNBase):
        return own.startswith("weight_") and dim == 1
    if isinstance(layer, _ConvNd | nn.Linear):
        return own == "weight" and dim == (0 if isinstance(layer, _ConvTransposeNd) else 1)
    return False
