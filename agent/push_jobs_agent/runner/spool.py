"""The spool: one folder per job, made so that each process finds what the other one left.

``STATE/spool/JOBID/`` holds ``request.json``, ``process.json`` once a process was made, the output
of both channels, and ``result.json`` once everything else is complete and on the disk. The runner
writes, the session reads. Only what this module made is ever removed. Runs nothing.
"""

from __future__ import annotations

import json
import os
import re

from push_jobs_agent.runner import job_ids
from push_jobs_agent.runner.errors import Refused, RunnerError
from push_jobs_agent.runner.output import read_channel, read_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

OUTPUT = re.compile(r"std(out|err)(\.[0-9]+)?")
OURS = re.compile(r"(request|process|result)\.json(\.new)?|" + OUTPUT.pattern)
RELEASED = ".released"
"""Ends the name of a folder that is being removed; no job id holds a dot."""

REMEMBERED = 1000
"""Released ids that are still refused."""


def read_output(state_dir: str, job_id: str) -> tuple[bytes, bytes]:
    """Both channels of an ended job, each with a mark where something was left out.

    Raises:
        RunnerError: when there is no such job.
    """
    folder = os.path.join(state_dir, "spool", check_job_id(job_id))
    if not os.path.isdir(folder):
        raise RunnerError(f"the spool holds no job {job_id}")
    try:
        return read_channel(f"{folder}/stdout"), read_channel(f"{folder}/stderr")
    except OSError as error:
        raise RunnerError(f"the output of job {job_id} cannot be read: {error.strerror}") from None


def read_output_part(
    state_dir: str, job_id: str, stream: str, offset: int, most: int
) -> tuple[int, bytes]:
    """Up to ``most`` bytes of a job's ``stdout`` or ``stderr``, and the offset of the first one.

    It is later than asked for when those bytes were left out, and the bytes are none at the end.

    Raises:
        RunnerError: when they cannot be read.
    """
    path = os.path.join(state_dir, "spool", check_job_id(job_id), stream)
    try:
        return read_part(path, offset, most)
    except OSError as error:
        raise RunnerError(f"the output of job {job_id} cannot be read: {error.strerror}") from None


def check_job_id(job_id: Any) -> str:
    """The id itself, when it can be the name of a folder. Raises Refused."""
    problem = job_ids.problem(job_id)
    if problem is not None:
        raise Refused(problem)
    return str(job_id)


class Spool:
    """The runner's hand on the spool. Makes the folder.

    Args:
        state_dir: an existing folder.
        readers: the group that may read output, and nothing else; None for nobody but us.

    Attributes:
        output_mode: of the files with output.
    """

    def __init__(self, state_dir: str, readers: Optional[int] = None) -> None:
        self._root = os.path.join(state_dir, "spool")
        self._gone: list[str] = []
        self._shared = readers is not None
        self.output_mode = 0o640 if self._shared else 0o600
        os.makedirs(self._root, mode=0o700, exist_ok=True)
        if readers is not None:
            os.chown(self._root, -1, readers)
            os.chmod(self._root, 0o2710)  # what is made in it belongs to that group, too
        for name in os.listdir(self._root):
            if name.endswith(RELEASED):
                _empty(os.path.join(self._root, name))

    def jobs(self) -> list[str]:
        """The ids of all jobs in the spool, in no order that means anything."""
        return sorted(name for name in os.listdir(self._root) if job_ids.is_usable(name))

    def folder(self, job_id: str) -> str:
        """Where a job's files are. Raises Refused for an id that is not usable."""
        return os.path.join(self._root, check_job_id(job_id))

    def create(self, job_id: str, request: dict[str, Any]) -> str:
        """Make the folder of a new job.

        Raises:
            Refused: when the id was seen before, or the disk does not take it.
        """
        folder = self.folder(job_id)
        self.check_new(job_id)
        try:
            os.mkdir(folder, 0o700)
            try:
                if self._shared:
                    os.chmod(folder, 0o2750)
                _write(f"{folder}/request.json", request)
            except OSError:
                self.discard(job_id)
                raise
        except FileExistsError:
            raise Refused(f"the job {job_id} was here before") from None
        except OSError as error:
            raise Refused(f"the spool cannot be written: {error.strerror}") from None
        return folder

    def check_new(self, job_id: str) -> None:
        """Raise Refused for an id that was seen before."""
        if job_id in self._gone or os.path.lexists(self.folder(job_id)):
            raise Refused(f"the job {job_id} was here before")

    def read(self, job_id: str, what: str) -> Optional[dict[str, Any]]:
        """``request``, ``process`` or ``result`` of a job; None when missing or not whole."""
        try:
            with open(f"{self.folder(job_id)}/{what}.json", "rb") as file:
                fields = json.load(file)
        except (OSError, ValueError):
            return None
        return fields if isinstance(fields, dict) else None

    def write_process(self, job_id: str, fields: dict[str, Any]) -> None:
        """Note the process of a job; this need not survive the machine, only the runner."""
        _write(f"{self.folder(job_id)}/process.json", fields)

    def write_result(self, job_id: str, fields: dict[str, Any]) -> None:
        """Note the end of a job; all of it is on the disk itself when this returns.

        Raises:
            OSError: when the disk does not take it; try again later.
        """
        folder = self.folder(job_id)
        for name in os.listdir(folder):
            if OUTPUT.fullmatch(name):
                _sync(os.path.join(folder, name))
        _write(f"{folder}/result.json.new", fields)
        _sync(f"{folder}/result.json.new")
        os.rename(f"{folder}/result.json.new", f"{folder}/result.json")
        _sync(folder)
        _sync(self._root)

    def discard(self, job_id: str) -> None:
        """Forget a job that was never started."""
        _empty(self.folder(job_id))

    def release(self, job_id: str) -> None:
        """Remove the folder of an ended job; an unknown one is gone already.

        Raises:
            RunnerError: when the job has not ended, or the folder cannot be removed.
        """
        folder = self.folder(job_id)
        if not os.path.isdir(folder):
            return
        if self.read(job_id, "result") is None:
            raise RunnerError(f"the job {job_id} has not ended")
        # One step that is seen or not seen after a crash; the rest is repeated by the next runner.
        os.rename(folder, folder + RELEASED)
        self._gone = [*self._gone[1 - REMEMBERED :], job_id]
        if not _empty(folder + RELEASED):
            raise RunnerError(
                f"{folder}{RELEASED} is left: it holds files that are not the spool's"
            )


def _empty(folder: str) -> bool:
    """Remove what this module made below ``folder``; False when something else is there."""
    for name in os.listdir(folder):
        if OURS.fullmatch(name):
            os.unlink(os.path.join(folder, name))
    if os.listdir(folder):
        return False
    os.rmdir(folder)
    return True


def _sync(path: str) -> None:
    """Return when a file or folder is on the disk itself; an empty file has nothing to wait for."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_size:
            os.fsync(fd)
    finally:
        os.close(fd)


def _write(path: str, fields: dict[str, Any]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "w", encoding="ascii") as file:
        file.write(json.dumps(fields))  # at once: piece by piece takes much longer
