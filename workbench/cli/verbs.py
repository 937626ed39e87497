"""The verbs that look and measure: inspect, sensitivity, evaluate."""

import importlib
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import torch
from torch import Tensor

from workbench.class_metrics import measure_classes
from workbench.cli.app import add_current_folder
from workbench.cli.class_tables import classes_text
from workbench.cli.group_tables import groups_text
from workbench.cli.more_verbs import MORE_VERBS
from workbench.cli.output import check_json_target, percent, table, write_result
from workbench.cli.progress import ProgressLine
from workbench.curve_cache import JsonLinesCache
from workbench.curves import SensitivityCurves, SensitivitySettings, most_fragile
from workbench.data import Data
from workbench.device import choose_device
from workbench.distributions import LayerDistribution, weight_distributions
from workbench.errors import DataError
from workbench.evidence import Evidence
from workbench.groups import find_groups
from workbench.layers import LayerInfo, inspect
from workbench.loading import load_data, load_model
from workbench.loading.factory import names_factory
from workbench.loading.wording import shown
from workbench.metrics import Measurement, measure
from workbench.model import Model, check_fit
from workbench.ray_points import ray_points
from workbench.sensitivity import measure_sensitivity
from workbench.shared import describe_uses

Outcome = tuple[Mapping[str, object], str]
"""What a verb found: plain values for JSON, and a text for people."""


class UnfinishedError(Exception):
    """A verb failed after long work: carries what it had found, which is told all the same.

    Attributes:
        outcome: What was found before.
        error: What went wrong then.
    """

    def __init__(self, outcome: Outcome, error: BaseException) -> None:
        super().__init__(str(error))
        self.outcome = outcome
        self.error = error


def run_verb(arguments: Namespace) -> None:
    """Run the verb that was asked for and write what it found.

    Only the result goes to standard output: what a network or its factory prints goes to standard
    error, so that ``--json -`` is JSON and nothing else.

    Raises:
        WorkbenchError: If the request is refused.
    """
    check_json_target(arguments.json)
    try:
        with redirect_stdout(sys.stderr):
            values, text = _perform(arguments)
    except UnfinishedError as part:
        write_result(arguments.json, *part.outcome)
        raise part.error from None
    write_result(arguments.json, values, text)


def _perform(arguments: Namespace) -> Outcome:
    if arguments.verb in ("allocate", "arena", "prune", "export", *MORE_VERBS):
        module = importlib.import_module(f"workbench.cli.{arguments.verb}_verb")
        outcome: Outcome = getattr(module, arguments.verb)(arguments)
        return outcome
    return {
        "inspect": _inspect, "sensitivity": _sensitivity, "evaluate": _evaluate,
    }[arguments.verb](arguments)  # fmt: skip


def open_model(arguments: Namespace) -> Model:
    """The model that MODEL names; criteria may look at its data, opened when one does.

    Raises:
        LoadError: If it cannot be loaded.
    """
    if ":" in arguments.model:
        add_current_folder()
    model = load_model(
        arguments.model, architecture=arguments.architecture,
        input_shape=arguments.input_shape, allow_factory=True,
    )  # fmt: skip
    if getattr(arguments, "data", None) or model.data_name:
        return model.with_evidence(Evidence(lambda: open_data(arguments, model)))
    return model


def open_data(arguments: Namespace, model: Model) -> Data:
    """The data that ``--data`` names, or those the model was trained on.

    Raises:
        DataError: If they cannot be loaded, do not fit or are not known.
    """
    named = getattr(arguments, "data", None)
    told: Mapping[str, str] = model.card.get("trained_on", {})  # type: ignore[assignment]
    name, digest = told.get("name", ""), told.get("digest")
    if not named and not model.data_name:
        raise DataError(
            f"{model.name} was made with data called {shown(name)!r}, which are no sample."
            if name
            else f"{model.name} does not say what data it was trained on.",
            "Name them with --data: a sample (fashion-mnist, digits) or an .npz file.",
        )
    data = load_data(named or model.data_name)
    if not named and digest and digest != data.digest:
        raise DataError(
            f"{model.name} was made with other images than the sample {name} has.",
            "Name their .npz file with --data, or that sample if you want it.",
        )
    check_fit(model, data)
    return data


def describe(model: Model, data: Data | None = None) -> dict[str, object]:
    """Which model and data a result is about."""
    values: dict[str, object] = {"model": {"name": model.name, "digest": model.digest}}
    if data is not None:
        values["data"] = {"name": data.name, "digest": data.digest}
    return values


def _inspect(arguments: Namespace) -> Outcome:
    model = open_model(arguments)
    inspection = inspect(model)
    groups = find_groups(model, arguments.granularity, inspection)
    spread = weight_distributions(model)
    values = describe(model) | {
        "architecture": model.architecture,
        "input_shape": list(model.input_shape),
        "num_classes": model.num_classes,
        **inspection.to_dict(),
        "groups": [group.to_dict() for group in groups.groups],
        "distributions": [_distribution(entry) for entry in spread],
    }
    std = {entry.layer_name: entry.std for entry in spread}
    rows = [
        [
            layer.layer_name, layer.type, "x".join(map(str, layer.shape)), f"{layer.num_params:,}",
            f"{layer.macs:,}", percent(layer.num_zeros / max(1, layer.num_weights)),
            f"{std[layer.layer_name]:.4f}" if layer.layer_name in std else "",
            ("protected" if layer.protected else "yes") if layer.prunable else "no",
            _uses(layer),
        ]
        for layer in inspection.layers
    ]  # fmt: skip
    heads = ["layer", "type", "shape", "parameters", "MACs", "zeros", "std", "prunable", "used"]
    total = f"{model.name}: {inspection.num_params:,} parameters, {inspection.macs:,} MACs"
    return values, f"{table(heads, rows)}\n\n{groups_text(groups)}\n\n{total}"


