"""Coupled channels, and how those become one group whose layers share a tensor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Slice:
    """Places of one tensor that go with the units of a group.

    Attributes:
        parameter: Key in the state dict.
        dim: Dimension along which places are removed.
        indices: ``(num_units, per_unit)``, the places of each unit.
    """

    parameter: str
    dim: int
    indices: Tensor


@dataclass
class Coupled:
    """Channels that hang together, as traced; ``reason`` says why they cannot be cut.

    Attributes:
        num_units: How many units can go one by one.
        unit: ``channel``, ``neuron``, ``head`` or ``hidden unit``.
        producers: Paths of the layers whose outputs go, in the order of the modules.
        consumers: Paths of the layers whose inputs go.
        slices: What goes with each unit.
        reason: Empty where it can be cut.
        operations: Names of the operations in between, for messages.
    """

    num_units: int
    unit: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    slices: tuple[Slice, ...]
    reason: str = ""
    operations: tuple[str, ...] = ()


Names = Mapping[str, Sequence[str]]
"""Any name of a tensor to all of its names, the first one first."""
_Unit = tuple[int, int]
"""Number of a group and of a unit in it."""


def with_all_names(slices: Iterable[Slice], names: Names) -> tuple[tuple[Slice, ...], str]:
    """The same slices of every tensor under each of its names, each once.

    Returns:
        The slices, and why they cannot be cut: two layers that share a tensor would take
        different places of it.
    """
    found: dict[tuple[str, int], Slice] = {}
    reason = ""
    for one in slices:
        for name in names.get(one.parameter, (one.parameter,)):
            known = found.setdefault((name, one.dim), Slice(name, one.dim, one.indices))
            if not torch.equal(known.indices, one.indices):
                reason = _different(one.parameter, names)
    return tuple(found.values()), reason


def join_shared(found: Sequence[Coupled], names: Names) -> list[Coupled]:
    """Make one group of those that would cut the same tensor, where their units match.

    Layers that share a weight lose the same rows, so the channels that hang on them go together:
    every unit of one group with one unit of each other. Where they do not match one to one, none
    of these groups is cut.

    Args:
        found: Groups as traced, each with its slices under all names of a tensor.
        names: What is shared.
    """
    tops: dict[_Unit, _Unit] = {}

    def top(unit: _Unit) -> _Unit:
        while tops.setdefault(unit, unit) != unit:
            unit = tops[unit]
        return unit

    first: dict[tuple[str, int, int], _Unit] = {}
    for number, one in enumerate(found):
        for unit, place in _places(one, names):
            low, high = sorted((top(first.setdefault(place, (number, unit))), top((number, unit))))
            tops[high] = low
    together: dict[_Unit, list[_Unit]] = {}
    for number, one in enumerate(found):
        for unit in range(one.num_units):
            together.setdefault(top((number, unit)), []).append((number, unit))
    joined = []
    for members in _linked(len(found), together.values()):
        rows = [row for row in together.values() if row[0][0] in members]
        fits = all([number for number, _ in row] == members for row in rows)
        own = [found[number] for number in members]
        if len(members) == 1:
            joined += own
        elif fits and len({one.unit for one in own}) == 1:
            joined.append(_joined(own, [[unit for _, unit in row] for row in rows]))
        else:
            joined += [_refused(one, own, names) for one in own]
    return joined


def _places(one: Coupled, names: Names) -> Iterable[tuple[int, tuple[str, int, int]]]:
    """Every unit with every place that goes with it, tensors by their first names."""
    for part in one.slices:
        if names.get(part.parameter, (part.parameter,))[0] == part.parameter:
            for unit, places in enumerate(part.indices.tolist()):
                for place in places:
                    yield unit, (part.parameter, part.dim, place)


def _linked(count: int, rows: Iterable[Sequence[_Unit]]) -> list[list[int]]:
    """Numbers of groups that share anything, each set in rising order."""
    sets = [{number} for number in range(count)]
    for row in rows:
        linked = {number for number, _ in row}
        apart = [own for own in sets if own.isdisjoint(linked)]
        sets = [*apart, linked.union(*(own for own in sets if not own.isdisjoint(linked)))]
    return sorted(map(sorted, sets))


def _joined(own: Sequence[Coupled], rows: Sequence[Sequence[int]]) -> Coupled:
    """One group of several; each row holds the units of all of them that go together."""
    slices: dict[tuple[str, int], Slice] = {}
    reason = next((one.reason for one in own if one.reason), "")
    for number, one in enumerate(own):
        order = torch.tensor([row[number] for row in rows])
        for part in one.slices:
            indices = part.indices[order].sort(1).values
            known = slices.setdefault(
                (part.parameter, part.dim), Slice(part.parameter, part.dim, indices)
            )
            if not torch.equal(known.indices, indices):
                reason = reason or _different(part.parameter, {})
    producers = tuple(dict.fromkeys(path for one in own for path in one.producers))
    consumers = tuple(dict.fromkeys(path for one in own for path in one.consumers))
    operations = tuple(name for one in own for name in one.operations)
    return Coupled(
        len(rows), own[0].unit, producers, consumers, tuple(slices.values()), reason, operations
    )


def _refused(one: Coupled, own: Sequence[Coupled], names: Names) -> Coupled:
    """The group, kept whole: another one would cut a tensor of it in a different way."""
    mine = {part.parameter for part in one.slices}
    others = {part.parameter for other in own if other is not one for part in other.slices}
    shared = min(mine & others, default="")
    return replace(one, reason=one.reason or _different(shared, names))


def _different(parameter: str, names: Names) -> str:
    first = names.get(parameter, (parameter,))[0]
    return f"{first} is shared by layers of different widths."
