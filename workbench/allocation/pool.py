"""The groups among which an allocation spreads its target."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from workbench.criteria import Criterion, score_layer, score_units
from workbench.groups import Group, Groups
from workbench.model import Model
from workbench.patterns import nearest_sparsity, pattern_mask, unit_scores


@dataclass(frozen=True, eq=False)
class Pool:
    """Groups that may be pruned, with the means to score them.

    Attributes:
        model: The dense model.
        all: Every group of the model at the granularity of the plan.
        members: The groups to prune, in the order of the model.
        criterion: How weights are ranked.
        seed: Seed of the criterion.
        multiple: Kept channels are rounded to a multiple of this.
    """

    model: Model
    all: Groups
    members: tuple[Group, ...]
    criterion: Criterion
    seed: int
    multiple: int = 1

    @property
    def kind(self) -> str:
        """Kind of the granularity, such as ``weight``."""
        return self.all.granularity.kind

    def nearest(self, group: Group, sparsity: float) -> float:
        """The nearest sparsity that a group allows, as an exact quotient.

        Single weights take any: theirs stays as it is, and the count is rounded when pruning.
        """
        if self.kind == "weight":
            return sparsity
        if self.kind == "channel":
            gone = self.all.num_pruned(group.name, sparsity, self.multiple)
            return gone / group.num_units
        return nearest_sparsity(shape_of(group), self.all.granularity, sparsity)

    def scores(self) -> Iterator[Tensor]:
        """Scores of the units of each group, flat, on the CPU; for N:M one of the layer.

        At N:M a layer is thinned as a whole: its score is the mean of those weights that go.
        """
        for group in self.members:
            if self.kind == "channel":
                tensors = self.model.module.state_dict()
                yield score_units(self.criterion, tensors, group, self.seed)
                continue
            scores = self._layer_scores(group)
            if self.kind == "nm":
                mask = pattern_mask(scores, self.all.granularity, 1.0)
                yield scores[~mask].mean().view(1).cpu()
            else:
                yield unit_scores(scores, self.all.granularity).cpu()

    def _layer_scores(self, group: Group) -> Tensor:
        assert group.layer is not None
        weight = self.model.module.get_parameter(group.layer.parameter_name)
        return score_layer(self.criterion, weight, self.seed, group.name)


def shape_of(group: Group) -> tuple[int, ...]:
    """Shape of the weight of a group that is one layer."""
    assert group.layer is not None
    return group.layer.shape
