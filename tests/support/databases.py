"""Databases for tests: SQLite files, and a PostgreSQL of our own from Debian's package.

The server of PostgreSQL belongs to one process of the test run (pytest-xdist: one per worker), has
no network address and loses everything at the end. It must not be used for anything else.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

_PROGRAMS = Path("/usr/lib/postgresql/15/bin")
_DEADLINE = 60.0


class Missing(Exception):
    """Raised when PostgreSQL can't be started here; the text says why."""


def sqlite_url(folder: Path) -> str:
    """The URL of an SQLite database in a folder; nothing is made yet."""
    return f"sqlite:///{folder}/push-jobs.db"


class Postgres:
    """A running PostgreSQL 15. Raises Missing when something that it needs is not installed."""

    def __init__(self) -> None:
        if importlib.util.find_spec("psycopg2") is None:
            raise Missing("no psycopg2 (Debian: apt-get install python3-psycopg2)")
        if not (_PROGRAMS / "postgres").exists():
            raise Missing(
                f"no PostgreSQL 15 in {_PROGRAMS} (Debian: apt-get install postgresql-15)"
            )
        self._account = _account()
        self._server: "Optional[subprocess.Popen[bytes]]" = None
        # Not below pytest's folders: only their owner may enter those.
        self._folder = tempfile.mkdtemp(prefix="pg-")
        self._names = (f"test{number}" for number in itertools.count(1))
        try:
            self._start()
        except BaseException:
            self._stop(signal.SIGQUIT)
            shutil.rmtree(self._folder)
            raise

    def _start(self) -> None:
        os.chmod(self._folder, 0o700)
        if self._account:
            shutil.chown(self._folder, **self._account)
        # No syncing: these databases need not survive a power cut.
        make = ["initdb", "-D", f"{self._folder}/data", "-A", "trust", "-U", "tests", "-E", "UTF8"]
        made = self._run([*make, "--locale=C.UTF-8", "--no-sync"])
        if made.wait() != 0:
            raise RuntimeError(f"initdb failed: {self._log()}")
        self.restart()

    def restart(self) -> None:
        """Stop the server at once, as a crash does, and start it again."""
        with self.down():
            pass

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """The server has crashed, until the end of the block."""
        self._stop(signal.SIGQUIT)
        try:
            yield
        finally:
            self._run_server()

    def _run_server(self) -> None:
        options = ["-D", f"{self._folder}/data", "-k", self._folder]
        for option in ("listen_addresses=", "fsync=off", "full_page_writes=off"):
            options += ["-c", option]
        self._server = self._run(["postgres", *options])
        self._wait()

    def _run(self, command: List[str]) -> "subprocess.Popen[bytes]":
        with open(f"{self._folder}/log", "ab") as log:
            return subprocess.Popen(
                [str(_PROGRAMS / command[0]), *command[1:]],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in a terminal is for pytest, which then stops the server.
                start_new_session=True,
                **self._as_account(),
            )

    def _as_account(self) -> Dict[str, Any]:
        return {**self._account, "extra_groups": []} if self._account else {}

    def _log(self) -> str:
        return Path(f"{self._folder}/log").read_text(errors="replace")[-2000:]

    def _wait(self) -> None:
        import psycopg2

        deadline = time.monotonic() + _DEADLINE
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg2.OperationalError:
                ended = self._server is None or self._server.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL does not answer: {self._log()}") from None
                time.sleep(0.02)

    def execute(self, sql: str) -> None:
        """Run one statement as the administrator."""
        import psycopg2

        connection = psycopg2.connect(host=self._folder, user="tests", dbname="postgres")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
        finally:
            connection.close()

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a fresh, empty database, which goes at the end of the block."""
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield f"postgresql://tests@/{name}?host={self._folder}"
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self._stop(signal.SIGINT)
        shutil.rmtree(self._folder)

    def _stop(self, how: signal.Signals) -> None:
        if self._server is None:
            return
        self._server.send_signal(how)
        try:
            self._server.wait(_DEADLINE)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None


def _account() -> Dict[str, Any]:
    """Whom PostgreSQL runs as: it refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid}
    raise Missing("PostgreSQL does not run as root, and there is no user postgres or nobody")
