"""Made-up networks and curves of any size, for the equaliser's tests and its benchmark."""

import math
import sys
from pathlib import Path

import numpy as np

from tests.browser import rig
from workbench.curves import SensitivityCurves, SensitivityPoint, SensitivitySettings
from workbench.granularity import parse_granularity
from workbench.groups import Group, Groups, Term, layer_groups
from workbench.layers import Inspection, LayerInfo

NUM_CLASSES = 10
SAMPLES = 1000
NASTY = '<img src=x onerror="document.title=1">'


def layers(count: int, norms: bool) -> tuple[LayerInfo, ...]:
    """Made-up layers in four stages, the last one a protected classifier."""
    random = np.random.default_rng(0)
    made = []
    for i in range(count):
        depth = i / max(1, count - 1)
        stage = 4 * i // count
        place = i - -(-stage * count // 4)
        width = 16 * 2**stage
        shape = (width, width, 3, 3)
        name = f"layer{1 + stage}.{place // 3}.conv{1 + place % 3}"
        kind, protected = "Conv2d", False
        if i == count - 1:
            name, kind, shape, protected = "classifier", "Linear", (NUM_CLASSES, width), True
        elif i == 1:
            name = f"layer1.{NASTY}"
        weights = math.prod(shape)
        macs = int(weights * (1.6 - depth) * 784 * (0.5 + random.random()))
        made.append(
            LayerInfo(name, kind, f"{name}.weight", shape, weights, weights + width, 0, macs,
                      True, protected=protected)
        )  # fmt: skip
        if norms and i < count - 1:
            made.append(
                LayerInfo(f"{name}.bn", "BatchNorm2d", "", (width,), 2 * width, 2 * width, 0, 0,
                          False, "Normalisation has one scale and shift per channel.")
            )  # fmt: skip
    return tuple(made)


def groups(inspection: Inspection, granularity: str = "weight") -> Groups:
    """What a plan can move in made-up layers: for channels, each convolution's feed the next two.

    Every third one is coupled with the one before, as around a shortcut.
    """
    if granularity != "channel":
        return layer_groups(inspection, granularity)
    row = inspection.prunable
    owner: list[str] = []
    for i, layer in enumerate(row):
        shortcut = i % 3 == 2 and row[i - 1].shape[0] == layer.shape[0]
        owner.append(owner[-1] if shortcut else layer.layer_name)
    owner[-1] = row[-1].layer_name
    made, terms = [], []
    for name in dict.fromkeys(owner):
        members = tuple(row[i].layer_name for i, own in enumerate(owner) if own == name)
        consumers = tuple(row[i + 1].layer_name for i, own in enumerate(owner[:-1]) if own == name)
        width = inspection.layer(name).shape[0]
        last = name == row[-1].layer_name
        reason = "Its outputs are the class scores." if last else ""
        unit = "neuron" if last else "channel"
        size = sum(inspection.layer(member).num_params for member in members)
        made.append(Group(name, unit, width, members, consumers, size, size, not last, reason))
    left = inspection.macs
    for i, layer in enumerate(row):
        both = tuple(sorted(owner[max(0, i - 1) : i + 1 if i < len(row) - 1 else i]))
        terms.append(Term(layer.num_weights, layer.macs, both))
        terms.append(Term(layer.num_params - layer.num_weights, 0, both[:1]))
        left -= layer.macs
    norms = inspection.num_params - sum(layer.num_params for layer in row)
    terms.append(Term(norms, left))
    return Groups(parse_granularity(granularity), tuple(made), tuple(terms), inspection)


def curves(inspection: Inspection, every: int, granularity: str = "weight") -> SensitivityCurves:
    """Made-up curves: calm in the middle of the network, fragile at its start."""
    random = np.random.default_rng(1)
    settings = SensitivitySettings(num_samples=SAMPLES, repair="bn", granularity=granularity)
    baseline = _point("", 0.0, 0.923, 0.24)
    points = []
    members = groups(inspection, granularity).prunable
    for i, group in enumerate(members[::every]):
        depth = i * every / len(members)
        middle = 0.75 + 0.3 * math.sin(math.pi * depth) + random.normal(0, 0.06) - 0.4 * (i == 0)
        for level in settings.levels:
            hurt = 1 / (1 + math.exp(-12 * (level - middle)))
            noise = random.normal(0, 0.002)
            points.append(_point(group.name, level, 0.923 - 0.8 * hurt + noise, 0.24 + 1.9 * hurt))
    return SensitivityCurves(settings, "m", "d", baseline, tuple(points), 1.0, 1, every == 1)


def _point(group: str, level: float, accuracy: float, loss: float) -> SensitivityPoint:
    half = 1.96 * math.sqrt(accuracy * (1 - accuracy) / SAMPLES)
    return SensitivityPoint(group, level, accuracy, loss, accuracy - half, accuracy + half, SAMPLES)


def harness_options() -> dict[str, object]:
    """How ``equaliser_app.py`` is served: the options of ``rig.Server``."""
    port = rig.free_port()
    command = (
        sys.executable, "-m", "streamlit", "run", "--server.headless", "true",
        "--server.fileWatcherType", "none", "--runner.postScriptGC", "false",
        "--browser.gatherUsageStats", "false", "--client.toolbarMode", "minimal",
        "--server.port", str(port), str(Path(__file__).with_name("equaliser_app.py")), "--",
    )  # fmt: skip
    return {"port": port, "command": command, "environment": {"PYTHONPATH": str(rig.ROOT)}}
