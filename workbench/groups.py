"""Groups: what one slider of a plan moves, and what a plan leaves of the network.

At every granularity but ``channel`` a layer is a group of its own. Channels, neurons, attention
heads and hidden units go together with all that depends on them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from functools import cached_property
from itertools import product

from workbench.coupled import Coupled, Slice
from workbench.coupling import trace_coupling
from workbench.cutting import try_cutting
from workbench.errors import PlanError
from workbench.granularity import Granularity, parse_granularity
from workbench.layers import Inspection, LayerInfo, inspect
from workbench.model import Model
from workbench.patterns import num_pruned_weights, num_units, why_not
from workbench.plan import num_pruned


@dataclass(frozen=True, eq=False)
class Group:
    """What one slider moves.

    Attributes:
        name: Name in plans: the layer's, or for coupled channels that of the first layer whose
            outputs go.
        unit: What goes one by one: ``weight``, ``N:M group``, ``block``, ``kernel``, ``channel``,
            ``neuron``, ``head`` or ``hidden unit``.
        num_units: How many there are.
        layers: Layers whose weights, or whose outputs, go.
        consumers: Layers that lose the inputs that came from there; channels only.
        num_params: Parameters that hang on the group: all that would go with all of its units.
        macs: Multiply-accumulates that hang on it, for one input.
        prunable: Whether it can be cut.
        reason: Why not; empty where it can.
        protected: Left dense unless asked for by name: the classifier.
        slices: Places in the state dict that go with each unit; channels only.
        layer: The layer's row where the group is a layer of its own.
    """

    name: str
    unit: str
    num_units: int
    layers: tuple[str, ...]
    consumers: tuple[str, ...] = ()
    num_params: int = 0
    macs: int = 0
    prunable: bool = True
    reason: str = ""
    protected: bool = False
    slices: tuple[Slice, ...] = field(default=(), repr=False)
    layer: LayerInfo | None = field(default=None, repr=False)

    @property
    def rounds(self) -> bool:
        """Whether kept units are rounded to a multiple: a head is many channels already."""
        return self.unit != "head"

    def num_kept(self, sparsity: float, multiple: int = 1) -> int:
        """Units that stay at a sparsity: the nearest allowed number, at least one."""
        return num_kept(self.num_units, sparsity, multiple if self.rounds else 1)

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return {
            "group": self.name,
            "unit": self.unit,
            "num_units": self.num_units,
            "num_channels": self.num_units,
            "layers": list(self.layers),
            "consumers": list(self.consumers),
            "num_params": self.num_params,
            "macs": self.macs,
            "prunable": self.prunable,
            "reason": self.reason,
            "protected": self.protected,
        }


@dataclass(frozen=True)
class Term:
    """A part of the network that shrinks with up to two groups.

    Its parameters and MACs, times the kept share of every group in ``groups``; a group that
    stands there twice counts twice.

    Attributes:
        num_params: Parameters of the dense network.
        macs: Multiply-accumulates of the dense network for one input.
        groups: Names of the groups that it shrinks with; none for what always stays.
    """

    num_params: int
    macs: int
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Groups:
    """Everything a plan of one granularity can move.

    Attributes:
        granularity: What goes together.
        groups: In the order of the network, those that cannot be cut among them.
        terms: The network as a sum of parts; for channels only.
        inspection: Its layers.
    """

    granularity: Granularity
    groups: tuple[Group, ...]
    terms: tuple[Term, ...]
    inspection: Inspection

    @cached_property
    def prunable(self) -> tuple[Group, ...]:
        """The groups that can be cut, the protected classifier among them."""
        return tuple(group for group in self.groups if group.prunable)

    @cached_property
    def by_name(self) -> Mapping[str, Group]:
        """Prunable groups by name."""
        return {group.name: group for group in self.prunable}

    def group(self, name: str) -> Group:
        """The prunable group of that name.

        Raises:
            PlanError: If no group has the name, or it cannot be cut.
        """
        if name in self.by_name:
            return self.by_name[name]
        if not self.granularity.structured:
            self.inspection.layer(name)  # refuses names that are no layer
        for group in self.groups:
            if group.name == name:
                raise PlanError(f"{name} cannot be pruned. {group.reason}", "Leave it dense.")
        for group in self.groups:
            if name in group.layers:
                raise PlanError(
                    f"{name} is cut together with {group.name}.",
                    f"Give the value to {group.name!r}.",
                )
        close = get_close_matches(name, self.by_name, 1)
        listed = ", ".join([*self.by_name][:5])
        raise PlanError(
            f"There is no group {name!r}.",
            f"Did you mean {close[0]!r}?" if close else f"Prunable groups: {listed}.",
        )

    def require_prunable(self) -> tuple[Group, ...]:
        """The groups that can be cut, at least one.

        Raises:
            PlanError: If there is none, with the reason of the first group that has one.
        """
        if not self.prunable:
            why = next(
                (f" {group.name}: {group.reason}" for group in self.groups if group.reason), ""
            )
            raise PlanError(
                f"Nothing can be pruned at granularity {self.granularity.name!r}.{why}",
                "Choose another granularity, such as weight.",
            )
        return self.prunable

    def num_pruned(self, name: str, sparsity: float, channel_multiple: int = 1) -> int:
        """How many units of a group a plan prunes: the nearest allowed number.

        For N:M, where a layer is thinned everywhere or not at all, the weights are counted.

        Raises:
            PlanError: If the group is unknown or cannot be cut.
        """
        group = self.group(name)
        if self.granularity.structured:
            return group.num_units - group.num_kept(sparsity, channel_multiple)
        return self.num_pruned_weights(name, sparsity)

    def num_pruned_weights(self, name: str, sparsity: float) -> int:
        """How many single weights go with a sparsity of a layer; not for channels."""
        layer = self.group(name).layer
        assert layer is not None
        return num_pruned_weights(layer.shape, self.granularity, sparsity)

    def size(self, num_kept_units: Mapping[str, int]) -> tuple[int, int]:
        """Parameters and MACs with so many units left of each group; others are whole.

        Exact for channels: the same numbers as the network's that is cut so.
        """
        share = {
            group.name: Fraction(num_kept_units[group.name], group.num_units)
            for group in self.prunable
            if group.name in num_kept_units
        }
        params = macs = Fraction(0)
        for term in self.terms:
            factor = Fraction(1)
            for name in term.groups:
                factor *= share.get(name, 1)
            params += term.num_params * factor
            macs += term.macs * factor
        return round(params), round(macs)


def num_kept(num_units: int, sparsity: float, multiple: int = 1) -> int:
    """Units that stay: the nearest allowed number, at least one.

    Args:
        num_units: Units of the group.
        sparsity: Fraction to remove, 0 <= sparsity < 1.
        multiple: The kept number is a multiple of this, or all units.
    """
    kept = max(1, num_units - num_pruned(sparsity, num_units))
    if multiple <= 1 or kept == num_units:
        return kept
    wanted = num_units * (1 - sparsity)
    choices = [*range(multiple, num_units, multiple), num_units]
    return min(choices, key=lambda count: (abs(count - wanted), -count))


def find_groups(
    model: Model, granularity: str = "weight", inspection: Inspection | None = None
) -> Groups:
    """What a plan of a granularity can move.

    Args:
        model: The dense model.
        granularity: As in plans, such as ``weight`` or ``channel``.
        inspection: What ``inspect(model)`` returned, to spare a second look.

    Raises:
        PlanError: If there is no such granularity.
    """
    kind = parse_granularity(granularity)
    inspection = inspection or inspect(model)
    if not kind.structured:
        return layer_groups(inspection, granularity)
    try:
        found = trace_coupling(model.module, model.input_shape)
    except Exception as error:  # whatever a network written by others does when it is traced
        return Groups(kind, _untraced(inspection, error), _terms(model, inspection, ()), inspection)
    groups = _channel_groups(found)
    groups = _verified(model, groups, found)
    terms = _terms(model, inspection, groups)
    weighed = tuple(_weighed(group, terms) for group in groups)
    return Groups(kind, weighed, terms, inspection)


def layer_groups(inspection: Inspection, granularity: str = "weight") -> Groups:
    """Every layer as a group of its own.

    Args:
        inspection: The dense model.
        granularity: Any but ``channel``.

    Raises:
        PlanError: If there is no such granularity.
    """
    kind = parse_granularity(granularity)
    groups = tuple(_layer_group(layer, kind) for layer in inspection.layers)
    return Groups(kind, groups, (), inspection)


def _layer_group(layer: LayerInfo, kind: Granularity) -> Group:
    reason = layer.reason or (why_not(layer.shape, kind) if layer.prunable else "")
    count = num_units(layer.shape, kind) if layer.prunable and not reason else layer.num_weights
    return Group(
        layer.layer_name, kind.unit, count, (layer.layer_name,), (), layer.num_weights,
        layer.macs, not reason and layer.prunable, reason, layer.protected, (), layer,
    )  # fmt: skip


def _untraced(inspection: Inspection, error: Exception) -> tuple[Group, ...]:
    """Every layer as a group that cannot be cut, because the network cannot be followed."""
    why = f"{type(error).__name__}: {error}".splitlines()[0][:120]
    reason = f"The way through the network cannot be followed ({why})."
    return tuple(
        Group(layer.layer_name, "channel", layer.shape[0], (layer.layer_name,), (),
              layer.num_weights, layer.macs, False, reason, layer.protected)
        for layer in inspection.prunable
    )  # fmt: skip


def _channel_groups(found: Sequence[Coupled]) -> tuple[Group, ...]:
    """A group for every set of coupled channels, named after its first layer."""
    groups: dict[str, Group] = {}
    for one in found:
        name, number = one.producers[0], 2
        while name in groups:  # the channels of one layer go different ways
            name, number = f"{one.producers[0]}#{number}", number + 1
        groups[name] = Group(
            name, one.unit, one.num_units, one.producers, one.consumers, 0, 0, not one.reason,
            one.reason, False, one.slices,
        )  # fmt: skip
    return tuple(groups.values())


def _weighed(group: Group, terms: tuple[Term, ...]) -> Group:
    own = [term for term in terms if group.name in term.groups]
    values = vars(group) | {
        "num_params": sum(term.num_params for term in own),
        "macs": sum(term.macs for term in own),
    }
    return Group(**values)


def _verified(
    model: Model, groups: tuple[Group, ...], found: tuple[Coupled, ...]
) -> tuple[Group, ...]:
    """Refuse the groups whose removal does not give what zeroing them gives."""
    prunable = [group for group in groups if group.prunable]
    if not prunable or not try_cutting(model, prunable):
        return groups
    checked = []
    for group, one in zip(groups, found, strict=True):
        why = try_cutting(model, [group]) if group.prunable else ""
        if why:
            known = ", ".join(dict.fromkeys(one.operations)) or "none"
            reason = f"Cutting it was tried: {why} (operations in between: {known})."
            group = Group(**vars(group) | {"prunable": False, "reason": reason})
        checked.append(group)
    return tuple(checked)


# Sizes as a sum of products


def _terms(
    model: Model, inspection: Inspection, groups: tuple[Group, ...]
) -> tuple[Term, ...]:  # fmt: skip
    """Split every parameter, and the work it causes, by the groups it shrinks with."""
    owners: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for group in groups:
        if group.prunable:
            for part in group.slices:
                count = part.indices.numel()
                owners.setdefault((part.parameter, part.dim), []).append((group.name, count))
    rows = {row.layer_name: row for row in inspection.layers}
    rows |= {row.parameter_name: row for row in inspection.layers if row.parameter_name}
    sums: dict[tuple[str, ...], list[int]] = {}
    counted = 0
    for name, parameter in model.module.named_parameters():
        row = rows.get(name) or rows.get(name.removesuffix(".weight"))
        macs = row.macs if row else 0
        counted += macs
        dims = [
            _parts(size, owners.get((name, dim), [])) for dim, size in enumerate(parameter.shape)
        ]
        for choice in product(*dims):
            names = tuple(sorted(owner for owner, _ in choice if owner))
            count = 1
            for _, length in choice:
                count *= length
            entry = sums.setdefault(names, [0, 0])
            entry[0] += count
            entry[1] += macs * count // max(1, parameter.numel())
    for row in inspection.layers:
        if row.type == "Product":
            block = row.layer_name.rpartition(".")[0]
            heads = [
                g.name for g in groups if g.prunable and g.unit == "head" and _inside(g, block)
            ]
            sums.setdefault(tuple(heads[:1]), [0, 0])[1] += row.macs
            counted += row.macs
    sums.setdefault((), [0, 0])[1] += inspection.macs - counted
    return tuple(Term(params, macs, names) for names, (params, macs) in sums.items())


def _parts(size: int, owners: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """A dimension as stretches: how much of it goes with which group; the rest with none."""
    rest = size - sum(count for _, count in owners)
    return [*owners, ("", rest)] if rest else owners


def _inside(group: Group, block: str) -> bool:
    return all(layer.rpartition(".")[0] == block for layer in group.layers)
