"""Least-squares reconstruction: give pruned layers the outputs of the dense network, label-free.

One pass of the dense network samples what every layer gives; one pass of the pruned network
solves layer after layer for the weights that give the same from its own, already repaired
activations.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workbench.progress import (
    Progress,
    Report,
    ShouldStop,
    StoppedError,
    ignore,
    never,
    raise_if_stopped,
)
from workbench.reconstruct.calls import Parts
from workbench.reconstruct.folding import measure_shared_norms_
from workbench.reconstruct.graph import Graph, trace
from workbench.reconstruct.recorder import Recorder
from workbench.reconstruct.ridge import HELD_OUT
from workbench.reconstruct.rows import Places
from workbench.reconstruct.solver import Solver
from workbench.reconstruct.steps import OtherWayError, RepairStep
from workbench.reconstruct.uses import Work

__all__ = ["Reconstruction", "RepairStep", "affordable_images", "reconstruct_"]

BATCH = 250
ACTIVATION_BYTES = 2**31
"""What the activations of all images together may take at their widest."""
TENSORS_AT_ONCE = 4
"""Tensors of the widest size alive at the same time: input, output, its norm, its activation."""
ENOUGH_IMAGES, ENOUGH_NUMBERS = 1_000, 2**24
"""More images gain nothing where each has many places; these numbers are of the widest tensor."""
ROWS_PER_INPUT = 128
MIN_ROWS, MAX_ROWS = 4_096, 16_384
MAX_INPUT_NUMBERS = 2**25
"""Numbers in the inputs of one layer at all of its places."""
SWEEPS = 2
"""Times that layers are solved where weights are shared: 1 or 2. In the second sweep later uses
have the activations that the first one led to."""
MAX_OUTPUT_NUMBERS = 2**27
"""Numbers kept of the dense network's outputs, all layers together."""


@dataclass(frozen=True)
class Reconstruction:
    """What was done to a network.

    Attributes:
        steps: One for each layer, or for those that meet in a sum, in order.
        notes: Which layers were left as they are and why.
    """

    steps: tuple[RepairStep, ...]
    notes: tuple[str, ...]


@torch.no_grad()
def reconstruct_(
    module: nn.Module, dense: nn.Module, images: Tensor, *, masks: Mapping[str, Tensor],
    kept: Mapping[str, Tensor], report: Report = ignore, should_stop: ShouldStop = never,
    seed: int = 0,
) -> Reconstruction | None:  # fmt: skip
    """Solve the layers of a pruned network so that they give what the dense network gives.

    Layer by layer in the order of a forward pass: ridge regression from the pruned network's own
    activations onto what the dense network has behind the layer's BatchNorm or at the sum its
    output goes into. BatchNorm statistics are measured again in the same pass. A layer is changed
    only where that lowers the error on images that the solution has not seen. Two passes in all;
    memory is bounded by looking at a sample of places and, where images are large, at fewer
    images.

    A weight or bias that is used several times is solved once, when the pass comes to its first
    use, from the rows of all uses: each row weighed by one over the variance that its use has in
    the dense network, so that every use counts the same. Later uses take the activations that
    the present weights lead to, BatchNorms that are still to come measured on the way. As the
    solution changes these, all layers are then solved a second time from where the first sweep
    ended; that is kept where the network's outputs come closer to the dense network's on the last
    eighth of the images. Shared weights that not every pass uses equally often, as where the way
    depends on the values, are left as they are, with a note.

    Args:
        module: The pruned network, thinner or with zeros; changed in place, left in eval mode.
        dense: The network it was pruned from, on the same device; put in eval mode.
        images: Calibration images ``(samples, channels, height, width)`` on that device.
        masks: Parameter name to mask, True = kept; masked weights stay exactly zero.
        kept: Path of a layer to the dense output channels that remain; absent = all.
        report: Hears of every batch and of every layer; ``values`` hold its step.
        should_stop: Asked at every batch and within the solution of every layer; True puts
            everything back and ends without steps.
        seed: Chooses the places.

    Returns:
        What was done to each layer; None if stopped.

    References:
        He et al. 2017, "Channel Pruning for Accelerating Very Deep Neural Networks";
        Frantar and Alistarh 2022, "Optimal Brain Compression"; the sums as in He et al. 2017,
        section 3.3.
    """
    module.eval()
    dense.eval()
    graph = trace(dense, images[:2])
    images = images[: _affordable(graph, len(images))]
    rest = module, dense, images, masks, kept, report, should_stop, seed
    try:
        return _reconstruct_(graph, *rest)
    except OtherWayError:
        return _reconstruct_(graph.without_units(), *rest)