def _uses(layer: LayerInfo) -> str:
    """Where a shared weight is used; nothing for others."""
    if layer.shares_with:
        return f"weight of {layer.shares_with}"
    return f"{len(layer.uses)} times: {describe_uses(layer.uses)}" if layer.shared else ""


def _distribution(entry: LayerDistribution) -> dict[str, object]:
    return {
        "layer_name": entry.layer_name,
        "mean": entry.mean,
        "std": entry.std,
        "excess_kurtosis": entry.excess_kurtosis,
        "minimum": entry.minimum,
        "maximum": entry.maximum,
        "quantiles": list(entry.quantiles),
        "num_zeros": entry.num_zeros,
        "log10_edges": [round(float(edge), 6) for edge in entry.log10_edges],
        "counts": [int(count) for count in entry.counts],
    }


def _sensitivity(arguments: Namespace) -> Outcome:
    settings = SensitivitySettings(
        levels=arguments.levels, num_samples=arguments.samples, criterion=arguments.criterion,
        repair=arguments.repair, granularity=arguments.granularity, seed=arguments.seed or 0,
        precision=arguments.precision, half_width=arguments.half_width,
    )  # fmt: skip
    device = choose_device(arguments.device)
    model = open_model(arguments)
    data = open_data(arguments, model)
    cache = JsonLinesCache(Path(arguments.cache)) if arguments.cache else None
    factory = arguments.model if names_factory(arguments.model) else ""
    source = ray_points(arguments.ray, factory=factory) if arguments.ray else None
    with ProgressLine() as line:
        line.start(f"Measuring the sensitivity of {model.name}")
        curves = measure_sensitivity(
            model, data, settings, cache=cache, source=source, device=device,
            freeze=arguments.freeze, report=line,
        )  # fmt: skip
    values = describe(model, data) | {
        key: value for key, value in curves.to_dict().items() if key not in ("model", "data")
    }
    return values, _curves_text(curves)


def _curves_text(curves: SensitivityCurves) -> str:
    levels = curves.settings.levels
    rows = []
    for group in curves.groups:
        by_level = {point.level: f"{100 * point.accuracy:.1f}" for point in curves.curve(group)}
        by_level |= {
            point.level: f"~{100 * point.accuracy:.1f}"
            for point in curves.interpolated
            if point.group == group
        }
        rows.append([group, *(by_level.get(level, "") for level in levels)])
    structured = curves.settings.granularity == "channel"
    what = "channel pruning ratio" if structured else "sparsity"
    heads = [f"accuracy, % at {what}", *(f"{level:g}" for level in levels)]
    lines = [table(heads, rows), ""]
    if curves.baseline:
        lines.append(
            f"Dense: {percent(curves.baseline.accuracy)} of {curves.baseline.samples:,} "
            f"validation images."
        )
    if curves.interpolated:
        lines.append("~ is interpolated between measured levels.")
    if curves.note:
        lines.append(f"The whole network was run for every point. {curves.note}")
    named = ", ".join(entry.group for entry in most_fragile(curves))
    return "\n".join([*lines, f"Most fragile: {named}."] if named else lines)


def _evaluate(arguments: Namespace) -> Outcome:
    device = choose_device(arguments.device)
    model = open_model(arguments)
    data = open_data(arguments, model)
    with ProgressLine() as line:
        line.start(f"Measuring {model.name} on the {arguments.split} split of {data.name}")
        outputs: list[Tensor] = []
        result = measure(
            model, data, split=arguments.split, num_samples=arguments.samples, device=device,
            outputs=outputs,
        )  # fmt: skip
    labels = data.split(arguments.split, arguments.samples).labels
    found = measure_classes(torch.cat(outputs), labels, data.class_names, arguments.split)
    values = describe(model, data) | result.to_dict() | {"class_names": list(data.class_names)}
    return values | found.summary(), (
        f"{measurements_table([('model', result)])}\n\n{classes_text(found)}"
    )


def measurements_table(stages: Sequence[tuple[str, Measurement]]) -> str:
    """One line for each measured stage."""
    heads = ["", "accuracy", "95 % interval", "loss", "non-zero", "MACs", "bytes", "latency, ms"]
    rows = []
    for name, m in stages:
        latency = "" if m.latency_ms is None else f"{m.latency_ms:.2f}"
        rows.append([
            name, percent(m.accuracy), f"{100 * m.ci_low:.2f} to {100 * m.ci_high:.2f}",
            f"{m.loss:.4f}", f"{m.num_nonzero:,}", f"{m.macs:,}", f"{m.bytes:,}", latency,
        ])  # fmt: skip
    return table(heads, rows)
