"""What a plan leaves of a model: parameters, MACs and bytes, by arithmetic alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from workbench.plan import PruningPlan

if TYPE_CHECKING:
    from workbench.groups import Groups
    from workbench.layers import Inspection

BYTES_PER_PARAM = 4


@dataclass(frozen=True)
class PlanSize:
    """Size of a model under a plan, beside the dense model's.

    Attributes:
        num_params: Parameters of the dense model; buffers are not counted.
        num_nonzero: Parameters the plan keeps.
        macs: Multiply-accumulates for one input. Theoretical where weights are zero: each layer's
            by its density; those of the smaller network where channels are removed.
        bytes: Stored size (see ``tensor_bytes``).
        dense_macs: MACs of the dense model.
        dense_bytes: Stored size of the dense model.
    """

    num_params: int
    num_nonzero: int
    macs: int
    bytes: int
    dense_macs: int
    dense_bytes: int

    @property
    def compression_ratio(self) -> float:
        """Dense parameters over non-zero parameters, at least 1."""
        return self.num_params / max(1, self.num_nonzero)

    @property
    def compression_ratio_bytes(self) -> float:
        """Dense bytes over bytes, at least 1."""
        return self.dense_bytes / max(1, self.bytes)

    @property
    def theoretical_speedup(self) -> float:
        """Dense MACs over MACs, at least 1; not a measured speedup."""
        return max(1, self.dense_macs) / max(1, self.macs)

    def to_dict(self) -> dict[str, float]:
        """Plain values, the three quotients among them."""
        return asdict(self) | {
            "compression_ratio": self.compression_ratio,
            "compression_ratio_bytes": self.compression_ratio_bytes,
            "theoretical_speedup": self.theoretical_speedup,
        }


def size_of_plan(groups: Groups, plan: PruningPlan) -> PlanSize:
    """Size of a model under a plan; nothing is pruned.

    Every weight the plan keeps counts as non-zero, also one that is zero already. Exact for
    removed channels.

    Args:
        groups: What ``find_groups(model, plan.granularity)`` returned.
        plan: What to prune.

    Raises:
        PlanError: If the plan names a group that is unknown or cannot be pruned.
    """
    pruned = {
        name: groups.num_pruned(name, sparsity, plan.channel_multiple)
        for name, sparsity in plan.sparsities.items()
    }
    return size_without(groups, pruned)


def size_without(groups: Groups, pruned: Mapping[str, int]) -> PlanSize:
    """Size of a model without so much of its groups.

    Args:
        groups: Of the dense model.
        pruned: Group name to what goes of it: channels, or at every other granularity weights.
    """
    if not groups.granularity.structured:
        return size_with_zeros(groups.inspection, pruned)
    kept = {name: groups.group(name).num_units - count for name, count in pruned.items()}
    num_params, macs = groups.size(kept)
    dense = groups.inspection
    return PlanSize(
        dense.num_params, num_params, macs, BYTES_PER_PARAM * num_params, dense.macs,
        BYTES_PER_PARAM * dense.num_params,
    )  # fmt: skip


def size_with_zeros(inspection: Inspection, zeros: Mapping[str, int]) -> PlanSize:
    """Size of a model with so many zeros in the weights of its prunable layers.

    Args:
        inspection: The dense model.
        zeros: Layer name to zeros in its weight; layers that are not named have none.
    """
    num_nonzero = macs = num_bytes = 0
    for layer in inspection.layers:
        gone = zeros.get(layer.layer_name, 0) if layer.prunable else 0
        kept = layer.num_weights - gone
        num_nonzero += layer.num_params - gone
        macs += layer.macs * kept // layer.num_weights if gone else layer.macs
        rest = layer.num_params - layer.num_weights
        num_bytes += tensor_bytes(layer.num_weights, kept) + BYTES_PER_PARAM * rest
    dense_bytes = BYTES_PER_PARAM * inspection.num_params
    return PlanSize(
        inspection.num_params, num_nonzero, macs, num_bytes, inspection.macs, dense_bytes
    )


def tensor_bytes(count: int, nonzero: int) -> int:
    """Bytes of a float32 tensor: dense, or its non-zero values and one bit for every place.

    The smaller of the two, so a tensor is never stored sparse where that would cost more.

    Args:
        count: Entries.
        nonzero: Entries that are not zero.
    """
    return min(BYTES_PER_PARAM * count, BYTES_PER_PARAM * nonzero + -(-count // 8))
