"""Write ``model.py``: the network's own source, its arguments and a reader for its weights."""

import ast
import inspect
import sys
from collections.abc import Mapping
from string import Template

import workbench.thin
from workbench.architectures import ARCHITECTURES
from workbench.data import Data
from workbench.errors import ExportError
from workbench.export.before import is_thin
from workbench.model import Model
from workbench.names import suggest
from workbench.shared import second_names

_HELPER_IMPORTS = """
import json
import math
from pathlib import Path
import torch
from torch import Tensor, nn
"""
_NOT_NEEDED = "infer_arguments"
_LINE = 100

_TEMPLATE = Template('''\
"""$title

Rebuilds the network from weights.safetensors with PyTorch alone:

$usage

``python model.py`` says what it is.
"""

$imports

$constants


# $origin
$classes


def load(path: str | Path | None = None, device: str = "cpu") -> nn.Module:
    """Build the network with its weights, ready to classify.

    Args:
        path: The weights; by default weights.safetensors beside this file.
        device: Where the network is to run.
    """
    path = Path(path) if path else Path(__file__).resolve().with_name("weights.safetensors")
    network = $build(**ARGUMENTS)
    tensors = read_safetensors(path)
$all_names    $fill
$share    return network.eval().to(device)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read tensors by name: eight bytes of length, a JSON header, then the numbers.

    Raises:
        ValueError: If the file is damaged.
    """
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    if not 8 < start <= min(len(content), MAX_HEADER_BYTES):
        raise ValueError(f"{path} is not a safetensors file, or it is cut short.")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
        first, last = (start + offset for offset in entry["data_offsets"])
        count = math.prod(shape)
        if not start <= first <= last <= len(content) or last - first != count * dtype.itemsize:
            raise ValueError(f"{path} is damaged at {name}.")
        flat = torch.empty(0, dtype=dtype)
        if count:
            flat = torch.frombuffer(content, dtype=dtype, count=count, offset=first)
        tensors[name] = flat.view(shape)
    return tensors
$thin$normalise

def describe(network: nn.Module) -> str:
    """Say what the network is and how much of it is left, layer by layer."""
    parameters = dict(network.named_parameters())
    total = sum(p.numel() for p in parameters.values())
    kept = sum(int(p.count_nonzero()) for p in parameters.values())
    lines = [
        f"{NAME} ({type(network).__name__})",
        f"images {' x '.join(map(str, INPUT_SHAPE))}, {NUM_CLASSES} classes",
        f"{total:,} parameters, {kept:,} of them not zero ({kept / total:.1%})",
    ]
$before    width = max(map(len, parameters))
    for name, p in parameters.items():
        if p.dim() > 1:
            shape = " x ".join(map(str, p.shape))
            zeros = 1 - int(p.count_nonzero()) / p.numel()
            lines.append(f"  {name:{width}}  {shape:>16}  {zeros:6.1%} zero")
$was    return "\\n".join(lines)


if __name__ == "__main__":
    print(describe(load()))
''')

_NORMALISE = '''

def normalise(images: Tensor) -> Tensor:
    """Prepare images of 0..255, ``(samples, channels, height, width)``, for the network."""
    images = images.float().div(255)
    mean, std = (torch.tensor(numbers).view(1, -1, 1, 1) for numbers in (MEAN, STD))
    return images.sub(mean.to(images.device)).div(std.to(images.device))
'''

_ALL_NAMES = """\
    tensors = {name: tensors[first] for name, first in SHARED.items()} | tensors
"""
_SHARE = """\
    for name, first in SHARED.items():  # one tensor, whichever layer uses it
        owner, _, key = name.rpartition(".")
        setattr(network.get_submodule(owner), key, network.get_parameter(first))
"""
_BEFORE = """\
    with torch.device("meta"):
        before = dict($build(**ARGUMENTS).named_parameters())
    dense = sum(p.numel() for p in before.values())
    lines.append(f"channels were removed: {total / dense:.1%} of {dense:,} parameters are left")
"""
_WAS = """\
            lines[-1] += f"  was {' x '.join(map(str, before[name].shape))}"
"""


