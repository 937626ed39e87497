"""The values that the store hands out: frozen, plain, free of torch and of the database."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from workbench.plan import PruningPlan


@dataclass(frozen=True)
class ModelRef:
    """Where a model comes from, so that it can be rebuilt in another process or on another day.

    Exactly one of ``sample``, ``factory`` and ``tensors`` names the source.

    Attributes:
        name: What a page shows; for an upload the file's name.
        sample: Name of a sample model, or empty.
        factory: ``package.module:callable`` given on the command line, or empty.
        tensors: Digest of an uploaded model's weights in the store, or empty.
        architecture: Family that an upload's weights belong to.
        arguments: What that family is built with; plain JSON.
        input_shape: ``(channels, height, width)`` of an upload, or None for the family's own.
    """

    name: str
    sample: str = ""
    factory: str = ""
    tensors: str = ""
    architecture: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict)
    input_shape: tuple[int, int, int] | None = None

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return {
            "name": self.name,
            "sample": self.sample,
            "factory": self.factory,
            "tensors": self.tensors,
            "architecture": self.architecture,
            "arguments": dict(self.arguments),
            "input_shape": list(self.input_shape) if self.input_shape else None,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "ModelRef":
        """Read back what ``to_dict`` wrote."""
        shape = values.get("input_shape")
        return cls(**{**values, "input_shape": tuple(shape) if shape else None})  # type: ignore[arg-type]


@dataclass(frozen=True)
class DataRef:
    """Where a data set comes from: a sample, or an upload kept in the store.

    Attributes:
        name: What a page shows.
        sample: Name of a sample data set, or empty.
        digest: Digest of an upload in the store, or empty.
    """

    name: str
    sample: str = ""
    digest: str = ""

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return {"name": self.name, "sample": self.sample, "digest": self.digest}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "DataRef":
        """Read back what ``to_dict`` wrote."""
        return cls(**values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Workspace:
    """One person's bench as it was last saved.

    Attributes:
        id: Unguessable; whoever has it has the workspace.
        created: Seconds since 1970.
        model_ref: The model on the bench, or None before one is chosen.
        data_ref: The data on the bench, or None before one is chosen.
        plan: The pruning plan, or None before there is one.
        settings: What the pages remember, by page or control; plain JSON.
        curves: Key of the sensitivity curves in use (see ``Store.load_curves``), or empty.
    """

    id: str
    created: float
    model_ref: ModelRef | None = None
    data_ref: DataRef | None = None
    plan: PruningPlan | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    curves: str = ""


@dataclass(frozen=True)
class StoredRun:
    """One attempt, as kept.

    Attributes:
        number: Counts attempts within the workspace from 1; never given twice.
        name: What a page shows.
        created: Seconds since 1970.
        record: The run itself (``workbench.experiment.Run.to_dict()``); plain JSON.
        weights: Stage name to the digest of its weights in the store.
        model_ref: The dense model the run began with.
        data_ref: The data it was measured on.
    """

    number: int
    name: str
    created: float
    record: Mapping[str, object]
    weights: Mapping[str, str]
    model_ref: ModelRef
    data_ref: DataRef


@dataclass(frozen=True)
class InterruptedJob:
    """Background work that ended because its server did.

    Attributes:
        kind: What it did, such as ``finetune``.
        title: What a page showed.
        started: Seconds since 1970.
    """

    kind: str
    title: str
    started: float
