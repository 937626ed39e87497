"""L1 penalty on the scales of BatchNorm layers: network slimming."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.sparse_training.kinds import SparseMethod

if TYPE_CHECKING:
    from workbench.sparse_training.addition import SparseAddition
    from workbench.sparse_training.ground import Ground
    from workbench.sparse_training.settings import SparseTrainingSettings


def _addition(ground: Ground, settings: SparseTrainingSettings) -> SparseAddition:
    from workbench.sparse_training.shrinking import ScaleShrinking

    return ScaleShrinking(ground, settings)


METHOD = SparseMethod(
    name="bn_scale",
    title="L1 on BatchNorm scales",
    summary="Pulls the scale of each normalised channel to zero; channels without scale go.",
    explanation="A BatchNorm layer multiplies every channel by a learnt scale. An L1 penalty on "
    "these scales alone, a few numbers for each layer, pushes the scales of channels that matter "
    "little to exactly zero, while all weights train as usual. Where several normalisations "
    "belong to one channel, because a skip connection ties them, their scales are pulled "
    "together as a group. A channel whose scale is zero gets shift zero as well, so that it is "
    "silent and can be removed without changing any output; the network has trained with the "
    "silence already. The paper is known as network slimming.",
    formula=r"\min_{w, \gamma} \; L(w, \gamma) + \lambda \sum_c |\gamma_c|",
    paper='Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming", '
    "section 3",
    needs=("weights", "labels", "gradients", "training"),
    options=("strength", "from_scratch"),
    strengths="Cheap, and scales of all layers compare with each other.",
    limits="Only for networks with normalisation behind the layers to be cut.",
    kind="penalty",
    granularities=("channel",),
    strength=3e-3,
    strength_help="What a scale of size 1 adds to the loss.",
    addition=_addition,
)
