"""Everything the workbench refuses, in one tree.

    WorkbenchError
    ├── LoadError          a model file, state dict or factory that cannot be used
    ├── DataError          a data set that cannot be read or does not fit the model
    ├── PlanError          a pruning plan that is malformed or names unknown layers
    │   └── SparsityError  a sparsity outside [0, 1)
    ├── SettingsError      a setting of a stage (learning rate, epochs, levels ...) out of range
    ├── ExportError        an export that failed or does not reproduce the model
    ├── StorageError       a folder that cannot be written, a full disk, a damaged store
    └── JobError           background work that could not start or ended unexpectedly

A message says what is true, with values; a hint says what to do next. Pages show the message as
headline and the hint as body; the command line prints both and exits with status 2.
"""


class WorkbenchError(Exception):
    """A request that the workbench refuses.

    Args:
        message: What is true, with values, as one sentence.
        hint: What to do next, as one sentence; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class LoadError(WorkbenchError):
    """A model file, state dict or factory that cannot be used."""


class DataError(WorkbenchError):
    """A data set that cannot be read or does not fit the model."""


class PlanError(WorkbenchError):
    """A pruning plan that is malformed or names unknown layers."""


class SparsityError(PlanError):
    """A sparsity outside [0, 1)."""


class SettingsError(WorkbenchError):
    """A setting of a stage that is out of range."""


class ExportError(WorkbenchError):
    """An export that failed or does not reproduce the model."""


class StorageError(WorkbenchError):
    """A folder that cannot be written, a full disk or a damaged store."""


class JobError(WorkbenchError):
    """Background work that could not start or ended unexpectedly."""
