"""A trained network together with what the workbench knows about it."""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from workbench.data import Data
from workbench.errors import DataError
from workbench.evidence import Evidence
from workbench.progress import ShouldStop, never


@dataclass(frozen=True, eq=False)
class Model:
    """A trained image classifier in eval mode. The module is shared: copy it before changing it.

    Attributes:
        name: What a page shows.
        module: Takes images ``(batch, *input_shape)``, gives scores ``(batch, num_classes)``.
        input_shape: ``(channels, height, width)``.
        num_classes: Number of class scores.
        architecture: Name in ``workbench.architectures``, or empty where the network came from a
            factory and cannot be rebuilt from its weights alone.
        arguments: What the architecture is built with; plain JSON.
        data_name: Sample data the model was trained on, or empty.
        card: What is recorded about a sample model (training, licence, measured accuracy).
        evidence: Images that criteria may look at; None where there are none.
    """

    name: str
    module: nn.Module
    input_shape: tuple[int, int, int]
    num_classes: int
    architecture: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict)
    data_name: str = ""
    card: Mapping[str, object] = field(default_factory=dict)
    evidence: Evidence | None = None

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name wiring, arguments, image shape and weights."""
        kind = type(self.module)
        wiring = self.architecture or f"{kind.__module__}.{kind.__qualname__}"
        salt = json.dumps([wiring, dict(self.arguments), self.input_shape], sort_keys=True)
        return digest_of_tensors(self.module.state_dict(), salt)

    def copy_module(self) -> nn.Module:
        """An independent copy of the module, free to change."""
        return copy.deepcopy(self.module)

    def with_module(self, module: nn.Module, name: str | None = None) -> "Model":
        """The same model with another module of the same architecture, in eval mode."""
        return replace(self, module=module.eval(), name=name or self.name, card={})

    def with_evidence(self, evidence: Evidence | None) -> "Model":
        """The same model with images that criteria may look at."""
        same = replace(self, evidence=evidence)
        if "digest" in self.__dict__:  # it took a pass over all weights, and stays the same
            same.__dict__["digest"] = self.digest
        return same

    def asking(self, should_stop: ShouldStop) -> "Model":
        """The same model; criteria that look at its images end where this says so."""
        if self.evidence is None or should_stop is never:
            return self
        return self.with_evidence(self.evidence.asking(should_stop))


def digest_of_tensors(tensors: Mapping[str, Tensor], salt: str = "") -> str:
    """Name tensors by their content: names, kinds, shapes and bytes, sixteen hexadecimal digits."""
    digest = hashlib.sha256(salt.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def check_fit(model: Model, data: Data) -> None:
    """Refuse a data set that the model cannot classify.

    Raises:
        DataError: If image shape or number of classes differ.
    """
    if model.input_shape != data.input_shape:
        raise DataError(
            f"{model.name} takes images of shape {_shape(model.input_shape)}; "
            f"{data.name} has {_shape(data.input_shape)}.",
            "Choose data with images of that shape (channels x height x width).",
        )
    if model.num_classes != data.num_classes:
        raise DataError(
            f"{model.name} tells {model.num_classes} classes apart; "
            f"{data.name} has {data.num_classes}.",
            "Choose data with the classes the model was trained on.",
        )


def with_data(model: Model, data: Data, should_stop: ShouldStop = never) -> Model:
    """The model with its data for criteria to look at; evidence of the same data stays.

    Criteria such as ``taylor`` or ``wanda`` need that before ``allocate``, ``prune`` or
    ``build_masks``; what takes data anyway, such as ``run_experiment``, does it by itself.

    Args:
        model: The model.
        data: Its data.
        should_stop: Asked while criteria look; True raises ``StoppedError`` there.

    Raises:
        DataError: If image shape or number of classes differ.
    """
    check_fit(model, data)
    if model.evidence is None or model.evidence.data.digest != data.digest:
        model = model.with_evidence(Evidence(lambda: data))
    return model.asking(should_stop)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
