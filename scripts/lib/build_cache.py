"""What is made once and kept below ``$XDG_CACHE_HOME/push-jobs``, by what it is made from."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from pathlib import Path
from typing import Callable


def place(*names: str) -> Path:
    """A place in the cache; nothing is made."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base.joinpath("push-jobs", *names)


def kept(kind: str, name: str, made_from: bytes, make: Callable[[Path], None], most: int) -> Path:
    """A folder of the cache, made if need be by calling ``make`` with an empty one.

    Whoever else wants it meanwhile waits; one that could not be made whole is not kept.

    Args:
        kind: folder in the cache that it goes into.
        name: how its own name begins; an older one of that name may go.
        made_from: all that it depends on.
        most: how many of that name stay.
    """
    folder = place(kind, f"{name}-{hashlib.sha256(made_from).hexdigest()[:12]}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f"{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            growing = folder.with_name(folder.name + ".growing")
            shutil.rmtree(growing, ignore_errors=True)
            growing.mkdir()
            make(growing)
            growing.rename(folder)
            _forget_old(folder.parent, name, most)
    return folder


def _forget_old(parent: Path, name: str, most: int) -> None:
    folders = [path for path in parent.glob(f"{name}-*") if path.is_dir()]
    for old in sorted(folders, key=lambda path: path.stat().st_mtime)[:-most]:
        shutil.rmtree(old, ignore_errors=True)
