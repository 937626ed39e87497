"""Gathering: what data-driven criteria need to know about a model, measured on images once."""

from collections.abc import Callable, Mapping

from torch import Tensor

from workbench.data import Data
from workbench.evidence import Evidence
from workbench.gathering.activations import gather_activations
from workbench.gathering.gradients import gather_gradients
from workbench.gathering.grams import gather_grams
from workbench.gathering.movement import gather_movement
from workbench.model import Model
from workbench.progress import ShouldStop

Gatherer = Callable[[Model, Data, int, ShouldStop], Mapping[str, Tensor]]
"""Measures a model, which stays as it is, on images chosen by a seed; gives tensors by name, on
the CPU. Asks at every batch, or layer by layer, whether to raise ``StoppedError``."""

GATHERERS: dict[str, Gatherer] = {
    "activations": gather_activations,
    "gradients": gather_gradients,
    "grams": gather_grams,
    "movement": gather_movement,
}
"""Every kind of evidence by its name, which also names its settings in the memory."""


def gather(kind: str, model: Model, evidence: Evidence) -> Mapping[str, Tensor]:
    """What is known of a model: gathered now, or recalled.

    Args:
        kind: A name in ``GATHERERS``.
        model: What it is about.
        evidence: Images, and the memory.

    Raises:
        DataError: If the data do not fit the model.
        StoppedError: If the evidence was told to stop.
    """
    return evidence.recall(
        model.digest,
        kind,
        lambda data, seed, should_stop: GATHERERS[kind](model, data, seed, should_stop),
    )
