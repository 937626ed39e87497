"""A sparse training as a run: trained, measured stage by stage, and recorded like any other."""

from dataclasses import replace

import torch

from workbench.data import Data
from workbench.errors import SettingsError
from workbench.experiment import (
    Run,
    Stage,
    finetune_and_measure,
    measure_stage,
)
from workbench.finetune import TrainingRecord
from workbench.finetune_settings import FineTuneSettings
from workbench.model import Model, with_data
from workbench.progress import Report, ShouldStop, ignore, never
from workbench.prune import Pruned
from workbench.sparse_training.reporting import part_of
from workbench.sparse_training.running import SparseTrained, train_sparse
from workbench.sparse_training.settings import SparseTrainingSettings

DENSE, TRAINED, MEASURED = 0.05, 0.7, 0.75


def train_sparse_and_measure(
    model: Model, data: Data, settings: SparseTrainingSettings, *,
    finetune: FineTuneSettings | None = None, dense: Stage | None = None,
    report: Report = ignore, should_stop: ShouldStop = never,
    device: torch.device | str = "cpu",
) -> tuple[Run, Pruned | None]:  # fmt: skip
    """Train a model sparse, perhaps train on with the zeros held, and measure every stage.

    A training that is stopped is measured with what its last whole epoch left.

    Args:
        model: The dense model; it stays as it is.
        data: Images that fit it.
        settings: How to make zeros.
        finetune: How to train on without penalty; None does not.
        dense: The dense stage of another run of this model and data, to spare measuring again.
        report: Hears of every step; ``values`` hold the ``stage``.
        should_stop: Ends the training, or comes before the next stage.
        device: Where to compute. The result is on the CPU.

    Returns:
        The run, with stages ``dense``, ``pruned`` and perhaps ``finetuned``, and the model of its
        last step; None where it was stopped before the first epoch was over.

    Raises:
        DataError: If the data do not fit the model.
        PlanError: If nothing can be cut, or the method does not suit the network.
        SettingsError: If the training broke off in its first epoch, or there was nothing to do.
    """
    model = with_data(model, data, should_stop)
    end = TRAINED if finetune else 1 - DENSE
    if dense is None:
        dense = measure_stage(
            "dense", model, data, report=part_of(report, 0, DENSE), should_stop=should_stop,
            device=device,
        )  # fmt: skip
    trained = train_sparse(
        model, data, settings, should_stop=should_stop, device=device,
        report=part_of(report, DENSE, end, values={"stage": "pruned"}),
    )  # fmt: skip
    run = Run(
        trained.plan, (dense,) if dense else (), "none", model.name, model.digest, data.name,
        data.digest, trained.stopped, settings.to_dict(),
    )  # fmt: skip
    if dense is None or len(trained.history) < 2:
        if dense is not None and not trained.stopped:
            raise _nothing_done(settings, trained)
        return replace(run, stopped=True), None
    after = MEASURED if finetune else 1.0
    stage = measure_stage(
        "pruned", trained.pruned.model, data, seconds=trained.seconds,
        training=_record(settings, trained), report=part_of(report, end, after), device=device,
    )  # fmt: skip
    assert stage is not None  # nothing asks it to stop
    run = replace(run, stages=(dense, stage))
    if finetune is None or run.stopped:
        return run, trained.pruned
    return finetune_and_measure(
        run, trained.pruned, data, finetune, report=part_of(report, after, 1.0),
        should_stop=should_stop, device=device,
    )  # fmt: skip


def _nothing_done(settings: SparseTrainingSettings, trained: SparseTrained) -> SettingsError:
    """Why there is no epoch to keep, though nobody stopped the training."""
    title = settings.chosen.title
    if trained.note:  # it says where the loss went, and what of the weights of epoch 0
        return SettingsError(
            f"{title} broke off in its first epoch: the loss was no longer a number.",
            "Choose a lower learning rate or a lower strength.",
        )
    return SettingsError(
        f"{title} found nothing to cut: less than one weight or channel of any layer would go.",
        "Choose a higher target or larger steps.",
    )


def _record(settings: SparseTrainingSettings, trained: SparseTrained) -> TrainingRecord:
    """How the training went, with what was cut at its end told in words."""
    note = trained.note
    if trained.cut_afterwards:
        cut = (
            f"Training made {100 * (trained.sparsity - trained.cut_afterwards):.1f} % zeros; the "
            f"lowest {100 * trained.cut_afterwards:.1f} % were cut when the penalty ended, to "
            f"reach the target."
        )
        note = f"{note} {cut}".strip()
    return TrainingRecord(
        settings.training, trained.history, int(trained.history[-1]["epoch"]), trained.seconds,
        trained.stopped, trained.samples_per_second, note,
    )  # fmt: skip
