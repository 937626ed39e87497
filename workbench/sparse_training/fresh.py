"""New weights for a network: the same wiring, begun again from a seed."""

import torch
from torch import nn

from workbench.architectures import ARCHITECTURES
from workbench.errors import PlanError
from workbench.model import Model


def with_new_weights(model: Model, seed: int) -> Model:
    """The same network with newly drawn weights, as its class draws them.

    Args:
        model: It stays as it is.
        seed: The same seed gives the same weights.

    Raises:
        PlanError: If a part of the network cannot draw its weights anew.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        family = ARCHITECTURES.get(model.architecture)
        module = family.build(**model.arguments) if family else _reset(model)
    return model.with_module(module)


def _reset(model: Model) -> nn.Module:
    """A copy whose parts have drawn their weights anew, each by its own ``reset_parameters``."""
    module = model.copy_module()
    covered: set[int] = set()
    for path, layer in module.named_modules():
        own = [id(one) for one in layer.parameters(recurse=False)]
        reset = getattr(layer, "reset_parameters", None) or getattr(
            layer, "_reset_parameters", None
        )
        if reset is not None:
            reset()
            covered.update(id(one) for one in layer.parameters())
        elif not covered.issuperset(own):
            raise PlanError(
                f"{path or type(layer).__name__} holds weights that it cannot draw anew.",
                "Train on from the trained weights, or open the model by a known architecture.",
            )
    return module
