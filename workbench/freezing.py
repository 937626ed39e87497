"""Freezing: layers that stay dense, named by patterns such as ``layer1.*``."""

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase

from workbench.errors import PlanError
from workbench.groups import Groups
from workbench.plan import PruningPlan

MOST_LISTED = 8
"""Groups that a refusal lists."""
PARAMETERS = ("weight", "bias")
"""Last parts of names that show that a parameter was meant."""


def frozen_groups(groups: Groups, patterns: Iterable[str]) -> dict[str, str]:
    """The groups that patterns freeze, each with the first pattern that names it.

    A pattern names layers or groups as a shell names files: ``*`` stands for any characters, dots
    among them, ``?`` for one, ``[0-2]`` for one of several. A group is frozen where the pattern
    fits its name or that of a layer whose weights or outputs would go; a shared weight is frozen
    by any of its layers. With channels a frozen
    layer keeps all its outputs; its inputs may still go with the layers before it.

    Args:
        groups: What ``find_groups(model, granularity)`` returned.
        patterns: In the order in which they were given.

    Returns:
        Group name to pattern, in the order of the network.

    Raises:
        PlanError: If a pattern fits nothing that can be pruned.
    """
    found: dict[str, str] = {}
    known = _names(groups)
    for pattern in patterns:
        fitting = [group.name for group in groups.prunable if _fits(known[group.name], pattern)]
        if not fitting:
            raise _refusal(groups, pattern)
        for name in fitting:
            found.setdefault(name, pattern)
    return {group.name: found[group.name] for group in groups.prunable if group.name in found}


def fitting_patterns(groups: Groups, patterns: Iterable[str]) -> tuple[str, ...]:
    """Those of the patterns that freeze anything: at another granularity others may."""
    known = _names(groups)
    everything = [name for group in groups.prunable for name in known[group.name]]
    return tuple(pattern for pattern in patterns if _fits(everything, pattern))


def hold_frozen(
    groups: Groups, patterns: Iterable[str], locked: Mapping[str, float]
) -> dict[str, float]:
    """Locks, and beside them every frozen group at 0.

    Args:
        groups: What can be pruned.
        patterns: What is frozen.
        locked: Group name, or that of a layer in it, to the sparsity at which it is held.

    Raises:
        PlanError: If a pattern fits nothing, or fits a group that is locked at another sparsity.
    """
    frozen = frozen_groups(groups, patterns)
    for name, value in locked.items():
        for group in groups.prunable:
            if value and group.name in frozen and name in (group.name, *group.layers):
                raise PlanError(
                    f"{name} is locked at a sparsity of {value:g} and frozen by "
                    f"{frozen[group.name]!r}.",
                    "Leave out the lock or the pattern.",
                )
    return {**locked, **dict.fromkeys(frozen, 0.0)}


def freeze_plan(groups: Groups, plan: PruningPlan, patterns: Iterable[str]) -> PruningPlan:
    """A plan with the frozen groups dense; it itself where none of them was cut.

    Raises:
        PlanError: If a pattern fits nothing that can be pruned.
    """
    frozen = frozen_groups(groups, patterns)
    cut = [name for name in frozen if plan.sparsities.get(name)]
    if not cut:
        return plan
    values = {**plan.sparsities, **dict.fromkeys(cut, 0.0)}
    return plan.with_sparsities(values, plan.allocation)


def suggest_patterns(groups: Groups) -> tuple[str, ...]:
    """Patterns worth offering: whole parts of the network with several groups, then single ones."""
    names = [group.name for group in groups.prunable]
    stems: dict[str, int] = {}
    for name in names:
        parts = name.split(".")
        for end in range(1, len(parts)):
            stem = ".".join(parts[:end])
            stems[stem] = stems.get(stem, 0) + 1
    several = [stem for stem, count in stems.items() if 1 < count < len(names)]
    return (*(f"{stem}.*" for stem in several), *names)


def _names(groups: Groups) -> dict[str, tuple[str, ...]]:
    """Every group with its name, its layers' and those of layers that share a weight of it."""
    sharing: dict[str, list[str]] = {}
    for row in groups.inspection.layers:
        if row.shares_with:
            sharing.setdefault(row.shares_with, []).append(row.layer_name)
    return {
        group.name: (
            group.name, *group.layers,
            *(name for layer in group.layers for name in sharing.get(layer, ())),
        )
        for group in groups.groups
    }  # fmt: skip


def _fits(names: Iterable[str], pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in names)


def _refusal(groups: Groups, pattern: str) -> PlanError:
    """Nothing fits: say what the pattern does fit, what is nearest, and what there is."""
    names = list(groups.by_name)
    known = _names(groups)
    dense = [
        group for group in groups.groups if not group.prunable and _fits(known[group.name], pattern)
    ]
    if dense:
        return PlanError(
            f"{pattern!r} fits {dense[0].name}, which cannot be pruned anyway. {dense[0].reason}",
            f"Leave it out. {_listed(names)}",
        )
    layer, _, last = pattern.rpartition(".")
    if last in PARAMETERS:
        return PlanError(
            f"{pattern!r} names parameters, but what is frozen is whole layers.",
            (f"Write {layer!r} instead. " if layer.strip("*?.") else "") + _listed(names),
        )
    near = get_close_matches(pattern.replace("*", ""), names, 1, 0.5)
    nearest = f"Did you mean {near[0]!r}? " if near else ""
    return PlanError(f"No layer fits the pattern {pattern!r}.", f"{nearest}{_listed(names)}")


def _listed(names: Collection[str]) -> str:
    shown = ", ".join([*names][:MOST_LISTED])
    more = len(names) - MOST_LISTED
    rest = f" and {more} more" if more > 0 else ""
    return f"What can be frozen: {shown or 'nothing'}{rest}."
