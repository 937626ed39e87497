"""From a compressed file back to a model that runs."""

import os
from pathlib import Path

from workbench.compression.compressed import Compressed, decompress
from workbench.errors import LoadError
from workbench.loading import limits
from workbench.loading.families import find_family
from workbench.loading.files import check_size
from workbench.loading.skeleton import recorded_images
from workbench.loading.trial import check_runs
from workbench.loading.weights import fill
from workbench.loading.wording import shown
from workbench.model import Model
from workbench.progress import ShouldStop, never


def load_compressed(
    path: str | os.PathLike[str], dense: Model | None = None, should_stop: ShouldStop = never
) -> Model:
    """Restore the model that a compressed file holds, bit for bit as it was written.

    Args:
        path: A ``.pwc`` file.
        dense: A network of the same wiring, where the file's comes from a factory and cannot be
            built from its record alone; its weights do not matter.
        should_stop: Asked many times while the codes are read.

    Raises:
        StoppedError: If it should stop.
        LoadError: If the file cannot be read, is damaged or no compressed model, or if its
            network cannot be built.
    """
    path = Path(path)
    return restore(read_compressed(path, should_stop), shown(path.name), dense)


def read_compressed(path: str | os.PathLike[str], should_stop: ShouldStop = never) -> Compressed:
    """What a compressed file holds, without building its network.

    Raises:
        StoppedError: If it should stop.
        LoadError: If the file cannot be read, is damaged or no compressed model.
    """
    path = Path(path)
    name = shown(path.name)
    try:
        check_size(name, path.stat().st_size, limits.MAX_MODEL_BYTES, LoadError)
        content = path.read_bytes()
    except OSError as error:
        raise LoadError(
            f"{name} cannot be read: {error.strerror or error}.", "Choose another file."
        ) from error
    return decompress(content, name, should_stop)


def restore(compressed: Compressed, name: str = "The file", dense: Model | None = None) -> Model:
    """The model of a compressed file that was read.

    Args:
        compressed: What the file holds.
        name: What messages call it.
        dense: See ``load_compressed``.

    Raises:
        LoadError: If its network cannot be built, or does not take these weights.
    """
    tensors, record = compressed.clustered.tensors(), compressed.record
    if dense is not None:
        module = dense.copy_module()
        try:
            module.load_state_dict(tensors)
        except RuntimeError as error:
            raise LoadError(
                f"{name} does not fit {dense.name}: {str(error).splitlines()[-1].strip()}",
                "Choose the network that the file was made from.",
            ) from error
        return dense.with_module(module, record["name"])
    if not record["architecture"]:
        raise LoadError(
            f"{name} holds the weights of a network that came from a factory.",
            "Name the factory as well, as package.module:factory.",
        )
    fitted, _ = find_family(name, tensors, record["architecture"], record, None)
    module, _ = fill(name, dict(tensors), fitted)
    shape = recorded_images(record) or fitted.family.input_shape(fitted.arguments)
    classes = check_runs(name, module, shape)
    return Model(
        record["name"], module, shape, classes, fitted.family.name, fitted.arguments,
        record["data"],
    )  # fmt: skip
