"""Which jobs a server had in hand, so that the next server can tell what was interrupted."""

import secrets
import threading
import time
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import delete, select

from workbench.store.database import Database
from workbench.store.files import make_folder
from workbench.store.records import InterruptedJob
from workbench.store.tables import JobRow


class JobLedger:
    """Rows for active jobs, each tied to its server by a lock file that the server holds.

    The system lets go of the lock when the server ends, however it ends; so another server (or
    the same one, started again) can tell jobs that still run from jobs that were cut off.

    Args:
        database: Where the rows are.
        folder: Where the lock files are; made when the first job is noted.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._naming = threading.Lock()
        self._server: tuple[str, FileLock] | None = None

    def begin(self, job_id: str, workspace_id: str, kind: str, title: str) -> None:
        """Note a job as active on this server."""
        row = JobRow(
            id=job_id,
            workspace_id=workspace_id,
            kind=kind,
            title=title,
            started=time.time(),
            server=self._own_server(),
        )
        with self._database.write() as session:
            session.add(row)

    def end(self, job_id: str) -> None:
        """Note that a job ended, well or badly, and was told so."""
        with self._database.write() as session:
            session.execute(delete(JobRow).filter_by(id=job_id))

    def mark_interrupted(self) -> int:
        """Mark the jobs whose server is gone, and clear the locks that such servers left.

        Returns:
            How many jobs were marked.
        """
        with self._database.write() as session:
            rows = session.scalars(select(JobRow).filter_by(interrupted=False)).all()
            servers = {row.server for row in rows} | {x.stem for x in self._folder.glob("*.lock")}
            gone = {server for server in servers if not self._alive(server)}
            for row in rows:
                row.interrupted = row.server in gone
            return sum(row.interrupted for row in rows)

    def take_interrupted(self, workspace_id: str) -> tuple[InterruptedJob, ...]:
        """The workspace's interrupted jobs, oldest first; each is told once."""
        query = (
            select(JobRow)
            .filter_by(workspace_id=workspace_id, interrupted=True)
            .order_by(JobRow.started)
        )
        with self._database.read() as session:
            if session.scalars(query.limit(1)).first() is None:
                return ()
        with self._database.write() as session:
            rows = session.scalars(query).all()
            for row in rows:
                session.delete(row)
            return tuple(InterruptedJob(row.kind, row.title, row.started) for row in rows)

    def _own_server(self) -> str:
        """This server's name; from the first call on a lock shows it alive."""
        with self._naming:
            if self._server is None:
                make_folder(self._folder)
                name = secrets.token_hex(8)
                lock = self._lock(name)
                lock.acquire()
                self._server = (name, lock)
            return self._server[0]

    def _lock(self, server: str) -> FileLock:
        return FileLock(self._folder / f"{server}.lock", thread_local=False)

    def _alive(self, server: str) -> bool:
        if self._server is not None and server == self._server[0]:
            return True
        path = self._folder / f"{server}.lock"
        if not path.exists():
            return False
        lock = self._lock(server)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return True
        lock.release()
        path.unlink(missing_ok=True)
        return False
