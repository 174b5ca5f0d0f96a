"""Writes files that must be whole or absent, replace another only on purpose, seen by few."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from push_jobs_wire.errors import LocalError


class FileError(LocalError):
    """Raised when a file or folder cannot be used; the text names it."""


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file that did not exist; it appears at once with all its content, and is on disk.

    Raises FileError when there is one already or it cannot be written; nothing is left then.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            _write(draft, content, mode)
            # Unlike a rename, a link does not replace what is there.
            os.link(draft, path)
        finally:
            if draft.exists():
                draft.unlink()
        _sync_folder(path.parent)
    except FileExistsError:
        raise FileError(
            f"{path} exists already and was left as it is; choose another name"
        ) from None
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror}") from error


def write_over(path: Path, content: bytes) -> None:
    """Replace the content of a file at once; who owns it and may read it stays as it was.

    Raises FileError when it cannot be written; it is then as before.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            before = path.stat()
            _write(draft, content, stat.S_IMODE(before.st_mode))
            if os.geteuid() == 0:
                os.chown(draft, before.st_uid, before.st_gid)
            os.replace(draft, path)
        finally:
            if draft.exists():
                draft.unlink()
        _sync_folder(path.parent)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror}") from error


def _write(path: Path, content: bytes, mode: int) -> None:
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> bytes:
    """Return the content of a file; raises FileError that names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
