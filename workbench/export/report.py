"""The report of an export: every number about it, as plain values."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from workbench import __version__
from workbench.accounting import BYTES_PER_PARAM, size_with_zeros
from workbench.data import Data
from workbench.export.exported import ExportedFile, FileCheck
from workbench.export.folder import KIND
from workbench.export.source import takes_pixels
from workbench.layers import Inspection
from workbench.model import Model
from workbench.plan import PruningPlan

if TYPE_CHECKING:
    from workbench.experiment import Run

SCHEMA = 1
ON_ZEROS = (
    "The pruned weights are zeros inside tensors of unchanged shape. Engines for dense networks "
    "multiply them like any other number: expect the latency of the dense model there. The gain "
    "is in storage, once the file is compressed, and in engines made for sparse weights. "
    "Theoretical speedup counts multiplications with non-zero weights; it is not a measurement."
)
ON_CHANNELS = (
    "Whole channels, neurons or heads were removed: the tensors themselves are smaller, so every "
    "engine stores and computes less, without knowing of pruning. How much faster that is depends "
    "on the engine and the machine: theoretical speedup counts multiplications."
)


@dataclass(frozen=True, eq=False)
class Facts:
    """What a report is made from.

    Attributes:
        model: The exported model.
        inspection: Its layers.
        before: Layers of the network that channels were removed from; None where none were.
        data: The data it was compared on; None where random images had to do.
        plan: What was pruned; None where the model was exported as it came.
        run: The measured stages that led to it; None where there are none.
        files: The files written before the report.
        checks: Their comparison with the model in memory.
        notes: What else a reader should know.
        tolerance: Largest difference that is let through.
        zipped_weights_bytes: The weights file compressed by zip; None where it was not written.
    """

    model: Model
    inspection: Inspection
    before: Inspection | None
    data: Data | None
    plan: PruningPlan | None
    run: "Run | None"
    files: Sequence[ExportedFile]
    checks: Sequence[FileCheck]
    notes: Sequence[str]
    tolerance: float
    zipped_weights_bytes: int | None


def make_report(facts: Facts) -> dict[str, object]:
    """All numbers of an export, ready for JSON."""
    model, plan, run = facts.model, facts.plan, facts.run
    return {
        "kind": KIND,
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "model": {
            "name": model.name,
            "digest": model.digest,
            "architecture": model.architecture,
            "arguments": dict(model.arguments),
            "input_shape": list(model.input_shape),
            "num_classes": model.num_classes,
        },
        "data": _describe(facts.data),
        "plan": plan.to_dict() if plan else None,
        "plan_digest": plan.digest if plan else None,
        "seed": plan.seed if plan else None,
        "size": model_size(facts.inspection, facts.before),
        "stages": _stages(run),
        "run": run.to_dict() if run else None,
        "layers": _layers(facts.inspection, facts.before),
        "checks": [asdict(check) for check in facts.checks],
        "max_abs_diff": max((check.max_abs_diff for check in facts.checks), default=0.0),
        "tolerance": facts.tolerance,
        "files": [asdict(file) for file in facts.files],
        "zipped_weights_bytes": facts.zipped_weights_bytes,
        "notes": list(facts.notes),
    }


def model_size(inspection: Inspection, before: Inspection | None = None) -> dict[str, float]:
    """Parameters, MACs and bytes of a model beside those of the network before pruning.

    Args:
        inspection: The model; zeros count as pruned.
        before: The network that channels were removed from; None where none were.
    """
    zeros = {row.layer_name: row.num_zeros for row in inspection.prunable}
    size = size_with_zeros(inspection, zeros)
    dense = before or inspection
    compared = replace(
        size, num_params=dense.num_params, dense_macs=dense.macs,
        dense_bytes=BYTES_PER_PARAM * dense.num_params,
    )  # fmt: skip
    return compared.to_dict() | {
        "num_params": inspection.num_params, "dense_num_params": dense.num_params,
    }  # fmt: skip


def _versions() -> dict[str, str]:
    found = {
        "workbench": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    for package in ("torch", "onnx", "onnxruntime", "onnxscript", "safetensors", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _describe(data: Data | None) -> dict[str, object] | None:
    if data is None:
        return None
    values = dict(data.describe()) | {"pixels": takes_pixels(data)}
    if takes_pixels(data):
        values |= {"mean": list(data.mean), "std": list(data.std)}
    return values


def _stages(run: "Run | None") -> list[dict[str, object]]:
    if run is None:
        return []
    return [
        {"stage": stage.name, "seconds": stage.seconds, **stage.measurement.to_dict()}
        for stage in run.stages
    ]


def _layers(inspection: Inspection, before: Inspection | None) -> list[dict[str, object]]:
    """A row for each layer: its own values, its sparsity and its shape before pruning."""
    shapes = {row.layer_name: row.shape for row in (before or inspection).layers}
    return [
        row.to_dict()
        | {
            "sparsity": row.num_zeros / row.num_weights if row.num_weights else 0.0,
            "dense_shape": list(shapes.get(row.layer_name, row.shape)),
        }
        for row in inspection.layers
    ]
