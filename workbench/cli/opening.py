"""Models that a verb takes beside its first: files, exported folders, samples, factories."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from workbench.cli.app import add_current_folder
from workbench.errors import LoadError
from workbench.loading import load_model
from workbench.model import Model

WEIGHTS = "weights.safetensors"


def open_others(sources: Sequence[str], arguments: Namespace, taken: str) -> dict[str, Model]:
    """Models by what a table calls them; no two are called alike.

    Args:
        sources: What was given: each a sample's name, a file, an exported folder or a factory.
        arguments: With ``input_shape`` for factories.
        taken: Name that the first model has already.

    Raises:
        LoadError: If one cannot be loaded.
    """
    found: dict[str, Model] = {}
    for source in sources:
        if ":" in source:
            add_current_folder()
        folder = Path(source)
        place = folder / WEIGHTS if folder.is_dir() else folder
        if folder.is_dir() and not place.is_file():
            raise LoadError(
                f"The folder {source} holds no {WEIGHTS}.",
                "Give a folder that workbench prune --out or workbench export wrote.",
            )
        given = str(place) if folder.is_dir() else source
        model = load_model(given, input_shape=arguments.input_shape, allow_factory=True)
        name = folder.name if folder.is_dir() else model.name
        found[source if name in {taken, *found} else name] = model
    return found
