"""Labs of tests: nodes that boot a real systemd, on a switch that a test has for itself.

A lab lies in the cache, by the id of the process that made it. So the next test to make one can
remove those of processes that were killed.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from build_cache import place
from gems import gem_set
from lab.network import Lab
from lab.node import Node
from peer import Missing, installed, skip

_PROGRAMS = {
    "/usr/bin/systemd-nspawn": "systemd-container",
    "/usr/bin/mmdebstrap": "mmdebstrap",
    "/usr/bin/dh": "debhelper",
}


def need_nodes(*gem_sets: str) -> None:
    """Skip the test where there can be no nodes, or none with these Ruby programs."""
    try:
        if os.geteuid():
            raise Missing("nodes that boot a real systemd need root")
        for program, package in _PROGRAMS.items():
            installed(program, package)
        for name in gem_sets:
            gem_set(name)
    except Missing as reason:
        skip(reason)


@contextmanager
def new_lab(word: str, *gem_sets: str) -> Iterator[Lab]:
    """A lab that is removed in the end; skips the test where there can be none.

    Args:
        word: letters, what the lab is for.
        gem_sets: Ruby programs that its nodes will need.
    """
    need_nodes(*gem_sets)
    _remove_leftovers()
    made = _lab(_labs() / f"{word}-{os.getpid()}")
    try:
        made.up()
        yield made
    finally:
        made.down()


def main_pid(node: Node, unit: str) -> str:
    """The main process of a service of a node."""
    return node.run("systemctl", "show", "-p", "MainPID", "--value", unit).strip()


def _labs() -> Path:
    return place("labs")


def _lab(folder: Path) -> Lab:
    return Lab(f"push-jobs-{folder.name}", folder)


def _remove_leftovers() -> None:
    _labs().mkdir(parents=True, exist_ok=True)
    with open(_labs() / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for folder in _labs().glob("*-*"):
            if not Path("/proc", folder.name.rpartition("-")[2]).exists():
                _lab(folder).down()