def model_source(model: Model, data: Data | None = None) -> str:
    """Python text that rebuilds a model from its weights with PyTorch alone.

    Args:
        model: Of a known architecture.
        data: Gives normalisation and class names; left out of the text if None.

    Raises:
        ExportError: If the model's architecture is not known.
    """
    if model.architecture not in ARCHITECTURES:
        raise ExportError(
            f"{model.name} is of no known architecture; its source cannot be written.",
            suggest(model.architecture, ARCHITECTURES),
        )
    family = ARCHITECTURES[model.architecture]
    origin, classes, imports = _needed(family.source)
    thin = thin_imports = ""
    if is_thin(model):
        _, thin, thin_imports = _needed(inspect.getsource(workbench.thin))
    usage = ["from model import load", "network = load()"]
    call = "scores = network(images)"
    normalises = data is not None and takes_pixels(data)
    if normalises:
        usage[0] = "from model import CLASS_NAMES, load, normalise"
        call = "scores = network(normalise(images))"
    usage.append(f"{call}  # (samples, {', '.join(map(str, model.input_shape))})")
    return _TEMPLATE.substitute(
        title=_one_line(f"{model.name}, as the pruning workbench left it."),
        usage="\n".join(f"    {line}" for line in usage),
        imports=_format_imports("\n".join((_HELPER_IMPORTS, imports, thin_imports))),
        constants=_constants(model, data),
        origin=origin,
        classes=classes,
        build=family.build.__name__,
        fill="thin_(network, tensors)" if thin else "network.load_state_dict(tensors)",
        all_names=_ALL_NAMES if second_names(model.module) else "",
        share=_SHARE if second_names(model.module) else "",
        thin=f"\n\n{thin}\n" if thin else "",
        before=Template(_BEFORE).substitute(build=family.build.__name__) if thin else "",
        was=_WAS if thin else "",
        normalise=_NORMALISE if normalises else "",
    )


def takes_pixels(data: Data) -> bool:
    """Whether images are bytes, scaled and normalised for the network, or numbers as they are."""
    return bool(data.x_test.dtype.kind == "u")


def _needed(source: str) -> tuple[str, str, str]:
    """Split a family's source into its first line, its classes, and the imports these use."""
    tree = ast.parse(source)
    lines = source.splitlines()
    parts, used, imports = [], set(), []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Assign):
            if getattr(node, "name", "") == _NOT_NEEDED:
                continue
            decorators = getattr(node, "decorator_list", ())
            first = min([node.lineno, *(entry.lineno for entry in decorators)])
            parts.append("\n".join(lines[first - 1 : node.end_lineno]))
            used |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    kept = []
    for statement in imports:
        statement.names = [a for a in statement.names if (a.asname or a.name) in used]
        kept += [ast.unparse(statement)] if statement.names else []
    origin = (ast.get_docstring(tree) or "The network.").splitlines()[0]
    return origin, "\n\n\n".join(parts), "\n".join(kept)


def _format_imports(source: str) -> str:
    """Merge import statements and sort them, the standard library first."""
    plain: set[str] = set()
    named: dict[str, set[str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            plain |= {ast.unparse(alias) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            entries = {ast.unparse(alias) for alias in node.names}
            named.setdefault(node.module or "", set()).update(entries)
    groups: tuple[list[str], list[str]] = ([], [])
    for module in sorted(plain):
        groups[_third_party(module)].append(f"import {module}")
    for module, found in sorted(named.items()):
        names = ", ".join(sorted(found, key=lambda name: (not name.isupper(), name)))
        groups[_third_party(module)].append(f"from {module} import {names}")
    return "\n\n".join("\n".join(group) for group in groups if group)


def _third_party(module: str) -> bool:
    return module.partition(".")[0] not in sys.stdlib_module_names


def _constants(model: Model, data: Data | None) -> str:
    values: dict[str, object] = {
        "NAME": model.name,
        "ARGUMENTS": dict(model.arguments),
        "INPUT_SHAPE": tuple(model.input_shape),
        "NUM_CLASSES": model.num_classes,
    }
    if seconds := second_names(model.module):
        values["SHARED"] = seconds
    if data is not None:
        values["CLASS_NAMES"] = tuple(map(str, data.class_names))
        if takes_pixels(data):
            values |= {"MEAN": tuple(map(float, data.mean)), "STD": tuple(map(float, data.std))}
    lines = [f"{name} = {_literal(value, len(name) + 3)}" for name, value in values.items()]
    return "\n".join([*lines, _READER_CONSTANTS])


_READER_CONSTANTS = """\
MAX_HEADER_BYTES = 100_000_000
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}"""


def _literal(value: object, indent: int) -> str:
    """A Python literal; one entry a line where it would be too long."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        entries, ends = [f"{_quoted(str(k))}: {_literal(v, 0)}" for k, v in value.items()], "{}"
    elif isinstance(value, tuple | list):
        entries = [_literal(entry, 0) for entry in value]
        ends = "()" if isinstance(value, tuple) else "[]"
    else:
        return repr(value)
    comma = "," if isinstance(value, tuple) and len(entries) == 1 else ""
    short = f"{ends[0]}{', '.join(entries)}{comma}{ends[1]}"
    if len(short) + indent <= _LINE:
        return short
    return "\n".join([ends[0], *(f"    {entry}," for entry in entries), ends[1]])


def _quoted(text: str) -> str:
    """A double-quoted literal, safe whatever the text holds."""
    plain = repr(text)
    simple = plain[0] == "'" and '"' not in text and "\\'" not in plain
    return f'"{plain[1:-1]}"' if simple else plain


def _one_line(text: str) -> str:
    """Text that is safe inside a docstring."""
    return " ".join(text.replace("\\", "/").replace('"', "'").split())
