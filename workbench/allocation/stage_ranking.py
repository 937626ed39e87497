"""The same sparsity for every stage of the network, and one ranking within each."""

from dataclasses import replace

from workbench.allocation.global_ranking import GlobalRanking
from workbench.allocation.knob import nearest_level
from workbench.allocation.pool import Pool
from workbench.allocation.rule import Allocation, by_level
from workbench.allocation.uniform import STEPS
from workbench.stages import find_stages


class StageRanking:
    """Every stage loses the same part of its units, the lowest scores of the stage first.

    Between uniform, where every layer loses the same part, and the global ranking, where all
    layers compete: here the layers of one stage (see ``workbench.stages``) compete with each
    other and with no others. Each group keeps at least its best unit; a stage that can lose no
    more stays behind. For budgets the common sparsity moves in steps of one millionth.

    Reference:
        Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.2 (one pruning ratio
        for all layers of a stage).
    """

    top = STEPS - 1

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._stages = []
        for stage in find_stages(pool.all):
            own = tuple(group for group in pool.members if group.name in stage.groups)
            if own:
                self._stages.append(GlobalRanking(replace(pool, members=own)))

    def level_of(self, sparsity: float) -> float:
        """The level of a sparsity: itself, unless bounds leave some groups behind."""
        if self._pool.bounds:
            return nearest_level(self._pool, self, sparsity)
        return sparsity * STEPS

    def sparsities(self, level: float) -> dict[str, float]:
        """Group name to sparsity where every stage loses ``level`` millionths of its units."""
        found: dict[str, float] = {}
        for ranking in self._stages:
            found |= ranking.sparsities(ranking.nearest_level(level / STEPS))
        return found


METHOD = Allocation(
    name="stage",
    title="Per stage",
    summary="Prunes every stage to the same sparsity; within a stage all layers compete.",
    explanation=(
        "A convolutional network works in stages: stretches of layers at one feature-map size, "
        "each about half as wide and high as the one before. Layers of one stage look alike and "
        "depend on each other, so their weights can be compared, while those of early and late "
        "stages often cannot. This rule asks the same part of every stage and ranks all weights "
        "or channels of the stage together, so that its weaker layers lose more. Stages are found "
        "from the real sizes that an image has on its way. Where all layers work at one size, as "
        "in an MLP, the first part of a layer's name tells its stage. Reach for it where global "
        "ranking empties one end of the network."
    ),
    formula=r"s_i < \tau_{\text{stage}(i)} \Rightarrow w_i \text{ goes},\quad"
    r"\tau_k \text{ such that each stage } k \text{ loses the part } p",
    paper='Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.2',
    strengths="Keeps the balance of early and late layers, and still lets neighbours differ.",
    limits=(
        "All stages pay the same, however fragile they are; a network whose layers all work at "
        "one size has stages by name only."
    ),
    spread=by_level(StageRanking),
)
