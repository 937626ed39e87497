"""Widths in multiples of eight and the like, which kernels are made for."""

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
    """Remove the few channels that are over, and repair what is left."""
    from dataclasses import replace

    from workbench.compression.refit import refitted, zeros_of
    from workbench.errors import PlanError
    from workbench.groups import find_groups
    from workbench.plan import PruningPlan
    from workbench.prune import prune

    multiple = settings.multiple
    groups = find_groups(model, "channel")
    sparsities = {
        group.name: (group.num_units % multiple) / group.num_units
        for group in groups.prunable
        if not group.protected and group.num_units > multiple and group.num_units % multiple
    }
    if not sparsities:
        raise PlanError(
            f"Every width of {model.name} that can be cut is a multiple of {multiple} already, "
            "or smaller than that.",
            "Choose another multiple.",
        )
    report(Progress(0, 0, f"Removing what is over a multiple of {multiple}"))
    plan = PruningPlan(granularity="channel", sparsities=sparsities)
    pruned = prune(model, plan, groups)
    zeros = zeros_of(pruned.model)
    held = {key: ~where for key, where in zeros.items() if bool(where.any())}
    pruned = replace(pruned, masks=held)
    widths = ", ".join(
        f"{name} {groups.group(name).num_units} to {len(pruned.kept[name])}" for name in sparsities
    )
    notes = [
        f"Widths: {widths}.",
        "Zeros of removed channels went with them and are not counted.",
    ]
    return refitted(
        pruned, data, settings, f"channel_multiple-{multiple}.safetensors", notes, zeros,
        report=report, should_stop=should_stop, device=device,
    )  # fmt: skip


METHOD = Replacement(
    name="channel_multiple",
    title="Channel multiples",
    summary="Removes channels until every layer's number is a multiple of N.",
    explanation=(
        "Processors compute channels in packs of four, eight or sixteen. A layer of 17 channels "
        "then costs as much as one of 24, and pruning that ends at odd widths gains less time than "
        "its count of operations promises. This replacement rounds every width down to a multiple: "
        "the weakest channels that are over are removed, by the sum of their weights' absolute "
        "values, with all that depends on them, and the layers are solved anew on unlabelled "
        "images. The measured latency beside the former one tells whether it paid. A plan can ask "
        "for multiples from the start as well, with its setting for channels."
    ),
    formula=r"n' = m \lfloor n / m \rfloor",
    paper='He et al. 2018, "AMC: AutoML for Model Compression and Acceleration on Mobile '
    'Devices", section 3',
    needs=("images",),
    options=("multiple", "samples"),
    strengths="Removes the channels that cost time without being used by the processor.",
    limits="Narrow layers lose a large part; below the multiple itself a layer stays as it is.",
    apply=apply,
)
