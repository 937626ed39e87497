"""Network families the workbench can rebuild from a bare state dict.

Every family is one self-contained file that imports torch alone, because an exported model
carries that file's text as its ``model.py``.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType

from torch import Tensor, nn

from workbench.architectures import gru, lenet5, mlp, mobilenet, recursive, resnet, vit

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Architecture:
    """One family of networks.

    Attributes:
        name: The word used on the command line and in cards.
        title: What a page shows.
        build: The class; called with arguments as returned by ``infer``.
        infer: State dict to arguments; raises ``KeyError`` where a tell-tale tensor is missing.
        input_shape: Arguments to an image shape ``(channels, height, width)`` that fits.
        source: Python text that defines ``build`` with torch alone.
    """

    name: str
    title: str
    build: Callable[..., nn.Module]
    infer: Callable[[Mapping[str, Tensor]], dict[str, object]]
    input_shape: Callable[[Mapping[str, object]], Shape]
    source: str


def _family(
    name: str, title: str, module: ModuleType, build: type[nn.Module],
    input_shape: Callable[[Mapping[str, object]], Shape],
) -> Architecture:  # fmt: skip
    return Architecture(
        name, title, build, module.infer_arguments, input_shape, inspect.getsource(module)
    )


def _square(arguments: Mapping[str, object]) -> Shape:
    size = int(arguments.get("image_size", 28))  # type: ignore[call-overload]
    return (int(arguments.get("in_channels", 1)), size, size)  # type: ignore[call-overload]


def _image_shape(arguments: Mapping[str, object]) -> Shape:
    return tuple(arguments.get("input_shape", (1, 8, 8)))  # type: ignore[arg-type, return-value]


ARCHITECTURES: dict[str, Architecture] = {
    family.name: family
    for family in (
        _family("mlp", "Multi-layer perceptron", mlp, mlp.MLP, _image_shape),
        _family("lenet5", "LeNet-5 (Caffe)", lenet5, lenet5.LeNet5, _square),
        _family("resnet", "ResNet for small images", resnet, resnet.ResNet, _square),
        _family("mobilenet", "MobileNet (inverted residuals)", mobilenet, mobilenet.MobileNet,
                _square),
        _family("vit", "Vision transformer", vit, vit.ViT, _square),
        _family("recursive", "Recursive CNN (shared weights)", recursive, recursive.Recursive,
                lambda a: (int(a.get("in_channels", 1)), 8, 8)),  # type: ignore[call-overload]
        _family("gru", "GRU over image rows", gru, gru.RowGRU,
                lambda a: (1, 28, int(a.get("row", 28)))),  # type: ignore[call-overload]
    )
}  # fmt: skip
