"""From the references a workspace keeps back to models and data, in any process, on any day."""

from workbench.architectures import ARCHITECTURES
from workbench.data import Data
from workbench.errors import StorageError
from workbench.evidence import Evidence
from workbench.experiment import Run
from workbench.loading import load_data, load_model
from workbench.loading.skeleton import rebuild
from workbench.model import Model
from workbench.progress import ShouldStop, abandonable, never
from workbench.prune import Pruned, restore_pruned
from workbench.store import DataRef, ModelRef, Store, StoredRun


def reopen_model(
    ref: ModelRef, store: Store, data: DataRef | None = None, *, should_stop: ShouldStop = never
) -> Model:
    """The model that a reference points to, in eval mode.

    Args:
        ref: What to open.
        store: Keeps uploads, and what was gathered from images.
        data: Images that criteria may look at; opened only when one does.
        should_stop: Asked while it is opened, and later while criteria look at the images.

    Raises:
        StoppedError: If it should stop.
        LoadError: If a sample or factory is no longer there.
        StorageError: If an upload is missing, damaged or of an unknown architecture.
    """
    model = abandonable(lambda: _reopened(ref, store), should_stop)
    if data is None:
        return model
    return model.with_evidence(evidence(data, store, should_stop)).asking(should_stop)


def evidence(ref: DataRef, store: Store, should_stop: ShouldStop = never) -> Evidence:
    """Images that criteria may look at, opened when one does, with the store's memory of them."""
    return Evidence(lambda: reopen_data(ref, store, should_stop), store.folder / "evidence")


def _reopened(ref: ModelRef, store: Store) -> Model:
    if not ref.tensors:
        return load_model(ref.sample or ref.factory, name=ref.name, allow_factory=bool(ref.factory))
    family = ARCHITECTURES.get(ref.architecture)
    if family is None:
        raise StorageError(
            f"{ref.name} was saved as architecture {ref.architecture!r}, which is not known here.",
            "Upload the model again.",
        )
    try:
        module = rebuild(family, ref.arguments, store.load_tensors(ref.tensors))
    except (ValueError, TypeError, RuntimeError) as error:
        raise StorageError(
            f"The weights of {ref.name} do not fit the network they were saved for: {error}",
            "Upload the model again.",
        ) from error
    shape = ref.input_shape or family.input_shape(ref.arguments)
    num_classes = ref.arguments.get("num_classes", 0)
    return Model(
        ref.name, module.eval(), shape, int(str(num_classes)), ref.architecture, ref.arguments
    )


def reopen_data(ref: DataRef, store: Store, should_stop: ShouldStop = never) -> Data:
    """The data that a reference points to.

    Raises:
        DataError: If a sample is no longer there.
        StorageError: If an upload is missing or damaged.
        StoppedError: If it should stop.
    """

    def load() -> Data:
        return load_data(ref.sample) if ref.sample else store.load_data(ref.digest, ref.name)

    return abandonable(load, should_stop)


def reopen_run(stored: StoredRun, store: Store, should_stop: ShouldStop = never) -> Pruned:
    """The model that a run ended with, together with its masks or its kept channels.

    Raises:
        LoadError: If the sample or factory it began with is no longer there.
        StorageError: If its weights are missing, damaged or no cut of the model it began with.
        PlanError: If the weights belong to another plan.
        StoppedError: If it should stop.
    """
    run = Run.from_dict(stored.record)
    dense = reopen_model(stored.model_ref, store, stored.data_ref, should_stop=should_stop)
    stage = run.stage("pruned")
    tensors = store.load_tensors(stored.weights[run.final.name])
    try:
        return restore_pruned(dense, run.plan, tensors, stage.digest if stage else "")
    except (ValueError, RuntimeError) as error:
        raise StorageError(
            f"The weights of {stored.name or f'run {stored.number}'} do not fit {dense.name}: "
            f"{error}",
            "Prune the model again: these weights were saved from another network.",
        ) from error
