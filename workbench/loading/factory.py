"""Networks that the user's own code builds: ``package.module:factory``."""

import importlib
import re

from torch import nn

from workbench.errors import LoadError
from workbench.loading.weights import check_numbers
from workbench.loading.wording import article, first_line, shown
from workbench.names import suggest

_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def names_factory(source: str) -> bool:
    """Whether a source has the form ``package.module:factory``."""
    return _REFERENCE.fullmatch(source) is not None


def call_factory(source: str) -> nn.Module:
    """Import the module, call the factory without arguments and check what it returns.

    This runs the user's code, so it is never offered where the source comes from a browser.

    Raises:
        LoadError: If the import or the call fails, or the result is no network with finite
            floating-point weights.
    """
    path, _, attribute = source.partition(":")
    target: object = _import(path)
    for part in attribute.split("."):
        if not hasattr(target, part):
            public = [name for name in dir(target) if not name.startswith("_")]
            raise LoadError(f"{path} has no {shown(attribute)!r}.", suggest(part, public))
        target = getattr(target, part)
    if not callable(target):
        raise LoadError(
            f"{source} is {article(type(target).__name__)}, which cannot be called.",
            "Name a function without arguments that returns the network.",
        )
    try:
        module = target()
    except (Exception, SystemExit) as fault:
        raise LoadError(
            f"{source} failed with {first_line(fault)}.",
            "Call it in Python to see where; it is called without arguments.",
        ) from fault
    if not isinstance(module, nn.Module):
        raise LoadError(
            f"{source} returned {article(type(module).__name__)}, not a torch.nn.Module.",
            "Return the network itself.",
        )
    for name, parameter in module.named_parameters():
        check_numbers(source, name, parameter.detach())
    return module.cpu().float().eval()


def _import(path: str) -> object:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as fault:
        if fault.name is not None and (path == fault.name or path.startswith(f"{fault.name}.")):
            raise LoadError(
                f"There is no Python module {fault.name!r}.",
                "Start from the folder that holds it, or install it into this environment.",
            ) from fault
        raise LoadError(
            f"{path} needs the Python module {fault.name!r}, which is not installed.",
            f"Install it: pip install {fault.name}.",
        ) from fault
    except (Exception, SystemExit) as fault:
        raise LoadError(
            f"Importing {path} failed with {first_line(fault)}.",
            "Import it in Python to see where.",
        ) from fault
