"""Sparse training: zeros that training makes, by penalties or by a cut that grows meanwhile."""

from workbench.sparse_training.kinds import KINDS, SparseMethod
from workbench.sparse_training.registry import (
    SCHEDULES,
    SPARSE_METHODS,
    all_methods,
    get_sparse_method,
)
from workbench.sparse_training.settings import SparseTrainingSettings

__all__ = [
    "KINDS",
    "SCHEDULES",
    "SPARSE_METHODS",
    "SparseMethod",
    "SparseTrainingSettings",
    "all_methods",
    "get_sparse_method",
]
