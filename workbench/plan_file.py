"""Plans as YAML files that people can read and edit."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from workbench.errors import PlanError, StorageError
from workbench.plan import PruningPlan

MAX_BYTES = 1_000_000


class _Loader(yaml.SafeLoader):
    """Safe loader that keeps keys as written (a layer may be called 1.10) and refuses repeats."""


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    result: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise PlanError("The plan has a key that is not a word.", "Write 'name: value'.")
        if key_node.value in result:
            raise PlanError(
                f"The plan gives {key_node.value!r} twice.", "Keep one of the two lines."
            )
        result[key_node.value] = loader.construct_object(value_node, deep=True)
    return result


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def read_plan(source: Path | str) -> PruningPlan:
    """Read a plan from a file or from text.

    Args:
        source: A path, or the YAML itself (text with a line break or a colon and a space).

    Raises:
        PlanError: If the file is missing or not text, or the plan is malformed.
    """
    is_text = isinstance(source, str) and ("\n" in source or ": " in source or not source.strip())
    return parse_plan(str(source) if is_text else _text_of(Path(source)))


def parse_plan(text: str) -> PruningPlan:
    """Read a plan from YAML, whatever the text: for what comes from outside.

    Raises:
        PlanError: If the plan is malformed.
    """
    return PruningPlan.from_dict(_parse(text))


def format_plan(plan: PruningPlan) -> str:
    """The plan as YAML; ``read_plan`` gives an equal plan back."""
    return yaml.safe_dump(plan.to_dict(), sort_keys=False, allow_unicode=True)


def write_plan(plan: PruningPlan, path: Path | str) -> None:
    """Write the plan as YAML.

    Raises:
        StorageError: If the file cannot be written.
    """
    try:
        Path(path).write_text(format_plan(plan), encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror}.", "Choose another folder."
        ) from error


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # a device or a pipe has no size to ask for
        if len(content) > MAX_BYTES:
            raise PlanError(
                f"{path.name} has more than {MAX_BYTES:,} bytes, too many for a plan.",
                "A plan is a short YAML file, one line for each layer.",
            )
        return content.decode("utf-8")
    except FileNotFoundError as error:
        raise PlanError(f"There is no plan file {path}.", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise PlanError(f"{path.name} is not a text file.", "A plan is a YAML file.") from error
    except OSError as error:
        raise PlanError(
            f"{path} cannot be read: {error.strerror}.", "Choose a file that you may read."
        ) from error


def _parse(text: str) -> object:
    try:
        return yaml.load(text, _Loader)
    except yaml.constructor.ConstructorError as error:
        raise PlanError(
            f"The plan holds something that is no plain YAML: {error.problem}.",
            "Write words and numbers only; tags such as '!!python' are never followed.",
        ) from error
    except yaml.MarkedYAMLError as error:
        place = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise PlanError(
            f"The plan is not valid YAML{place}: {error.problem}.",
            "Write one 'name: value' per line and indent the layers by two spaces.",
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PlanError(
            "The plan is not valid YAML.", "Write one 'name: value' per line."
        ) from error
