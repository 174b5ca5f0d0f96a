"""Labs of tests: nodes that boot a real systemd, on a switch that a test has for itself.

A lab lies in the cache, by the id of the process that made it. So the next test to make one can
remove those of processes that were killed.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

from gems import gem_set
from lab import image
from lab.network import Lab
from peer import Missing, installed, skip

_PROGRAMS = {
    "/usr/bin/systemd-nspawn": "systemd-container",
    "/usr/bin/mmdebstrap": "mmdebstrap",
    "/usr/bin/dh": "debhelper",
}
_PATIENCE = 60.0
"""Seconds; a node takes longer for everything than a process does."""


@contextmanager
def new_lab(word: str, *gem_sets: str) -> Iterator[Lab]:
    """A lab that is removed in the end; skips the test where there can be none.

    Args:
        word: letters, what the lab is for.
        gem_sets: Ruby programs that its nodes will need.
    """
    try:
        if os.geteuid():
            raise Missing("nodes that boot a real systemd need root")
        for program, package in _PROGRAMS.items():
            installed(program, package)
        for name in gem_sets:
            gem_set(name)
    except Missing as reason:
        skip(reason)
    _remove_leftovers()
    made = _lab(_labs() / f"{word}-{os.getpid()}")
    try:
        made.up()
        yield made
    finally:
        made.down()


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of ``condition``; fails after a while."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"waited {_PATIENCE} s in vain for {what}")


def _labs() -> Path:
    return image.cache().parent / "labs"


def _lab(folder: Path) -> Lab:
    return Lab(f"push-jobs-{folder.name}", folder)


def _remove_leftovers() -> None:
    _labs().mkdir(parents=True, exist_ok=True)
    with open(_labs() / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for folder in _labs().glob("*-*"):
            if not Path("/proc", folder.name.rpartition("-")[2]).exists():
                _lab(folder).down()
