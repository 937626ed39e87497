"""The store: everything that must survive a reload, a restart and a closed laptop."""

import contextlib
import json
import re
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from workbench.errors import StorageError
from workbench.plan import PruningPlan, digest_of_json
from workbench.store.database import Database
from workbench.store.files import make_folder, write_file
from workbench.store.ledger import JobLedger
from workbench.store.records import DataRef, ModelRef, StoredRun, Workspace
from workbench.store.tables import FileUseRow, RunRow, WorkspaceRow

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.data import Data

_ID = re.compile(r"[A-Za-z0-9_-]{22}\Z")
_DIGEST = re.compile(r"[0-9a-f]{16}\Z")
_SUFFIXES = {"tensors": ".safetensors", "data": ".npz"}
_ABANDONED_SECONDS = 24 * 3600.0


class Store:
    """Workspaces, runs, tensors and uploaded data in one folder.

    Safe with several threads and several processes at once. Two workspaces never see each
    other's runs; files with the same content are kept once and deleted with their last user.

    Args:
        folder: Holds ``workbench.db``, ``tensors/``, ``data/`` and ``curves/``; made if absent.

    Raises:
        StorageError: If the folder cannot be written, or the database is damaged or newer.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).expanduser().absolute()
        for part in (*_SUFFIXES, "curves"):
            make_folder(self.folder / part)
        self._database = Database(self.folder / "workbench.db")
        self.jobs = JobLedger(self._database, self.folder / "servers")

    @property
    def curves_folder(self) -> Path:
        """Where measured sensitivity points are kept, one file per key."""
        return self.folder / "curves"

    def close(self) -> None:
        """Close the database's connections."""
        self._database.close()

    # Workspaces

    def create_workspace(self) -> str:
        """Begin a workspace and return its unguessable id."""
        workspace_id = secrets.token_urlsafe(16)
        with self._database.write() as session:
            session.add(WorkspaceRow(id=workspace_id, created=time.time(), settings={}))
        return workspace_id

    def open_workspace(self, workspace_id: str) -> Workspace | None:
        """The workspace as last saved, or None where the id names none."""
        if not _ID.match(workspace_id):
            return None
        with self._database.read() as session:
            row = session.get(WorkspaceRow, workspace_id)
            return None if row is None else _workspace(row)

    def save_model_ref(
        self, workspace_id: str, model: ModelRef, tensors: "Mapping[str, Tensor] | None" = None
    ) -> ModelRef:
        """Put a model on the bench; another model than before clears plan and curves.

        Args:
            workspace_id: The workspace.
            model: The reference; an upload's ``tensors`` may still be empty.
            tensors: An upload's weights, saved with the reference.

        Returns:
            The reference as saved, with the digest of ``tensors``.
        """
        if tensors is not None:
            model = replace(model, tensors=self.save_tensors(tensors))
        with self._database.write() as session:
            if tensors is not None:
                self._save_again(model.tensors, tensors)
            row = _row(session, workspace_id)
            if row.model_ref != model.to_dict():
                row.model_ref, row.plan, row.curves = model.to_dict(), None, ""
                self._use(session, workspace_id, "tensors", model.tensors)
        return model

    def save_data_ref(
        self, workspace_id: str, data: DataRef, content: "Data | None" = None
    ) -> DataRef:
        """Put data on the bench; other data than before clears the curves.

        Args:
            workspace_id: The workspace.
            data: The reference; an upload's ``digest`` may still be empty.
            content: An upload's images and labels, saved with the reference.

        Returns:
            The reference as saved, with the digest of ``content``.
        """
        if content is not None:
            data = DataRef(name=data.name, digest=self.save_data(content))
        with self._database.write() as session:
            if content is not None and not self._path("data", data.digest).exists():
                self.save_data(content)
            row = _row(session, workspace_id)
            if row.data_ref != data.to_dict():
                row.data_ref, row.curves = data.to_dict(), ""
                self._use(session, workspace_id, "data", data.digest)
        return data

    def save_plan(self, workspace_id: str, plan: PruningPlan | None) -> None:
        """Keep the plan on the bench."""
        with self._database.write() as session:
            _row(session, workspace_id).plan = None if plan is None else plan.to_dict()

    def save_settings(self, workspace_id: str, settings: Mapping[str, object]) -> None:
        """Keep these settings; others stay as they are."""
        with self._database.write() as session:
            row = _row(session, workspace_id)
            row.settings = {**row.settings, **settings}

    def save_curves(self, workspace_id: str, curves: Mapping[str, object]) -> str:
        """Keep sensitivity curves and put them on the bench.

        Args:
            workspace_id: The workspace.
            curves: ``SensitivityCurves.to_dict()``; later ones of the same model, data and
                settings replace them.

        Returns:
            Their key, as in ``Workspace.curves``.
        """
        key = digest_of_json({name: curves[name] for name in ("model", "data", "settings")})
        text = json.dumps(dict(curves), separators=(",", ":")).encode()
        write_file(self._curves_path(key), lambda file: file.write(text))
        with self._database.write() as session:
            _row(session, workspace_id).curves = key
        return key

    def load_curves(self, key: str) -> dict[str, object] | None:
        """Curves as saved, or None where they are no longer there: measured points stay cached."""
        try:
            curves = json.loads(self._curves_path(_checked(key)).read_bytes())
        except (OSError, ValueError):
            return None
        return curves if isinstance(curves, dict) else None

    def _curves_path(self, key: str) -> Path:
        return self.curves_folder / f"{key}.json"

    # Runs

    def add_run(
        self,
        workspace_id: str,
        record: Mapping[str, object],
        *,
        model_ref: ModelRef,
        data_ref: DataRef,
        weights: "Mapping[str, Mapping[str, Tensor] | str]",
        name: str = "",
    ) -> StoredRun:
        """Keep an attempt with the weights of its stages.

        Args:
            workspace_id: The workspace.
            record: The run as plain JSON.
            model_ref: The dense model it began with.
            data_ref: The data it was measured on.
            weights: Stage name to that stage's state dict, or to the digest of weights that another
                run keeps; those are left out if it was deleted meanwhile.
            name: What a page shows; ``Run N`` if empty.

        Raises:
            StorageError: If the disk is full or the workspace is unknown; nothing is kept then.
        """
        own = {stage: held for stage, held in weights.items() if not isinstance(held, str)}
        digests = {
            stage: _checked(held) if isinstance(held, str) else self.save_tensors(held)
            for stage, held in weights.items()
        }
        with self._database.write() as session:
            for stage, tensors in own.items():
                self._save_again(digests[stage], tensors)
            digests = {
                stage: digest
                for stage, digest in digests.items()
                if self._path("tensors", digest).exists()
            }
            workspace = _row(session, workspace_id)
            workspace.last_run += 1
            row = RunRow(
                workspace_id=workspace_id,
                number=workspace.last_run,
                name=name or f"Run {workspace.last_run}",
                created=time.time(),
                record=dict(record),
                weights=dict(digests),
                model_ref=model_ref.to_dict(),
                data_ref=data_ref.to_dict(),
            )
            session.add(row)
            session.flush()
            for digest in {*digests.values(), model_ref.tensors} - {""}:
                session.add(_use_row(workspace_id, row.id, "tensors", digest))
            if data_ref.digest:
                session.add(_use_row(workspace_id, row.id, "data", data_ref.digest))
            return _run(row)

    def runs(self, workspace_id: str) -> tuple[StoredRun, ...]:
        """The workspace's runs, oldest first."""
        query = select(RunRow).filter_by(workspace_id=workspace_id).order_by(RunRow.number)
        with self._database.read() as session:
            return tuple(_run(row) for row in session.scalars(query))

    def run(self, workspace_id: str, number: int) -> StoredRun:
        """One run.

        Raises:
            StorageError: If the workspace has no run of that number.
        """
        with self._database.read() as session:
            return _run(_run_row(session, workspace_id, number))

    def rename_run(self, workspace_id: str, number: int, name: str) -> None:
        """Give a run another name; an empty one gives back ``Run N``."""
        with self._database.write() as session:
            row = _run_row(session, workspace_id, number)
            row.name = name.strip() or f"Run {number}"

    def delete_run(self, workspace_id: str, number: int) -> None:
        """Forget a run, with the files that nothing else needs."""
        with self._database.write() as session:
            row = _run_row(session, workspace_id, number)
            uses = session.scalars(select(FileUseRow).filter_by(run_id=row.id)).all()
            files = {(use.folder, use.digest) for use in uses}
            for use in uses:
                session.delete(use)
            session.flush()
            session.delete(row)
            self._delete_unused(session, files)

    # Files

    def save_tensors(self, tensors: "Mapping[str, Tensor]") -> str:
        """Keep tensors and return their digest; what nothing refers to is swept a day later."""
        from workbench.store.tensors import save_tensors

        return save_tensors(self.folder / "tensors", tensors)

    def load_tensors(self, digest: str) -> "dict[str, Tensor]":
        """Read tensors back.

        Raises:
            StorageError: If the file is missing or damaged.
        """
        from workbench.store.tensors import load_tensors

        return load_tensors(self.folder / "tensors", _checked(digest))

    def save_data(self, data: "Data") -> str:
        """Keep a data set and return its digest; what nothing refers to is swept a day later."""
        from workbench.store.tensors import save_data

        return save_data(self.folder / "data", data)

    def load_data(self, digest: str, name: str) -> "Data":
        """Read a data set back under a name.

        Raises:
            StorageError: If the file is missing or damaged.
        """
        from workbench.store.tensors import load_data

        return load_data(self.folder / "data", _checked(digest), name)

    def sweep(self) -> None:
        """Tidy up behind servers that ended; call it when one starts.

        Their jobs are marked as interrupted, and files older than a day that nothing refers to
        are deleted.
        """
        self.jobs.mark_interrupted()
        oldest = time.time() - _ABANDONED_SECONDS
        with self._database.write() as session:
            for folder, suffix in _SUFFIXES.items():
                for path in (self.folder / folder).iterdir():
                    if path.stat().st_mtime > oldest:
                        continue
                    if path.suffix == suffix:
                        self._delete_unused(session, {(folder, path.stem)})
                    elif path.suffix == ".part":
                        with contextlib.suppress(OSError):
                            path.unlink(missing_ok=True)

    def _save_again(self, digest: str, tensors: "Mapping[str, Tensor]") -> None:
        """Under the write lock: bring back what lost its last user since it was saved."""
        if not self._path("tensors", digest).exists():
            self.save_tensors(tensors)

    def _path(self, folder: str, digest: str) -> Path:
        return self.folder / folder / f"{digest}{_SUFFIXES[folder]}"

    def _use(self, session: Session, workspace_id: str, folder: str, digest: str) -> None:
        """The workspace itself now needs this file of the folder instead of its last one."""
        query = select(FileUseRow).filter_by(workspace_id=workspace_id, run_id=None, folder=folder)
        before = {(use.folder, use.digest) for use in session.scalars(query)}
        session.execute(
            delete(FileUseRow).filter_by(workspace_id=workspace_id, run_id=None, folder=folder)
        )
        if digest:
            session.add(_use_row(workspace_id, None, folder, digest))
        session.flush()
        self._delete_unused(session, before)

    def _delete_unused(self, session: Session, files: Collection[tuple[str, str]]) -> None:
        """Delete those files that no row refers to; the write lock keeps new users away."""
        for folder, digest in files:
            query = select(FileUseRow.id).filter_by(folder=folder, digest=digest).limit(1)
            if session.scalars(query).first() is None:
                with contextlib.suppress(OSError):  # still open elsewhere: the next sweep has it
                    self._path(folder, digest).unlink(missing_ok=True)


