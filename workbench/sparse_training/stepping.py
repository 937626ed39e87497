"""Pruning in steps: cut, train, look, and go back one step when it was one too many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from workbench.finetune import FineTuned, finetune
from workbench.finetune_settings import FineTuneSettings
from workbench.metrics import score
from workbench.plan import PruningPlan
from workbench.progress import Report
from workbench.prune import Pruned, apply_masks_
from workbench.sparse_training.addition import (
    at_least_one,
    lowest_gone,
    magnitudes,
    masks_of,
    sparsity_of,
)
from workbench.sparse_training.curriculum import Curriculum, Trained
from workbench.sparse_training.ground import Ground
from workbench.sparse_training.growth import next_step
from workbench.sparse_training.reporting import part_of

Alive = Mapping[str, Tensor]


@dataclass
class Journal:
    """The history of several trainings as one.

    Attributes:
        entries: One per validated epoch of all trainings.
        speeds: Training images a second of every training.
    """

    entries: list[dict[str, Any]]
    speeds: list[float]

    def add(self, tuned: FineTuned, sparsity: float, number: int, **more: float) -> None:
        """Add a training that is over; ``more`` is kept with each of its epochs."""
        epoch = self.entries[-1]["epoch"] if self.entries else 0
        step = self.entries[-1]["step"] if self.entries else 0
        begun = self.entries[-1]["seconds"] if self.entries else 0.0
        for entry in tuned.history[1 if self.entries else 0 :]:
            self.entries.append(
                {**entry, "epoch": epoch + entry["epoch"], "step": step + entry["step"],
                 "seconds": begun + entry["seconds"], "sparsity": sparsity, "round": number,
                 **more}
            )  # fmt: skip
        self.speeds.append(tuned.samples_per_second)

    @property
    def samples_per_second(self) -> float:
        """The mean over all trainings."""
        return sum(self.speeds) / max(1, len(self.speeds))


def prune_in_steps(curriculum: Curriculum) -> Trained:
    """Cut a step further and train while the validation accuracy stays above the floor.

    The floor is the validation accuracy of the model it begins with, less what may be lost. The
    step that misses it is undone.
    """
    settings, data = curriculum.settings, curriculum.data
    ceiling = settings.used_target or 1.0
    module = curriculum.model.copy_module()
    split = data.split("validation")
    begun = score(module, split, device=curriculum.device, should_stop=curriculum.should_stop)
    floor = begun.accuracy - settings.max_loss
    journal = Journal([], [])
    good = (module, everything(curriculum.ground, module), 0.0)
    number, stopped, note = 0, begun.samples < len(split), ""
    while good[2] < ceiling - 1e-9 and not stopped and not note:
        number += 1
        wanted = next_step(good[2], settings.step, ceiling)
        alive = lowest_gone(magnitudes(curriculum.ground, good[0]), good[1], wanted)
        if sparsity_of(alive) <= good[2]:  # rounding, or every layer is down to its last weight
            break
        title = f"Step {number}, sparsity {100 * wanted:.1f} %"
        values = {"sparsity": sparsity_of(alive), "floor": floor, "round": number}
        report = part_of(curriculum.report, good[2] / ceiling, wanted / ceiling, title, values)
        tuned = train_alive(curriculum, good[0], alive, settings.training, report, keep="best")
        journal.add(tuned, values["sparsity"], number, floor=floor)
        stopped = tuned.stopped
        if tuned.validation.accuracy < floor or tuned.validation.samples < len(split):
            if not stopped:
                note = (
                    f"At sparsity {100 * wanted:.1f} % the validation accuracy was "
                    f"{100 * tuned.validation.accuracy:.2f} %, below the floor of "
                    f"{100 * floor:.2f} %: the step was undone."
                )
            break
        good = (tuned.pruned.model.module, alive, values["sparsity"])
    return Trained(
        good[0], good[1], tuple(journal.entries), journal.samples_per_second, stopped, note
    )


def everything(ground: Ground, module: nn.Module) -> dict[str, Tensor]:
    """All weights or units that are not zero to begin with."""
    if not ground.structured:
        found = {name: module.get_parameter(name).detach() != 0 for name in ground.weights}
    else:
        found = {one.group.name: one.norms(module) > 0 for one in ground.units}
    return {name: at_least_one(alive) for name, alive in found.items()}


def train_alive(
    curriculum: Curriculum, module: nn.Module, alive: Alive, training: FineTuneSettings,
    report: Report, *, keep: str = "best",
) -> FineTuned:  # fmt: skip
    """Train a copy of a module with all that is not alive held at zero."""
    copy = curriculum.model.with_module(module).copy_module()
    masks = masks_of(curriculum.ground, copy, alive)
    apply_masks_(copy, masks)
    plan = PruningPlan(granularity="weight", allocation="by_training")
    model = curriculum.model.with_module(copy)
    return finetune(
        Pruned(model, masks, plan, curriculum.dense), curriculum.data, training,
        keep="last" if keep == "last" else "best", report=report,
        should_stop=curriculum.should_stop, device=curriculum.device,
    )  # fmt: skip
