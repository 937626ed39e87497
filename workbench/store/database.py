"""The SQLite file: opened, checked, and spoken to in short transactions."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine, event, inspect, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from workbench.errors import StorageError
from workbench.store.tables import SCHEMA, Base, SchemaRow

_BUSY_SECONDS = 15.0


class Database:
    """One SQLite file in WAL mode, safe for several threads and processes.

    Writers take the write lock when they begin, so that what they read stays true until they
    commit; readers never wait.

    Args:
        path: The file; created where there is none.

    Raises:
        StorageError: If it cannot be opened, is damaged, foreign, or of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)),
            connect_args={"timeout": _BUSY_SECONDS, "isolation_level": None},
        )
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", _begin)
        with self.write() as session:
            self._check_schema(session)

    def _check_schema(self, session: Session) -> None:
        """Create the tables in an empty file; refuse another program's or a newer one."""
        tables = set(inspect(session.connection()).get_table_names())
        if tables and SchemaRow.__tablename__ not in tables:
            raise StorageError(
                f"{self.path} is another program's database.",
                "Start the workbench with another data folder.",
            )
        if not tables:
            Base.metadata.create_all(session.connection())
            session.add(SchemaRow(version=SCHEMA))
            return
        version = session.scalars(select(SchemaRow.version)).first()
        if version is None or version > SCHEMA:
            raise StorageError(
                f"{self.path} was written by a newer workbench (schema {version}; "
                f"this one reads up to {SCHEMA}).",
                "Upgrade the workbench, or start it with another data folder.",
            )

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees one state of the file and changes nothing."""
        with self._translated(), Session(self._engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that holds the write lock from its start; all of it happens or nothing."""
        engine = self._engine.execution_options(writes=True)
        with self._translated(), Session(engine) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what the database driver raises into one sentence for a person."""
        try:
            yield
        except json.JSONDecodeError as error:
            raise self._damaged("a value is not readable") from error
        except DBAPIError as error:
            raise self._explained(str(error.orig)) from error
        except SQLAlchemyError as error:
            raise self._damaged(str(error).splitlines()[0]) from error

    def _explained(self, reason: str) -> StorageError:
        lower = reason.lower()
        if "full" in lower:
            return StorageError(
                f"The disk is full: {self.path} could not be saved.",
                "Free some space, or start the workbench with another data folder.",
            )
        if "readonly" in lower or "unable to open" in lower:
            return StorageError(
                f"{self.path} cannot be written: {reason}.",
                "Make the folder writable, or start the workbench with another data folder.",
            )
        if "i/o error" in lower:
            return StorageError(
                f"{self.path} cannot be read or written: {reason}.",
                "Check that the disk is there and has space, then try again.",
            )
        if "locked" in lower:
            return StorageError(
                f"{self.path} was busy for {_BUSY_SECONDS:.0f} seconds.",
                "Close other programs that use it, then try again.",
            )
        return self._damaged(reason)

    def _damaged(self, reason: str) -> StorageError:
        return StorageError(
            f"{self.path} is damaged: {reason}.",
            "Move the file away to begin a new one, or put a copy of it back.",
        )


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    """Set up a fresh connection: readers that never wait, references that are checked."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            break
        except sqlite3.OperationalError as error:  # two first openers: SQLite does not wait here
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    connection.execute("PRAGMA synchronous=NORMAL").close()
    connection.execute("PRAGMA foreign_keys=ON").close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
