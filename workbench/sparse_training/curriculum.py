"""What a method that trains several times is given, and what comes out of any method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workbench.data import Data
from workbench.model import Model
from workbench.progress import Report, ShouldStop
from workbench.sparse_training.ground import Ground
from workbench.sparse_training.settings import SparseTrainingSettings


@dataclass(frozen=True, eq=False)
class Curriculum:
    """What a method that trains several times is given.

    Attributes:
        model: Where to begin; new weights if the settings ask for them. It stays as it is.
        dense: The trained dense model, who teaches where the settings ask for distillation.
        data: Images that fit it.
        ground: What may become zero.
        settings: How.
        report: Hears of everything.
        should_stop: Ends early with what is there.
        device: Where to train.
    """

    model: Model
    dense: Model
    data: Data
    ground: Ground
    settings: SparseTrainingSettings
    report: Report
    should_stop: ShouldStop
    device: torch.device


@dataclass(frozen=True, eq=False)
class Trained:
    """What a sparse training ended with.

    Attributes:
        module: Of the dense shapes; what is gone is zero.
        alive: By parameter its entries that are left, or by group its units.
        history: One entry per validated epoch, with ``sparsity``.
        samples_per_second: Training images a second.
        stopped: Whether it was asked to stop.
        note: What went wrong; empty where nothing did.
        cut_afterwards: Sparsity that was cut at the end because training fell short of it.
    """

    module: nn.Module
    alive: Mapping[str, Tensor]
    history: tuple[Mapping[str, Any], ...]
    samples_per_second: float = 0.0
    stopped: bool = False
    note: str = ""
    cut_afterwards: float = 0.0
