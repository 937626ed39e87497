"""The catalogue: what every method of every family tells of itself, without importing any of it.

The methods' files are read, not run: pages have the catalogue before torch is in, and ``--help``
needs nothing heavier than Python. A test holds what is read against the families' registries. Only
a family that tells by more than plain text is imported after all.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from workbench.errors import SettingsError
from workbench.method import FAMILIES, NEEDS, Method
from workbench.names import suggest
from workbench.plan import ALLOCATIONS

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Home:
    """Where the methods of a family are kept.

    Attributes:
        module: Dotted name of the module or package that holds the registry.
        registry: Name of the registry in it: a mapping of names to methods.
        kind: Name of the family's kind of ``Method``.
        files: Dotted name of the package with a file for each method, where it is another.
        order: Names in the order in which they are told; those not named come after them.
    """

    module: str
    registry: str
    kind: str
    files: str = ""
    order: tuple[str, ...] = ()


HOMES: Mapping[str, Home] = {
    "criterion": Home("workbench.criteria", "CRITERIA", "Criterion"),
    "allocation": Home("workbench.allocation", "ALLOCATIONS", "Allocation", order=ALLOCATIONS),
    "repair": Home("workbench.repair", "REPAIRS", "Repair"),
    "schedule": Home(
        "workbench.sparse_training", "SCHEDULES", "SparseMethod",
        files="workbench.sparse_training.schedules",
    ),
    "sparse_training": Home(
        "workbench.sparse_training", "SPARSE_METHODS", "SparseMethod",
        files="workbench.sparse_training.penalties",
    ),
    "finetuning": Home(
        "workbench.training", "FINETUNING", "FineTuning", files="workbench.training.methods"
    ),
    "replacement": Home("workbench.replacement", "REPLACEMENTS", "Replacement"),
    "ensemble": Home(
        "workbench.ensembles", "ENSEMBLES", "Ensemble", files="workbench.ensembles.methods"
    ),
    "corruption": Home("workbench.corruptions", "CORRUPTIONS", "Corruption"),
}  # fmt: skip
"""Every family of ``FAMILIES`` and its home."""


def methods() -> Mapping[str, Mapping[str, Method]]:
    """All methods by family and name, families in the order of the road.

    Within a family the least demanding come first.
    """
    return {family: methods_of(family) for family in FAMILIES}


@cache
def methods_of(family: str) -> Mapping[str, Method]:
    """The methods of one family by name, the least demanding first."""
    home = HOMES[family]
    try:
        return MappingProxyType(_read_family(home))
    except ValueError:  # told by more than plain text: the family itself says what it means
        registry: Mapping[str, Method] = getattr(import_module(home.module), home.registry)
        return MappingProxyType(dict(registry))


def summaries(family: str) -> dict[str, str]:
    """Name to one sentence, for lists of choices."""
    return {name: method.summary for name, method in methods_of(family).items()}


def find_method(name: str, family: str = "") -> tuple[str, Method]:
    """The family and the method of a name; of several the first on the road.

    Args:
        name: The method's word.
        family: Where to look; everywhere if empty. Some words mean a method in two families.

    Raises:
        SettingsError: If there is no such family or method.
    """
    return find_all(name, family)[0]


def find_all(name: str, family: str = "") -> list[tuple[str, Method]]:
    """Every method of a name with its family, in the order of the road.

    Raises:
        SettingsError: If there is no such family or method.
    """
    if family and family not in FAMILIES:
        raise SettingsError(f"There is no family {family!r}.", suggest(family, FAMILIES))
    within = {family: methods_of(family)} if family else methods()
    found = [(where, those[name]) for where, those in within.items() if name in those]
    if not found:
        known = sorted({word for those in within.values() for word in those})
        where = f" in the family {family!r}" if family else ""
        near = get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise SettingsError(
            f"There is no method {name!r}{where}.", f"{hint}The catalogue of methods lists all."
        )
    return found


def search(words: str) -> dict[str, dict[str, Method]]:
    """The methods that hold all of some words anywhere in what they tell, by family and name.

    Args:
        words: With spaces between them, upper and lower case alike; none finds everything.
    """
    wanted = words.lower().split()
    found = {
        family: {name: one for name, one in those.items() if _holds(one, wanted)}
        for family, those in methods().items()
    }
    return {family: those for family, those in found.items() if those}


def _holds(method: Method, words: list[str]) -> bool:
    told = " ".join(
        (method.name, method.title, method.summary, method.explanation, method.paper,
         method.strengths, method.limits)
    ).lower()  # fmt: skip
    return all(word in told for word in words)


# Reading the files

_TEXTS = {field.name for field in fields(Method)}
_ALWAYS = {"name", "title", "summary", "explanation", "strengths", "limits"}


def _read_family(home: Home) -> dict[str, Method]:
    """The methods of one family as its files tell of them.

    Raises:
        ValueError: If a file tells by more than plain text.
    """
    usual = _usual(home)
    files = _files(home.files or home.module)
    found = [one for path in files for one in _read_file(path, home.kind, usual)]
    demands = list(NEEDS)
    found.sort(key=lambda one: max(map(demands.index, one.needs)))
    found.sort(key=lambda one: [*home.order, one.name].index(one.name))
    return {method.name: method for method in found}


def _files(module: str) -> list[Path]:
    place = _PACKAGE.joinpath(*module.split(".")[1:])
    return sorted(place.glob("*.py")) or [
        path for path in (place.with_suffix(".py"),) if path.is_file()
    ]


def _usual(home: Home) -> dict[str, object]:
    """What all methods of a kind tell alike unless they say something else."""
    for path in _files(home.module):
        for made in ast.parse(path.read_text("utf-8")).body:
            if isinstance(made, ast.ClassDef) and made.name == home.kind:
                return {
                    line.target.id: _value(line.value, {})
                    for line in made.body
                    if isinstance(line, ast.AnnAssign) and line.value is not None
                    if isinstance(line.target, ast.Name) and line.target.id in _TEXTS
                }
    return {}


def _read_file(path: Path, kind: str, usual: Mapping[str, object]) -> Iterator[Method]:
    """The methods that a file makes, in the order in which they stand there."""
    tree = ast.parse(path.read_text("utf-8"))
    constants = _constants(tree)
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == kind:
            told = dict(usual) | {
                word.arg: _value(word.value, constants)
                for word in call.keywords
                if word.arg in _TEXTS
            }
            if told.keys() >= _ALWAYS:
                yield Method(**told)  # type: ignore[arg-type]


def _constants(tree: ast.Module) -> dict[str, object]:
    """Numbers and texts that a file gives names to."""
    return {
        target.id: line.value.value
        for line in tree.body
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant)
        for target in line.targets
        if isinstance(target, ast.Name)
    }


def _value(node: ast.expr, constants: Mapping[str, object]) -> object:
    """What a text, a sum of texts, a tuple of them or a named one stands for."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in constants:
            return constants[name]
        case ast.Tuple(elts=parts):
            return tuple(_value(part, constants) for part in parts)
        case ast.JoinedStr(values=parts):
            return "".join(str(_value(part, constants)) for part in parts)
        case ast.FormattedValue(value=inner, format_spec=spec):
            how = str(_value(spec, constants)) if spec is not None else ""
            return format(_value(inner, constants), how)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{_value(left, constants)}{_value(right, constants)}"
    raise ValueError(f"A method is told by {ast.unparse(node)!r}, which is no plain text.")
