"""What is known of jobs over Serf, on the disk: one file for each run, and what was accepted.

``FOLDER/runs/JOBID.json`` is the journal, ``FOLDER/accepted`` has a line for each command that was
accepted, ``FOLDER/sha256`` names the keys that have signed with SHA-256, too. A file that cannot be
understood is named in the log and left alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, Iterator, List, Mapping, Tuple

from push_jobs_agent.accepted import REMEMBERED, Accepted, Entry
from push_jobs_agent.errors import AgentError
from push_jobs_agent.logs import log
from push_jobs_agent.runner import job_ids
from push_jobs_agent.serf_run import Run
from push_jobs_wire.errors import PushJobsError

_ENDING = ".json"


class SerfStore:
    """The folder of the end over Serf. Makes it.

    Args:
        folder: where it is, or shall be.

    Raises AgentError when that is not possible.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._runs = os.path.join(folder, "runs")
        self._accepted = os.path.join(folder, "accepted")
        self._keys = os.path.join(folder, "sha256")
        self._lines = 0
        self._torn = False
        self._unsynced = False
        try:
            os.makedirs(self._runs, mode=0o700, exist_ok=True)
            os.chmod(folder, 0o700)
        except OSError as error:
            text = f"the folder {folder} cannot be made: {error.strerror} (setting serf_state_dir)"
            raise AgentError(text) from None

    # Runs

    def runs(self, node: str) -> List[Run]:
        """The runs of earlier lives on the node of this name."""
        return list(self._read_runs(node))

    def _read_runs(self, node: str) -> Iterator[Run]:
        for name in sorted(os.listdir(self._runs)):
            job_id = name[: -len(_ENDING)]
            if not name.endswith(_ENDING) or not job_ids.is_usable(job_id):
                continue
            path = os.path.join(self._runs, name)
            try:
                with open(path, "rb") as file:
                    yield Run.restored(job_id, node, json.load(file))
            except (OSError, ValueError, KeyError, TypeError, AttributeError, PushJobsError):
                log("error", "what was written down of a run is not understood", {"file": path})

    def keep(self, job_id: str, record: Mapping[str, Any], durable: bool) -> None:
        """Write down a run; ``durable``: it is on the disk itself when this returns.

        Raises OSError.
        """
        path = os.path.join(self._runs, job_id + _ENDING)
        _write(path, json.dumps(record).encode("ascii"), durable)
        if durable:
            _sync(self._runs)

    def drop(self, job_id: str) -> None:
        """Forget a run. Raises OSError."""
        if self._unsynced:
            self._unsynced = False
            _sync(self._accepted)
        try:
            os.unlink(os.path.join(self._runs, job_id + _ENDING))
        except FileNotFoundError:
            pass

    # Accepted commands

    def accepted(self) -> Accepted:
        """The commands that were accepted in earlier lives."""
        try:
            with open(self._accepted, encoding="ascii", errors="replace") as file:
                text = file.read()
        except FileNotFoundError:
            text = ""
        except OSError as error:
            raise AgentError(f"{self._accepted} cannot be read: {error.strerror}") from None
        lines = text.splitlines()
        self._lines = len(lines)
        self._torn = bool(text) and not text.endswith("\n")
        return Accepted(_entries(lines))

    def remember(self, entry: Entry, known: Accepted, durable: bool) -> None:
        """Add a command to those that were accepted.

        ``durable``: it is on the disk itself when this returns; else before any run is dropped.
        Raises OSError.
        """
        self._lines += 1
        if self._lines > 2 * max(REMEMBERED, len(known)):
            _write(self._accepted, b"".join(map(_line, known)), durable=True)
            self._lines = len(known)
            self._torn = False
            return
        # A line that was cut off must not take the next one with it.
        line = (b"\n" if self._torn else b"") + _line(entry)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(self._accepted, flags, 0o600)
        try:
            self._torn = os.write(fd, line) != len(line)
            if durable:
                os.fsync(fd)
            self._unsynced = not durable
        finally:
            os.close(fd)

    # Keys

    def needs_256(self, key: Tuple[int, int]) -> bool:
        """True when this key has signed with SHA-256, too."""
        try:
            with open(self._keys, encoding="ascii", errors="replace") as file:
                return _name_of(key) in file.read().split()
        except OSError:
            return False

    def need_256(self, key: Tuple[int, int]) -> None:
        """This key has signed with SHA-256, too. Raises OSError."""
        with open(os.open(self._keys, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
            file.write(_name_of(key).encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _name_of(key: Tuple[int, int]) -> str:
    return hashlib.sha256(f"{key[0]:x} {key[1]:x}".encode("ascii")).hexdigest()


def _line(entry: Entry) -> bytes:
    when, action, job_id = entry
    return f"{when:.3f} {action} {job_id}\n".encode("ascii")


def _entries(lines: List[str]) -> Iterator[Entry]:
    """What the lines say; a last one that is cut off says nothing."""
    for line in lines:
        words = line.split(" ")
        if len(words) == 3 and job_ids.is_usable(words[2]):
            try:
                yield float(words[0]), words[1], words[2]
            except ValueError:
                continue


def _write(path: str, data: bytes, durable: bool) -> None:
    fresh = path + ".new"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.rename(fresh, path)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
