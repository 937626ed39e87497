"""What the workbench remembers: workspaces, runs, tensors and uploaded data, in one folder."""

from workbench.store.records import DataRef, InterruptedJob, ModelRef, StoredRun, Workspace
from workbench.store.store import Store

__all__ = ["DataRef", "InterruptedJob", "ModelRef", "Store", "StoredRun", "Workspace"]
