"""N of every M neighbouring weights stay: the pattern that sparse tensor cores compute with."""

from typing import TYPE_CHECKING

from workbench.progress import Progress, Report, ShouldStop
from workbench.replacement.kind import Product, Replacement
from workbench.replacement.settings import ReplacementSettings

if TYPE_CHECKING:
    import torch

    from workbench.data import Data
    from workbench.model import Model


def apply(
    model: "Model", data: "Data", settings: ReplacementSettings, *,
    report: Report, should_stop: ShouldStop, device: "torch.device | str",
) -> Product:  # fmt: skip
    """Project the weights of a model onto N:M and repair it; zeros that were there stay."""
    from dataclasses import replace

    from workbench.compression.refit import refitted, zeros_of
    from workbench.errors import PlanError
    from workbench.groups import find_groups
    from workbench.plan import PruningPlan
    from workbench.prune import prune

    name = f"nm:{settings.pattern}"
    groups = find_groups(model, name)
    chosen = [group.name for group in groups.prunable if not group.protected]
    if not chosen:
        raise PlanError(
            f"No layer of {model.name} can be thinned to {settings.pattern}.",
            "Its layers have too few inputs; choose another pattern, such as 1:2.",
        )
    report(Progress(0, 0, f"Keeping {settings.pattern}"))
    n, m = map(int, settings.pattern.split(":"))
    plan = PruningPlan(granularity=name, sparsities=dict.fromkeys(chosen, 1 - n / m))
    pruned = prune(model, plan, groups)
    masks = {key: ~zeros for key, zeros in zeros_of(pruned.model).items()}
    pruned = replace(pruned, masks=masks)
    return refitted(
        pruned, data, settings, f"nm-{n}-{m}.safetensors",
        [f"{len(chosen)} layers hold {settings.pattern}: {', '.join(chosen)}."],
        zeros_of(model), report=report, should_stop=should_stop, device=device,
    )  # fmt: skip


METHOD = Replacement(
    name="nm",
    title="N:M pattern",
    summary="Keeps N of every M neighbouring weights, the pattern of sparse tensor cores.",
    explanation=(
        "Zeros that lie anywhere help a file but hardly a processor. Some hardware is made for one "
        "pattern: of every M neighbouring inputs of an output N are kept, 2 of 4 on the sparse "
        "tensor cores of NVIDIA. This replacement brings a network into that form after the fact: "
        "in every group of M the N largest weights stay, the others become zero, and zeros that "
        "were there before count first, so a network that is sparse already loses little. What is "
        "left is then solved anew on unlabelled images, layer by layer, to come near the former "
        "outputs. To plan a network for N:M from the start, choose that granularity on the plan "
        "page."
    ),
    formula=r"\hat w_i = w_i \cdot \mathbb{1}\!\left[\, |w_i| \text{ is among the } N \text{ "
    r"largest of its group of } M \,\right]",
    paper='Mishra et al. 2021, "Accelerating Sparse Deep Neural Networks", section 3',
    needs=("images",),
    options=("pattern", "samples"),
    strengths="The form that sparse tensor cores compute up to twice as fast; needs no labels.",
    limits="No gain on ordinary processors; half of a dense layer's weights is much to lose.",
    apply=apply,
)
