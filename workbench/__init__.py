"""Visual pruning of trained networks: look, measure, prune, repair, fine-tune, compare, export.

``import workbench as wb`` gives every step of the road as one function. Nothing heavy is imported
until a step is first asked for.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.accounting import PlanSize, size_of_plan
    from workbench.allocation import ALLOCATIONS, Budget, LatencyTable, allocate, parse_budget
    from workbench.arena import Arena, ArenaSettings, run_arena
    from workbench.catalogue import methods
    from workbench.class_metrics import ClassMetrics, compare_classes, measure_classes
    from workbench.compression import load_compressed
    from workbench.corruptions import CORRUPTIONS, corrupt
    from workbench.cost_trade_off import LearntTradeOff, learn_trade_off
    from workbench.criteria import CRITERIA
    from workbench.data import Data
    from workbench.device import choose_device
    from workbench.distributions import layer_histogram, weight_distributions
    from workbench.encodings import measure_encodings
    from workbench.ensembles import ENSEMBLES, Ensembles, EnsembleSettings, combine_models
    from workbench.errors import WorkbenchError
    from workbench.experiment import (
        Run,
        Stage,
        finetune_and_measure,
        prune_and_measure,
        run_experiment,
    )
    from workbench.export import export_model
    from workbench.finetune import FineTuned, FineTuneSettings, finetune
    from workbench.floor import FloorSearch, smallest_above_floor
    from workbench.freezing import freeze_plan, frozen_groups
    from workbench.granularity import Granularity, parse_granularity
    from workbench.groups import Group, Groups, find_groups
    from workbench.latency import Latency, measure_latency
    from workbench.latency_table import fit_latency, measure_latency_table
    from workbench.layers import Inspection, LayerInfo, inspect
    from workbench.loading import load_data, load_model, sample_data_names, sample_names
    from workbench.metrics import Measurement, Score, measure, score
    from workbench.model import Model, with_data
    from workbench.plan import PruningPlan
    from workbench.plan_file import read_plan, write_plan
    from workbench.progress import Progress
    from workbench.prune import Pruned, build_masks, preview, prune
    from workbench.refine import Refined, refine
    from workbench.repair import REPAIRS, Repaired, RepairStep, repair
    from workbench.replacement import REPLACEMENTS, ReplacementSettings, parse_replacement
    from workbench.replacing import Replaced, replace_weights
    from workbench.robustness import Robustness, RobustnessSettings, measure_robustness
    from workbench.saving import measure_saving
    from workbench.sensitivity import SensitivityCurves, SensitivitySettings, measure_sensitivity
    from workbench.sparse_training import SCHEDULES, SPARSE_METHODS, SparseTrainingSettings
    from workbench.sparse_training.measured import train_sparse_and_measure
    from workbench.sparse_training.running import SparseTrained, train_sparse
    from workbench.speedup import measure_speedup
    from workbench.stages import NetworkStage, find_stages
    from workbench.staircase import measure_staircase
    from workbench.trials import TrialSettings

__all__ = [
    "ALLOCATIONS",
    "CORRUPTIONS",
    "CRITERIA",
    "ENSEMBLES",
    "REPAIRS",
    "REPLACEMENTS",
    "SCHEDULES",
    "SPARSE_METHODS",
    "Arena",
    "ArenaSettings",
    "Budget",
    "ClassMetrics",
    "Data",
    "EnsembleSettings",
    "Ensembles",
    "FineTuneSettings",
    "FineTuned",
    "FloorSearch",
    "Granularity",
    "Group",
    "Groups",
    "Inspection",
    "Latency",
    "LatencyTable",
    "LayerInfo",
    "LearntTradeOff",
    "Measurement",
    "Model",
    "NetworkStage",
    "PlanSize",
    "Progress",
    "Pruned",
    "PruningPlan",
    "Refined",
    "RepairStep",
    "Repaired",
    "Replaced",
    "ReplacementSettings",
    "Robustness",
    "RobustnessSettings",
    "Run",
    "Score",
    "SensitivityCurves",
    "SensitivitySettings",
    "SparseTrained",
    "SparseTrainingSettings",
    "Stage",
    "TrialSettings",
    "WorkbenchError",
    "allocate",
    "build_masks",
    "choose_device",
    "combine_models",
    "compare_classes",
    "corrupt",
    "export_model",
    "find_groups",
    "find_stages",
    "finetune",
    "finetune_and_measure",
    "fit_latency",
    "freeze_plan",
    "frozen_groups",
    "inspect",
    "layer_histogram",
    "learn_trade_off",
    "load_compressed",
    "load_data",
    "load_model",
    "measure",
    "measure_classes",
    "measure_encodings",
    "measure_latency",
    "measure_latency_table",
    "measure_robustness",
    "measure_saving",
    "measure_sensitivity",
    "measure_speedup",
    "measure_staircase",
    "methods",
    "parse_budget",
    "parse_granularity",
    "parse_replacement",
    "preview",
    "prune",
    "prune_and_measure",
    "read_plan",
    "refine",
    "repair",
    "replace_weights",
    "run_arena",
    "run_experiment",
    "sample_data_names",
    "sample_names",
    "score",
    "size_of_plan",
    "smallest_above_floor",
    "train_sparse",
    "train_sparse_and_measure",
    "weight_distributions",
    "with_data",
    "write_plan",
]
__version__ = "0.1.0"

_HOMES = {
    "accounting": ("PlanSize", "size_of_plan"),
    "allocation": ("ALLOCATIONS", "Budget", "LatencyTable", "allocate", "parse_budget"),
    "arena": ("Arena", "ArenaSettings", "run_arena"),
    "catalogue": ("methods",),
    "class_metrics": ("ClassMetrics", "compare_classes", "measure_classes"),
    "compression": ("load_compressed",),
    "corruptions": ("CORRUPTIONS", "corrupt"),
    "cost_trade_off": ("LearntTradeOff", "learn_trade_off"),
    "criteria": ("CRITERIA",),
    "data": ("Data",),
    "device": ("choose_device",),
    "distributions": ("layer_histogram", "weight_distributions"),
    "encodings": ("measure_encodings",),
    "ensembles": ("ENSEMBLES", "Ensembles", "EnsembleSettings", "combine_models"),
    "errors": ("WorkbenchError",),
    "experiment": ("Run", "Stage", "finetune_and_measure", "prune_and_measure", "run_experiment"),
    "export": ("export_model",),
    "finetune": ("FineTuneSettings", "FineTuned", "finetune"),
    "floor": ("FloorSearch", "smallest_above_floor"),
    "freezing": ("freeze_plan", "frozen_groups"),
    "granularity": ("Granularity", "parse_granularity"),
    "groups": ("Group", "Groups", "find_groups"),
    "latency": ("Latency", "measure_latency"),
    "latency_table": ("fit_latency", "measure_latency_table"),
    "layers": ("Inspection", "LayerInfo", "inspect"),
    "loading": ("load_data", "load_model", "sample_data_names", "sample_names"),
    "metrics": ("Measurement", "Score", "measure", "score"),
    "model": ("Model", "with_data"),
    "plan": ("PruningPlan",),
    "plan_file": ("read_plan", "write_plan"),
    "progress": ("Progress",),
    "prune": ("Pruned", "build_masks", "preview", "prune"),
    "refine": ("Refined", "refine"),
    "repair": ("REPAIRS", "RepairStep", "Repaired", "repair"),
    "replacement": ("REPLACEMENTS", "ReplacementSettings", "parse_replacement"),
    "replacing": ("Replaced", "replace_weights"),
    "robustness": ("Robustness", "RobustnessSettings", "measure_robustness"),
    "saving": ("measure_saving",),
    "sensitivity": ("SensitivityCurves", "SensitivitySettings", "measure_sensitivity"),
    "sparse_training": ("SCHEDULES", "SPARSE_METHODS", "SparseTrainingSettings"),
    "sparse_training.measured": ("train_sparse_and_measure",),
    "sparse_training.running": ("SparseTrained", "train_sparse"),
    "speedup": ("measure_speedup",),
    "stages": ("NetworkStage", "find_stages"),
    "staircase": ("measure_staircase",),
    "trials": ("TrialSettings",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


class _Namespace(ModuleType):
    """The package as a module whose public names are imported when first asked for.

    Some functions are called like the module they live in. Python would put the submodule
    ``workbench.prune`` in the place of the function ``prune`` as soon as anything imports it;
    here the public name always means the function.
    """

    def __getattr__(self, name: str) -> object:
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        super().__setattr__(name, value)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        if name in _HOME_OF and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_HOME_OF})


sys.modules[__name__].__class__ = _Namespace
