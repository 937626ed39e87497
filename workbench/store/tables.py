"""The tables of ``workbench.db``."""

from sqlalchemy import JSON, ForeignKey, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA = 1
"""Version of the tables below; raised with every change to them."""

Json = dict[str, object]


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {Json: JSON(none_as_null=True)}  # noqa: RUF012


class SchemaRow(Base):
    """One row: the version of these tables."""

    __tablename__ = "schema_version"
    version: Mapped[int] = mapped_column(primary_key=True)


class WorkspaceRow(Base):
    """One workspace; its JSON columns are what ``records.Workspace`` holds."""

    __tablename__ = "workspaces"
    id: Mapped[str] = mapped_column(primary_key=True)
    created: Mapped[float]
    model_ref: Mapped[Json | None]
    data_ref: Mapped[Json | None]
    plan: Mapped[Json | None]
    settings: Mapped[Json]
    curves: Mapped[str] = mapped_column(default="")
    last_run: Mapped[int] = mapped_column(default=0)


class RunRow(Base):
    """One run; ``number`` counts within its workspace and is never used again."""

    __tablename__ = "runs"
    __table_args__ = (UniqueConstraint("workspace_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"), index=True)
    number: Mapped[int]
    name: Mapped[str]
    created: Mapped[float]
    record: Mapped[Json]
    weights: Mapped[Json]
    model_ref: Mapped[Json]
    data_ref: Mapped[Json]


class FileUseRow(Base):
    """One reason to keep a file: a workspace (``run_id`` is null) or a run needs it."""

    __tablename__ = "file_uses"
    id: Mapped[int] = mapped_column(primary_key=True)
    folder: Mapped[str]
    digest: Mapped[str] = mapped_column(index=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"), index=True)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"), index=True)


class JobRow(Base):
    """One job that is queued or running, or that its server left behind (``interrupted``)."""

    __tablename__ = "active_jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    title: Mapped[str]
    started: Mapped[float]
    server: Mapped[str]
    interrupted: Mapped[bool] = mapped_column(default=False)
