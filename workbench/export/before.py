"""The network before channels were removed from it: what a report compares with."""

from dataclasses import replace

from torch import nn

from workbench.architectures import ARCHITECTURES
from workbench.layers import Inspection, inspect
from workbench.loading.skeleton import build_empty
from workbench.model import Model


def inspect_before(model: Model, dense: Model | None) -> Inspection | None:
    """Layers of the network that a model was cut from; None where no channel is missing.

    Args:
        model: Perhaps thinner than it once was.
        dense: What it was pruned from; None takes the network that its architecture builds.
    """
    if dense is None:
        if not is_thin(model):
            return None
        family = ARCHITECTURES[model.architecture]
        dense = replace(model, module=family.build(**model.arguments).eval())
    same = _shapes(dense.module) == _shapes(model.module)
    return None if same else inspect(dense)


def is_thin(model: Model) -> bool:
    """Whether channels are missing from the network that the model's architecture builds."""
    if model.architecture not in ARCHITECTURES:
        return False
    built = build_empty(ARCHITECTURES[model.architecture], model.arguments)
    return _shapes(built) != _shapes(model.module)


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
