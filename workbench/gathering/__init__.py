"""Gathering: what data-driven criteria need to know about a model, measured on images once."""

from collections.abc import Callable, Mapping

from torch import Tensor

from workbench.data import Data
from workbench.evidence import Evidence
from workbench.model import Model

Gatherer = Callable[[Model, Data], Mapping[str, Tensor]]
"""Measures a model, which stays as it is, on images; gives tensors by name, on the CPU."""

GATHERERS: dict[str, Gatherer] = {}
"""Every kind of evidence by its name, which also names its settings in the memory."""


def gather(kind: str, model: Model, evidence: Evidence) -> Mapping[str, Tensor]:
    """What is known of a model: gathered now, or recalled.

    Args:
        kind: A name in ``GATHERERS``.
        model: What it is about.
        evidence: Images, and the memory.

    Raises:
        DataError: If the data do not fit the model.
    """
    return evidence.recall(model.digest, kind, lambda data: GATHERERS[kind](model, data))
