"""Train a network sparse, from a dense one to what can be kept, measured and exported."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from workbench.cutting import cut_tensors
from workbench.data import Data
from workbench.finetune import finetune
from workbench.model import Model, check_fit
from workbench.plan import PruningPlan
from workbench.progress import Report, ShouldStop, ignore, never
from workbench.prune import KEPT_PREFIX, Pruned, restore_pruned
from workbench.sparse_training.curriculum import Curriculum, Trained
from workbench.sparse_training.fresh import with_new_weights
from workbench.sparse_training.ground import Ground, find_ground
from workbench.sparse_training.settings import SparseTrainingSettings


@dataclass(frozen=True, eq=False)
class SparseTrained:
    """A network that was trained sparse, and how it came about.

    Attributes:
        pruned: The network; weights that are gone are masked, channels that are gone are gone.
        sparsity: Fraction of what could be cut that is gone.
        cut_afterwards: Part of that which training left to be cut at its end; 0 where it made all
            zeros itself.
        history: One entry per validated epoch, with ``sparsity`` and, for penalties, ``strength``
            and ``penalty``.
        seconds: Time from start to end.
        stopped: Whether it was asked to stop.
        samples_per_second: Training images a second.
        note: What went wrong or was undone; empty where nothing was.
    """

    pruned: Pruned
    sparsity: float
    cut_afterwards: float
    history: tuple[Mapping[str, Any], ...]
    seconds: float
    stopped: bool
    samples_per_second: float
    note: str = ""

    @property
    def plan(self) -> PruningPlan:
        """What training made, stated as a plan."""
        return self.pruned.plan


def train_sparse(
    model: Model, data: Data, settings: SparseTrainingSettings | None = None, *,
    report: Report = ignore, should_stop: ShouldStop = never,
    device: torch.device | str = "cpu",
) -> SparseTrained:  # fmt: skip
    """Train a network so that zeros appear, and make of them masks or a thinner network.

    Trains on the training split and looks at the validation split; the test split is not touched.
    On the CPU the same settings give the same weights, unless the training goes by seconds.

    Args:
        model: The trained dense model; it stays as it is.
        data: Images that fit it.
        settings: Method, strength, target and training; None takes the defaults.
        report: Hears of every tenth of a second and of every epoch; ``values`` hold ``sparsity``
            and what ``finetune`` tells.
        should_stop: True ends with what the last whole epoch left.
        device: Where to train. The result is on the CPU.

    Raises:
        DataError: If the data do not fit the model.
        PlanError: If nothing can be cut, or the method does not suit the network.
    """
    settings = settings or SparseTrainingSettings()
    check_fit(model, data)
    start = time.monotonic()
    ground = find_ground(model, settings)
    method = settings.chosen
    begun = model
    if settings.from_scratch and method.addition is not None:
        begun = with_new_weights(model, settings.training.seed)
    curriculum = Curriculum(
        begun, model, data, ground, settings, report, should_stop, torch.device(device)
    )
    trained = method.run(curriculum) if method.run else _train_once(curriculum)
    pruned = _pruned(model, ground, settings, trained)
    gone = [1 - float(one.double().mean()) for one in trained.alive.values()]
    sizes = [one.numel() for one in trained.alive.values()]
    sparsity = sum(g * n for g, n in zip(gone, sizes, strict=True)) / max(1, sum(sizes))
    return SparseTrained(
        pruned, sparsity, trained.cut_afterwards, trained.history, time.monotonic() - start,
        trained.stopped, trained.samples_per_second, trained.note,
    )  # fmt: skip


def _train_once(curriculum: Curriculum) -> Trained:
    """One training with the method's addition."""
    settings = curriculum.settings
    make = settings.chosen.addition
    assert make is not None
    addition = make(curriculum.ground, settings)
    plan = PruningPlan(allocation="by_training")
    tuned = finetune(
        Pruned(curriculum.model, {}, plan, curriculum.dense), curriculum.data, settings.training,
        additions=[addition], keep="last", report=curriculum.report,
        should_stop=curriculum.should_stop, device=curriculum.device,
    )  # fmt: skip
    module = tuned.pruned.model.module
    alive = {name: one.cpu() for name, one in addition.alive(module).items()}
    return Trained(
        module, alive, tuned.history, tuned.samples_per_second, tuned.stopped, tuned.note,
        addition.cut_afterwards,
    )  # fmt: skip


def _pruned(
    model: Model, ground: Ground, settings: SparseTrainingSettings, trained: Trained
) -> Pruned:
    """What training made, with its plan: masks of weights, or a network without the channels."""
    groups = ground.groups
    alive = trained.alive
    names = (
        alive if ground.structured else {ground.weights[name]: one for name, one in alive.items()}
    )
    if not ground.structured:
        names = {ground.weights[name]: one for name, one in alive.items()}
    sparsities = {name: 1 - float(one.double().mean()) for name, one in names.items()}
    plan = PruningPlan(
        sparsities, granularity=settings.granularity, allocation="by_training",
        seed=settings.training.seed, model=model.digest,
    )  # fmt: skip
    if not ground.structured:
        module = trained.module
        masks = {name: one.clone() for name, one in alive.items()}
        return Pruned(model.with_module(module), masks, plan, model)
    kept = {
        group.name: alive[group.name].nonzero().view(-1)
        if group.name in alive
        else torch.arange(group.num_units)
        for group in groups.prunable
    }
    cut = [group for group in groups.prunable if group.name in alive]
    removed = {group.name: (~alive[group.name]).nonzero().view(-1) for group in cut}
    weights = cut_tensors(trained.module.state_dict(), cut, removed)
    tensors = weights | {f"{KEPT_PREFIX}{name}": units for name, units in kept.items()}
    return restore_pruned(model, plan, tensors)
