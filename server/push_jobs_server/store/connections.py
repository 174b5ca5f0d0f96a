"""Connections to the database: how they are opened, set up, and what they promise.

Readers see one snapshot for as long as they look. There is one connection for writing, and a
transaction on it has the right to write from its first statement on.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import Any, Dict, Iterator

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import QueuePool

from push_jobs_server.store.errors import StoreError, translated

_listen: Any = event.listen  # without types in SQLAlchemy 1.4

LOCK_TIMEOUT = 5.0
"""Seconds to wait for a lock that another process holds (an administrator's command, a backup)."""

_CONNECT_TIMEOUT = 5
_READERS = 16


class Connections:
    """All connections to one database.

    Args:
        url: ``sqlite:////absolute/path`` or ``postgresql://user@host/name``.

    Raises StoreError when the URL can't be used; connecting itself comes later.
    """

    def __init__(self, url: str) -> None:
        self._url = parse(url)
        self.dialect = self._url.get_backend_name()
        self.name = _name(self._url)
        self._readers = self._engine("read", _READERS)
        self._writers = self._engine("write", 1)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that only reads; all its queries see the same state."""
        with translated(self.name), self._readers.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: committed at the end of the block, undone when it raises."""
        with translated(self.name), self._writers.begin() as connection:
            yield connection

    def make_file(self) -> None:
        """Make an empty SQLite file, for its owner's eyes only: it will hold session keys."""
        path = self._url.database
        if self.dialect == "sqlite" and path:
            try:
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            except OSError as error:
                raise StoreError(f"can't make the database {path}: {error.strerror}") from error

    def file_missing(self) -> bool:
        """True when the SQLite file isn't there; connecting would make an empty one."""
        return self.dialect == "sqlite" and not os.path.exists(str(self._url.database))

    def close(self) -> None:
        """Close what is not in use; connections in use are closed when they come back."""
        self._readers.dispose()
        self._writers.dispose()

    def _engine(self, purpose: str, size: int) -> Engine:
        options: Dict[str, Any] = {"poolclass": QueuePool, "pool_size": size, "max_overflow": 0}
        if self.dialect == "sqlite":
            options["connect_args"] = {"check_same_thread": False, "timeout": LOCK_TIMEOUT}
        else:
            options.update(_POSTGRESQL)
            if purpose == "read":
                options["isolation_level"] = "REPEATABLE READ"
        try:
            # hide_parameters: session keys must not get into a log with a traceback.
            engine: Engine = create_engine(self._url, future=True, hide_parameters=True, **options)
        except (ImportError, NoSuchModuleError) as error:
            raise StoreError(
                f"no driver for {self.name}: {error}; for PostgreSQL {_DRIVER}"
            ) from None
        _SETUP[self.dialect](engine, purpose)
        return engine


_DRIVER = "install python3-psycopg2 (Debian) or push-jobs-server[postgresql] (pip)"
_POSTGRESQL: Dict[str, Any] = {
    # After a restart of PostgreSQL the pool replaces its dead connections unnoticed.
    "pool_pre_ping": True,
    # Many updates in one round trip.
    "executemany_mode": "values_plus_batch",
    "connect_args": {
        "connect_timeout": _CONNECT_TIMEOUT,
        # A server that vanished without a word is noticed within half a minute.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30000,
    },
}


def parse(url: str) -> URL:
    """The URL of a database that we support; raises StoreError otherwise."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(f"this is not the URL of a database; {_EXAMPLES}") from None
    if parsed.get_backend_name() not in _SETUP:
        raise StoreError(f"{parsed.get_backend_name()} databases are not supported; {_EXAMPLES}")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StoreError(f"an SQLite database needs a file; {_EXAMPLES}")
    return parsed


_EXAMPLES = "use sqlite:////var/lib/push-jobs/push-jobs.db or postgresql://user@host/name"


def _name(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.render_as_string(hide_password=True)


def _set_up_sqlite(engine: Engine, purpose: str) -> None:
    def connect(driver: Any, _record: Any) -> None:
        # The driver's own transactions begin late and only sometimes; ours begin where we say.
        driver.isolation_level = None
        for pragma in _PRAGMAS[purpose]:
            driver.execute(f"PRAGMA {pragma}")

    begin = "BEGIN IMMEDIATE" if purpose == "write" else "BEGIN"

    def begin_transaction(connection: Connection) -> None:
        # IMMEDIATE waits for the lock here. A transaction that reads first and writes later would
        # fail at once instead when another process has written in between.
        # The layer above would take ten times as long for it.
        driver: Any = connection.connection
        try:
            driver.execute(begin)
        except sqlite3.Error as error:  # another process holds the lock, the disk is broken
            raise OperationalError(begin, None, error) from error

    _listen(engine, "connect", connect)
    _listen(engine, "begin", begin_transaction)


_PRAGMAS = {
    # Each of many readers would keep 2 MB of pages; the system keeps the same ones.
    "read": ["query_only = ON", "cache_size = -256"],
    "write": [
        # Readers go on while the writer commits.
        "journal_mode = WAL",
        # A commit is on the disk when it returns. With NORMAL, WAL syncs only at checkpoints, and
        # a power cut would take back jobs and results that were answered and confirmed.
        "synchronous = FULL",
        "foreign_keys = ON",
        # Values of variables and files of a job that was purged are not left in free pages.
        "secure_delete = ON",
    ],
}


def _set_up_postgresql(engine: Engine, _purpose: str) -> None:
    def connect(driver: Any, _record: Any) -> None:
        with driver.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {int(LOCK_TIMEOUT * 1000)}")
        driver.commit()

    _listen(engine, "connect", connect)


_SETUP = {"sqlite": _set_up_sqlite, "postgresql": _set_up_postgresql}
