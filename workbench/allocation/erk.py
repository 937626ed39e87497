"""Densities by the shape of a layer."""

import math

from workbench.allocation.knob import nearest_level
from workbench.allocation.pool import Pool
from workbench.allocation.rule import Allocation, by_level
from workbench.allocation.uniform import STEPS
from workbench.groups import Group


class ErdosRenyiKernel:
    """Layers of many weights for their size keep less: Erdos-Renyi-Kernel densities.

    A layer of shape ``(out, in, kh, kw)`` keeps the part ``e * (out + in + kh + kw) / (out * in *
    kh * kw)`` of its weights, at most all; ``e`` is the same everywhere and set by the target.

    Channels: cutting inputs and outputs of a layer to a share s leaves s ** 2 of its weights, so
    that a group keeps the root of that part of its channels; of several layers it takes the mean
    part, each counted by its weights.

    References:
        Mocanu et al. 2018, "Scalable Training of Artificial Neural Networks with Adaptive Sparse
        Connectivity" (Erdos-Renyi).
        Evci et al. 2020, "Rigging the Lottery", section 3 (with kernels).
    """

    top = STEPS - 1

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parts = {group.name: self._part(group) for group in pool.members}
        self._least = min(self._parts.values())

    def level_of(self, sparsity: float) -> float:
        """The level at which that part of all weights, or of all channels, goes."""
        return nearest_level(self._pool, self, sparsity)

    def sparsities(self, level: float) -> dict[str, float]:
        """Group name to sparsity at a level: none goes at 0, all that can go at the top."""
        scale = (1 - level / STEPS) / self._least
        densities = {name: min(1.0, scale * part) for name, part in self._parts.items()}
        if self._pool.kind == "channel":
            densities = {name: math.sqrt(density) for name, density in densities.items()}
        return {
            group.name: self._pool.nearest(group, 1 - densities[group.name])
            for group in self._pool.members
        }

    def _part(self, group: Group) -> float:
        """Sum of a weight's sizes over their product; over all weights of a group's layers."""
        shapes = [
            layer.shape
            for layer in self._pool.all.inspection.layers
            if any(f"{layer.layer_name}.".startswith(f"{path}.") for path in group.layers)
        ]
        matrices = [shape for shape in shapes if len(shape) > 1]
        return sum(map(sum, matrices)) / sum(map(math.prod, matrices))


METHOD = Allocation(
    name="erk",
    title="ERK",
    summary="Keeps more of layers that have few weights for their width (Erdos-Renyi-Kernel).",
    explanation=(
        "A layer between wide neighbours has a great many weights, more than it needs to carry "
        "its signals; a narrow one has hardly any to spare. ERK therefore lets the part that a "
        "layer keeps depend on its shape alone: on the sum of its sizes (inputs, outputs, height "
        "and width of the kernel) over their product. One common factor scales all parts until "
        "the target is met, and none exceeds the whole. It comes from networks that are sparse "
        "from the beginning, and looks at neither weights nor images."
    ),
    formula=(
        r"1 - s_\ell = \min\left(1,\ \varepsilon\, "
        r"\frac{n_{in} + n_{out} + k_h + k_w}{n_{in}\, n_{out}\, k_h\, k_w}\right)"
    ),
    paper=(
        'Evci et al. 2020, "Rigging the Lottery: Making All Tickets Winners", section 3; '
        'without kernels: Mocanu et al. 2018, "Scalable Training of Artificial Neural Networks '
        'with Adaptive Sparse Connectivity"'
    ),
    strengths="Protects small layers at extreme sparsity without looking at data.",
    limits=(
        "Knows shapes only: two layers of one shape get one sparsity, however different they are. "
        "At equal sparsity it keeps more multiply-accumulates than uniform."
    ),
    spread=by_level(ErdosRenyiKernel),
)
