"""Several strengths of one penalty, and what each made zero."""

from collections.abc import Sequence
from dataclasses import replace

from workbench.errors import SettingsError
from workbench.groups import find_groups
from workbench.prune import Pruned
from workbench.sparse_training.settings import NO_TARGET, SparseTrainingSettings

MAX_STRENGTHS = 20


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
