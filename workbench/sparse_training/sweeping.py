"""Several strengths of one penalty, and what each made zero."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from workbench.errors import SettingsError
from workbench.groups import find_groups
from workbench.prune import Pruned
from workbench.sparse_training.settings import NO_TARGET, SparseTrainingSettings

MAX_STRENGTHS = 20
NEAR = 0.01
"""How far below its target a sparsity may lie and still reach it: channels are few and go whole."""
LOSS = 0.01
"""Accuracy that may be lost where there is no target: one point."""
SWEEP = "sparse_sweep"
"""Setting of the workspace that holds the last sweep over strengths."""


@dataclass(frozen=True)
class Tried:
    """One strength of a sweep, and what came of it.

    Attributes:
        sparsity: Fraction of what could go that is gone.
        accuracy: On validation images, at the end.
    """

    sparsity: float
    accuracy: float


@dataclass(frozen=True)
class Choice:
    """The strength of a sweep that one goes on with.

    Attributes:
        index: Which of them.
        why: ``target``: the most accurate of those that reach the target. ``nearest``: none
            reaches it, so the sparsest. ``close``: there is no target, so the sparsest within one
            point of dense. ``accurate``: none is, so the most accurate.
        among: How many it was chosen from; all of them for ``nearest`` and ``accurate``.
    """

    index: int
    why: Literal["target", "nearest", "close", "accurate"]
    among: int


def choose_strength(tried: Sequence[Tried], target: float | None, dense: float) -> Choice:
    """Choose among the strengths of a sweep, by validation images.

    Args:
        tried: At least one; of equals the first is taken.
        target: The sparsity that was asked for; None where none was.
        dense: Validation accuracy of the dense model.
    """
    everything = range(len(tried))
    if target is not None:
        reached = [i for i in everything if tried[i].sparsity >= target - NEAR]
        if reached:
            return Choice(max(reached, key=lambda i: tried[i].accuracy), "target", len(reached))
        sparsest = max(everything, key=lambda i: (tried[i].sparsity, tried[i].accuracy))
        return Choice(sparsest, "nearest", len(tried))
    close = [i for i in everything if tried[i].accuracy >= dense - LOSS]
    if close:
        sparsest = max(close, key=lambda i: (tried[i].sparsity, tried[i].accuracy))
        return Choice(sparsest, "close", len(close))
    return Choice(max(everything, key=lambda i: tried[i].accuracy), "accurate", len(tried))


def settings_of_sweep(
    settings: SparseTrainingSettings, strengths: Sequence[float]
) -> list[SparseTrainingSettings]:
    """The same settings with every strength in turn; alone where there is none.

    Several strengths have no target unless one is given: they show what each makes by itself.

    Raises:
        SettingsError: If the method has no strength, one is out of range, or there are too many.
    """
    if not strengths:
        return [settings]
    if len(strengths) > MAX_STRENGTHS:
        raise SettingsError(
            f"{len(strengths)} strengths are to be tried.", f"Give at most {MAX_STRENGTHS}."
        )
    if len(strengths) > 1 and settings.target is None:
        settings = replace(settings, target=NO_TARGET)
    return [replace(settings, strength=strength) for strength in strengths]


def prunable_sparsity(pruned: Pruned) -> float:
    """Fraction of all that the plan names that is gone: of weights, or of channels.

    Args:
        pruned: With masks, or with channels that are gone.
    """
    sizes, left = 0, 0
    if pruned.kept:
        groups = find_groups(pruned.dense, pruned.plan.granularity)
        for name in pruned.plan.sparsities:
            sizes += groups.group(name).num_units
            left += len(pruned.kept[name])
    for mask in pruned.masks.values():
        sizes += mask.numel()
        left += int(mask.sum())
    return 1 - left / max(1, sizes)
