"""Other people's programs as processes of a test: started on a free port, stopped by process id."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Callable, List, Mapping, NoReturn, Optional

import pytest
from raw_server import PATIENCE
from waiting import wait_until

_SHOWN = 20_000
"""Characters of a log that a failed test shows."""

STARTED: "List[Peer]" = []
"""All peers that this process has started; what they logged is shown with a failed test."""


class Missing(Exception):
    """Raised when a peer can't be had here; the text says why and what to do."""


def skip(reason: Missing) -> NoReturn:
    """End a test that needs a missing peer: a failure in CI, elsewhere a skip."""
    if os.environ.get("CI"):
        pytest.fail(str(reason))
    pytest.skip(str(reason))


def installed(path: str, package: str) -> str:
    """The path of a program of Debian's. Raises Missing."""
    if not os.access(path, os.X_OK):
        raise Missing(f"no {path} (Debian: apt-get install {package}); scripts/test installs it")
    return path


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has just now; its taker may still come second."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Peer:
    """One program that serves a TCP port of its ``address``, which is 127.0.0.1 as a rule.

    Args:
        name: what to call it and its log.
        folder: an empty folder of its own, where it runs and logs.
        words: the command line for a port.
        environment: its variables; None passes ours on.
    """

    address = "127.0.0.1"

    def __init__(
        self,
        name: str,
        folder: Path,
        words: Callable[[int], List[str]],
        environment: Optional[Mapping[str, str]] = None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.log_file = folder / f"{name}.log"
        self.port = 0
        self._words = words
        self._environment = environment
        self._process: "Optional[subprocess.Popen[bytes]]" = None

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return not self._ended()

    def start(self) -> None:
        """Start it and wait until its port answers; another port is tried when it ends."""
        for _ in range(3):
            self.port = free_port()
            if self._starts():
                return
        raise AssertionError(f"{self.name} does not start:\n{self.log()}")

    def restart(self) -> None:
        """Start it again at its port after ``stop`` or ``kill``."""
        assert self._starts(), self.log()

    def _starts(self) -> bool:
        if self not in STARTED:
            STARTED.append(self)
        self._launch()
        try:
            wait_until(lambda: self._ended() or self._answers(), f"{self.name} to listen")
        except BaseException:
            self.stop()
            raise
        return not self._ended()

    def _launch(self) -> None:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._words(self.port),
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in a terminal is for pytest, which then stops it.
                start_new_session=True,
            )

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.address, self.port), 1).close()
        except OSError:
            return False
        return True

    def log(self, start: int = 0) -> str:
        """The end of its log, but not what is before the byte ``start``."""
        if not self.log_file.exists():
            return ""
        return self.log_file.read_bytes()[start:].decode("utf-8", "replace")[-_SHOWN:]

    def logged(self) -> int:
        """The bytes of its log so far."""
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def stop(self) -> None:
        """Stop it, by force if it does not listen."""
        if self._process is None or self._ended():
            return
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
