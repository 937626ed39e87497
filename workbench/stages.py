"""Stages: stretches of a network whose layers work at the same feature-map size.

A layer's *positions* are the places at which its weights work for one image: height times width
of a convolution's feature map, the tokens of a transformer's layer, 1 for a layer behind pooling.
They are its multiply-accumulates over its weights and their uses, counted from real shapes.
Layers that follow each other at the same number of positions are one stage. A layer at one
position between feature maps (squeeze and excitation) belongs to the stage it lies in. Where all
layers work at one size, as in an MLP, the first part of the module path tells the stages. Coupled
channels belong to the stage of the first layer that gives them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from workbench.groups import Group, Groups
from workbench.layers import LayerInfo


@dataclass(frozen=True)
class NetworkStage:
    """A stretch of the network.

    Attributes:
        number: From 1, in the order of the network.
        positions: Places at which its layers work; 0 where the module path tells the stages.
        path: First part of the module path where that tells the stages; else empty.
        groups: Names of the prunable groups in it.
    """

    number: int
    positions: int
    path: str
    groups: tuple[str, ...]

    @property
    def title(self) -> str:
        """Such as ``2 (196 positions)`` or ``1 (hidden)``."""
        if self.path:
            return f"{self.number} ({self.path})"
        return f"{self.number} ({self.positions:,} position{'s' if self.positions != 1 else ''})"


def find_stages(groups: Groups) -> tuple[NetworkStage, ...]:
    """The stages of a network, in order, each with the prunable groups in it.

    Every prunable group is in exactly one stage.

    Args:
        groups: What ``find_groups(model, granularity)`` returned.
    """
    rows = [row for row in groups.inspection.layers if row.num_weights and len(row.shape) > 1]
    at = dict(zip([row.layer_name for row in rows], _within(_positions(rows)), strict=True))
    members = [(group, _first_row(group, rows)) for group in groups.prunable]
    sizes = [at[row.layer_name] if row else 0 for _, row in members]
    if len(set(sizes)) > 1:
        runs = _runs(list(at.values()))
        run_of = dict(zip(at, runs, strict=True))
        keys = [(run_of[row.layer_name], "") if row else (-1, "") for _, row in members]
    else:
        keys = [(0, group.name.partition(".")[0]) for group, _ in members]
        sizes = [0] * len(keys)
    order = list(dict.fromkeys(sorted(keys, key=lambda key: (key[0], keys.index(key)))))
    stages = []
    for number, key in enumerate(order, 1):
        own = [i for i, other in enumerate(keys) if other == key]
        names = tuple(members[i][0].name for i in own)
        stages.append(NetworkStage(number, sizes[own[0]], key[1], names))
    return tuple(stages)


def stage_of_groups(groups: Groups) -> dict[str, NetworkStage]:
    """Name of every prunable group to its stage."""
    return {name: stage for stage in find_stages(groups) for name in stage.groups}


def _positions(rows: Sequence[LayerInfo]) -> list[int]:
    """Places at which the weights of each layer work at each of their uses."""
    return [round(row.macs / row.num_weights / max(1, len(row.uses))) for row in rows]


def _within(positions: Sequence[int]) -> list[int]:
    """Single positions before the last feature map count as the map that they lie in."""
    last = max((i for i, count in enumerate(positions) if count > 1), default=-1)
    found = list(positions)
    for i in range(1, last):
        if found[i] <= 1:
            found[i] = found[i - 1]
    return found


def _runs(values: Sequence[int]) -> list[int]:
    """Number of the run of equal values that each value lies in."""
    lengths = [len([*run]) for _, run in groupby(values)]
    return [number for number, length in enumerate(lengths) for _ in range(length)]


def _first_row(group: Group, rows: Sequence[LayerInfo]) -> LayerInfo | None:
    """The first layer with weights among those whose weights or outputs go with the group."""
    for path in group.layers:
        for row in rows:
            if f"{row.layer_name}.".startswith(f"{path}."):
                return row
    return None
