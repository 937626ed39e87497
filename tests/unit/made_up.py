"""Made-up networks of any size, for allocation: groups with costs and curves, without weights."""

import numpy as np
from torch import nn

from workbench.allocation import LatencyTable
from workbench.curves import (
    DEFAULT_LEVELS,
    SensitivityCurves,
    SensitivityPoint,
    SensitivitySettings,
)
from workbench.granularity import parse_granularity
from workbench.groups import Group, Groups, Term, layer_groups
from workbench.layers import Inspection, LayerInfo
from workbench.model import Model


def made_up_model() -> Model:
    """A model that only lends its digest and its ten classes."""
    network = nn.Linear(1, 1)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)
    return Model("made-up", network, (1, 1, 1), 10)


def made_up_groups(count: int, granularity: str, seed: int = 0, widest: int = 512) -> Groups:
    """Convolutions one behind the other, a residual path every third, each as wide as was drawn.

    Args:
        count: Groups that can be pruned.
        granularity: ``weight`` or ``channel``.
        seed: Of widths and image sizes.
        widest: Most channels of a layer, at least 8.
    """
    random = np.random.default_rng(seed)
    widths = random.integers(4, widest + 1, count + 1).tolist()
    layers = tuple(
        _layer(f"conv{i}", (widths[i + 1], widths[i], 3, 3), int(4 ** random.integers(1, 6)))
        for i in range(count)
    )
    inspection = Inspection(layers)
    if granularity != "channel":
        return layer_groups(inspection, granularity)
    terms, groups = [Term(100, 1_000)], []
    for i, row in enumerate(layers):
        inputs = (f"conv{i - 1}",) if i else ()
        terms.append(Term(row.num_weights, row.macs, (*inputs, f"conv{i}")))
        terms.append(Term(row.num_params - row.num_weights, 0, (f"conv{i}",)))
        if i % 3 == 2:
            terms.append(Term(row.num_weights // 9, row.macs // 9, (f"conv{i - 2}", f"conv{i}")))
            terms.append(Term(row.num_weights // 9, row.macs // 9, (f"conv{i}", f"conv{i}")))
        groups.append(Group(f"conv{i}", "channel", widths[i + 1], (row.layer_name,)))
    return Groups(parse_granularity("channel"), tuple(groups), tuple(terms), inspection)


def made_up_curves(groups: Groups, model: Model, seed: int = 0) -> SensitivityCurves:
    """Loss increases that rise late or early and reach different heights, with noise."""
    random = np.random.default_rng(seed)
    settings = SensitivitySettings(granularity=groups.granularity.name)
    points = []
    for group in groups.prunable:
        height, bend = float(np.exp(random.normal(-1, 1.5))), random.uniform(1, 8)
        for level in DEFAULT_LEVELS:
            loss = 0.3 + height * level**bend + float(random.normal(0, 0.002))
            points.append(SensitivityPoint(group.name, level, 0.9, loss, 0.88, 0.92, 1000))
    baseline = SensitivityPoint("", 0.0, 0.9, 0.3, 0.88, 0.92, 1000)
    return SensitivityCurves(
        settings, model.digest, "", baseline, tuple(points), 0.0, len(points), True
    )


def made_up_latencies(groups: Groups, model: Model, seed: int = 0) -> LatencyTable:
    """Times in steps: what is measured at four widths of every group."""
    random = np.random.default_rng(seed)
    macs = sum(term.macs for term in groups.terms)
    steps = {}
    for group in groups.prunable:
        own = sum(term.macs for term in groups.terms if group.name in term.groups) / macs
        widths = sorted({max(1, group.num_units * part // 4) for part in (1, 2, 3)})
        times = [
            1 - own * (1 - width / group.num_units) * random.uniform(0.5, 1.3) for width in widths
        ]
        last = (group.num_units, 1.0)
        steps[group.name] = (*zip(widths, times, strict=True), last)
    return LatencyTable(model.digest, "onnxruntime", 1, 1, 10.0, steps)


def _layer(name: str, shape: tuple[int, ...], places: int) -> LayerInfo:
    weights = int(np.prod(shape))
    return LayerInfo(
        name, "Conv2d", f"{name}.weight", shape, weights, weights + 3 * shape[0], 0,
        weights * places, True,
    )  # fmt: skip
