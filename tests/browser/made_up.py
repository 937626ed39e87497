"""Made-up networks and curves of any size, for the equaliser's tests and its benchmark."""

import math
import sys
from pathlib import Path

import numpy as np

from tests.browser import rig
from workbench.curves import SensitivityCurves, SensitivityPoint, SensitivitySettings
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


def curves(inspection: Inspection, every: int) -> SensitivityCurves:
    """Made-up curves: calm in the middle of the network, fragile at its start."""
    random = np.random.default_rng(1)
    settings = SensitivitySettings(num_samples=SAMPLES, repair="bn")
    baseline = _point("", 0.0, 0.923, 0.24)
    points = []
    for i, layer in enumerate(inspection.prunable[::every]):
        depth = i * every / len(inspection.prunable)
        middle = 0.75 + 0.3 * math.sin(math.pi * depth) + random.normal(0, 0.06) - 0.4 * (i == 0)
        for level in settings.levels:
            hurt = 1 / (1 + math.exp(-12 * (level - middle)))
            noise = random.normal(0, 0.002)
            points.append(
                _point(layer.layer_name, level, 0.923 - 0.8 * hurt + noise, 0.24 + 1.9 * hurt)
            )
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