def _row(session: Session, workspace_id: str) -> WorkspaceRow:
    row = session.get(WorkspaceRow, workspace_id) if _ID.match(workspace_id) else None
    if row is None:
        raise StorageError("This address names no workspace here.", "Begin a new workspace.")
    return row


def _run_row(session: Session, workspace_id: str, number: int) -> RunRow:
    query = select(RunRow).filter_by(workspace_id=workspace_id, number=number)
    row = session.scalars(query).first()
    if row is None:
        raise StorageError(
            f"This workspace has no run {number}.", "It may have been deleted in another tab."
        )
    return row


def _use_row(workspace_id: str, run_id: int | None, folder: str, digest: str) -> FileUseRow:
    return FileUseRow(workspace_id=workspace_id, run_id=run_id, folder=folder, digest=digest)


def _workspace(row: WorkspaceRow) -> Workspace:
    return Workspace(
        id=row.id,
        created=row.created,
        model_ref=ModelRef.from_dict(row.model_ref) if row.model_ref else None,
        data_ref=DataRef.from_dict(row.data_ref) if row.data_ref else None,
        plan=PruningPlan.from_dict(row.plan) if row.plan else None,
        settings=dict(row.settings),
        curves=row.curves,
    )


def _run(row: RunRow) -> StoredRun:
    return StoredRun(
        number=row.number,
        name=row.name,
        created=row.created,
        record=dict(row.record),
        weights={stage: str(digest) for stage, digest in row.weights.items()},
        model_ref=ModelRef.from_dict(row.model_ref),
        data_ref=DataRef.from_dict(row.data_ref),
    )


def _checked(digest: str) -> str:
    """A digest names a file: nothing else may."""
    if not _DIGEST.match(digest):
        raise StorageError(f"{digest!r} names nothing in the store.", "Choose another one.")
    return digest
