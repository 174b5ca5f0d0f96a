"""A lab: a network namespace with a switch, and the nodes on it.

This machine is .1 on the switch; whoever is to talk to nodes runs inside the namespace. Nothing
leads out of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List, Sequence

from lab.commands import LabError, Word, run, succeeds
from lab.node import Node

_NETWORK = "10.77.0"
_FIRST = 101


class Lab:
    """A lab that may outlive the process that made it.

    Args:
        name: of the namespace; unique on this machine.
        folder: for what the nodes write; made when it is missing.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder

    @property
    def gateway(self) -> str:
        """The address of this machine."""
        return f"{_NETWORK}.1"

    def up(self) -> None:
        """Make the namespace and its switch, unless they are there."""
        if os.geteuid():
            raise LabError("nodes that boot a real systemd need root")
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if succeeds(["ip", "netns", "exec", self.name, "true"]):
                return
            run(["ip", "netns", "add", self.name])
            self._ip("link", "set", "lo", "up")
            self._ip(*"link add br0 type bridge stp_state 0 forward_delay 0".split())
            self._ip("addr", "add", f"{self.gateway}/24", "dev", "br0")
            self._ip("link", "set", "br0", "up")
            self._make_key()

    def down(self) -> None:
        """Remove all nodes and the namespace."""
        for node in self.nodes():
            node.remove()
        succeeds(["ip", "netns", "del", self.name])
        shutil.rmtree(self.folder, ignore_errors=True)

    def nodes(self) -> List[Node]:
        """The nodes that have been made and not been removed."""
        folder = self.folder / "nodes"
        return [self.node(path.name) for path in sorted(folder.glob("*"))]

    def node(self, name: str) -> Node:
        """A node of this lab, whether it is there or not."""
        port = "v" + hashlib.sha256(f"{self.name}/{name}".encode()).hexdigest()[:12]
        return Node(name, self.folder / "nodes" / name, self.name, port)

    def add(self, name: str, layers: Sequence[Path], address: str = "") -> Node:
        """Make a node that is not booted yet, on top of images, the lowest one last.

        ``address`` is a free one when it is not given.
        """
        node = self.node(name)
        with self._locked():
            taken = {each.address for each in self.nodes()}
            free = (f"{_NETWORK}.{number}" for number in range(_FIRST, 250))
            node.make(address or next(each for each in free if each not in taken), layers)
        node.write("/root/.ssh/authorized_keys", (self.folder / "key.pub").read_text(), 0o600)
        (node.upper / "root/.ssh").chmod(0o700)
        (node.upper / "root").chmod(0o700)
        return node

    def inside(self, words: Sequence[Word]) -> List[Word]:
        """A command line as it has to be to reach the nodes."""
        return ["nsenter", f"--net=/run/netns/{self.name}", "--", *words]

    def _ip(self, *words: str) -> None:
        run(["ip", "-n", self.name, *words])

    def _make_key(self) -> None:
        if not (self.folder / "key").exists():
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / "key"])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self.folder / "lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