def _reconstruct_(
    graph: Graph, module: nn.Module, dense: nn.Module, images: Tensor,
    masks: Mapping[str, Tensor], kept: Mapping[str, Tensor], report: Report,
    should_stop: ShouldStop, seed: int,
) -> Reconstruction | None:  # fmt: skip
    """``reconstruct_`` for what a trace found; leaves the network as it was where it fails."""
    before = {key: value.clone() for key, value in module.state_dict().items()}
    steps: list[RepairStep] = []
    batches = images.split(max(1, min(BATCH, len(images) // 4)))
    sweeps = SWEEPS if graph.units else 1
    in_all = sweeps * (len(graph.layers) + len(graph.recurrent) + len(graph.units))
    total = len(batches) + in_all

    def check() -> None:
        raise_if_stopped(should_stop)

    def tell(step: RepairStep) -> None:
        steps.append(step)
        done = min(total, len(batches) + len(steps))
        report(Progress(done, total, f"Repaired {step.layer}", {"step": step.to_dict()}))
        check()

    places = Places(len(images), seed, images.device)
    recorder = Recorder(dense, graph, places, _num_rows(dense, graph), check)
    try:
        for number, batch in enumerate(batches, 1):
            check()
            recorder.record(dense, batch)
            report(Progress(number, total, "Watching the dense model"))
        if graph.shared_norms:
            measure_shared_norms_(module, graph.shared_norms, images)
        work = Work(
            module, Parts(module), graph, images, recorder.rows(), recorder.num_rows, places,
            masks, kept, check,
        )  # fmt: skip
        with Solver(work, dense, recorder, tell):
            module(images)
        if sweeps > 1:
            first, last = [*steps], images[-max(1, len(images) // HELD_OUT) :]
            wanted, once = dense(last), {key: v.clone() for key, v in module.state_dict().items()}
            distance = (module(last) - wanted).square().mean()
            work.settled.clear()
            with Solver(work, dense, recorder, tell):
                module(images)
            steps = _merged(first, steps[len(first) :])
            if not (module(last) - wanted).square().mean() < distance:
                module.load_state_dict(once)
                steps = first
        if graph.shared_norms:
            measure_shared_norms_(module, graph.shared_norms, images)
    except BaseException as error:
        module.load_state_dict(before)
        if isinstance(error, StoppedError):
            return None
        raise
    return Reconstruction(tuple(steps), graph.notes)


def _merged(first: Sequence[RepairStep], second: Sequence[RepairStep]) -> list[RepairStep]:
    """What two sweeps did to each layer: from before the first to after the second."""
    if [step.layer for step in first] != [step.layer for step in second]:
        raise OtherWayError
    merged = []
    for one, other in zip(first, second, strict=True):
        method = other.method if other.kept else one.method
        kept = one.kept or other.kept
        merged.append(RepairStep(one.layer, method, one.error_before, other.error_after, kept))
    return merged


def affordable_images(module: nn.Module, dense: nn.Module, images: Tensor, wanted: int) -> int:
    """How many images ``reconstruct_`` can take in at once and in good time.

    Args:
        module: The pruned network, in eval mode: the smaller it is, the more images.
        dense: The dense network, in eval mode.
        images: One or two of them.
        wanted: How many there could be.
    """
    useful = max(ENOUGH_IMAGES, ENOUGH_NUMBERS // trace(module, images).widest)
    return _affordable(trace(dense, images), min(wanted, useful))


def _affordable(graph: Graph, wanted: int) -> int:
    at_once = TENSORS_AT_ONCE * (2 if graph.units else 1)  # a pass and its rehearsal
    return max(2, min(wanted, ACTIVATION_BYTES // (graph.widest * at_once * 4)))


def _num_rows(network: nn.Module, graph: Graph) -> dict[str, int]:
    """Path of a layer to the rows it needs, by the number of its inputs."""
    found = {}
    numbers = 0
    for path, uses in _num_uses(graph).items():
        weight = network.get_submodule(path).get_parameter("weight")
        inputs = math.prod(weight.shape[1:])
        all_inputs = max(inputs, getattr(network.get_submodule(path), "in_channels", 0))
        rows = max(MIN_ROWS, min(MAX_ROWS, ROWS_PER_INPUT * inputs) // uses)
        found[path] = min(rows, max(256, MAX_INPUT_NUMBERS // (all_inputs * uses)))
        numbers += found[path] * len(weight) * uses
    shrink = min(1.0, MAX_OUTPUT_NUMBERS / numbers) if numbers else 1.0
    return {path: int(rows * shrink) for path, rows in found.items()}


def _num_uses(graph: Graph) -> Counter[str]:
    """Path of a layer to how often its weight is used."""
    return Counter(layer.path for layer in graph.targets)
