"""The file that a caller sends along with a job: decoding, storing, removing.

It lies alone in a folder that only the run-as user can enter. That user owns the folder and may do
with it what he likes while we are root, so it is only ever reached through its own descriptor.
"""

from __future__ import annotations

import binascii
import os
import re
import stat

from push_jobs_agent.runner.errors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

LARGEST = 100_000
"""Bytes after decoding (pushy-api 4.4)."""

BASE64 = re.compile("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

NAME = "job-file"
FOLDER = "push-job-"
FOLDER_ITSELF = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def decode(text: str) -> bytes:
    """The content of a job file written as ``raw:...`` or ``base64:...``. Raises Refused."""
    if text.startswith("raw:"):
        try:
            data = text[4:].encode()
        except UnicodeEncodeError:
            raise Refused("the job file is not valid text") from None
    elif text.startswith("base64:"):
        packed = "".join(text[7:].split())
        if not BASE64.fullmatch(packed):
            raise Refused("the job file is not valid base64")
        data = binascii.a2b_base64(packed)
    else:
        raise Refused("the job file has no valid prefix (expected raw: or base64:)")
    if len(data) > LARGEST:
        raise Refused(f"the job file has {len(data)} bytes, at most {LARGEST} are possible")
    return data


def path(file_dir: str, job_id: str) -> str:
    """Where the file of a job is."""
    return os.path.join(file_dir, FOLDER + job_id, NAME)


def store(file_dir: str, job_id: str, data: bytes, owner: Optional[tuple[int, int]]) -> str:
    """Write a job file; returns its path.

    Args:
        file_dir: an existing folder.
        owner: user and group id of the run-as user, None for our own.

    Raises:
        Refused: when it cannot be written, or ``file_dir`` cannot be trusted.
    """
    place = path(file_dir, job_id)
    folder = os.path.dirname(place)
    try:
        _check_parent(file_dir)
        os.mkdir(folder, 0o700)
        try:
            _fill(folder, data, owner)
        except OSError:
            remove(place)
            raise
    except OSError as error:
        raise Refused(f"the job file cannot be stored: {folder}: {error.strerror}") from None
    return place


def _check_parent(file_dir: str) -> None:
    facts = os.stat(file_dir)
    if facts.st_uid not in (0, os.geteuid()):
        raise Refused(f"the folder for job files, {file_dir}, belongs to somebody else")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not facts.st_mode & stat.S_ISVTX:
        raise Refused(f"the folder for job files, {file_dir}, can be written by others")


def _fill(folder: str, data: bytes, owner: Optional[tuple[int, int]]) -> None:
    directory = os.open(folder, FOLDER_ITSELF)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(NAME, flags, 0o600, dir_fd=directory), "wb") as file:
            file.write(data)
            if owner is not None:
                os.fchown(file.fileno(), *owner)
        if owner is not None:
            os.fchown(directory, *owner)
    finally:
        os.close(directory)


def remove(place: str) -> None:
    """Remove a job file and its folder; what a job put beside it stays, with the folder."""
    folder = os.path.dirname(place)
    try:
        directory = os.open(folder, FOLDER_ITSELF)
    except OSError:
        return
    try:
        os.unlink(NAME, dir_fd=directory)
    except OSError:
        pass
    finally:
        os.close(directory)
    try:
        os.rmdir(folder)
    except OSError:
        pass
