"""Removes old job files: those that a dead runner left, and what jobs put beside theirs.

The folder of a job file belongs to the user that the job ran as, who may do with it what he likes
meanwhile. So everything is reached through descriptors, and no link is ever followed. Only folders
with the name of a job's are touched (operator-surfaces 2.5).
"""

from __future__ import annotations

import os
import time

from push_jobs_agent.runner import job_ids
from push_jobs_agent.runner.jobfile import FOLDER, FOLDER_ITSELF
from push_jobs_agent.runner.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Container

AGE = 86400.0
"""Seconds since the last change of a folder after which it goes."""

PERIOD = 3600.0
"""Seconds between two looks."""

SOON = 0.1
"""Seconds between two folders: jobs come first."""

DEEPEST = 64
"""Levels of folders below that of the file; what lies deeper stays."""


class Cleaner:
    """Looks after the folder for job files.

    Args:
        file_dir: may be missing.
        now: monotonic seconds; the first look is due then.
    """

    def __init__(self, file_dir: str, now: float) -> None:
        self._file_dir = file_dir
        self._old: list[str] = []
        self.next_call = now

    def tick(self, running: Container[str], now: float) -> None:
        """Do what is due: look, or remove one folder; jobs in ``running`` are left alone."""
        if now < self.next_call:
            return
        if self._old:
            self._remove(self._old.pop())
        else:
            self._old = self._find(running)
        self.next_call = now + (SOON if self._old else PERIOD)

    def _find(self, running: Container[str]) -> list[str]:
        try:
            names = os.listdir(self._file_dir)
        except OSError:
            return []
        before = time.time() - AGE
        return [
            name
            for name in sorted(names)
            if name.startswith(FOLDER)
            and job_ids.is_usable(name[len(FOLDER) :])
            and name[len(FOLDER) :] not in running
            and self._changed(name) < before
        ]

    def _changed(self, name: str) -> float:
        try:
            return os.lstat(os.path.join(self._file_dir, name)).st_mtime
        except OSError:
            return time.time()

    def _remove(self, name: str) -> None:
        try:
            parent = os.open(self._file_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                _remove_tree(name, parent, DEEPEST)
            finally:
                os.close(parent)
        except OSError as error:
            log(f"the old job file {name} cannot be removed: {error.strerror}")
        else:
            log(f"removed the old job file {name}")


def _remove_tree(name: str, parent: int, depth: int) -> None:
    """Remove a folder inside the folder ``parent``. Raises OSError."""
    folder = os.open(name, FOLDER_ITSELF, dir_fd=parent)
    try:
        for inner in os.listdir(folder):
            try:
                os.unlink(inner, dir_fd=folder)
            except (IsADirectoryError, PermissionError):
                if not depth:
                    raise
                _remove_tree(inner, folder, depth - 1)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)
