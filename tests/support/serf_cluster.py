"""Clusters of real Serf agents on this machine, each with an address of its own in 127.0.0.0/8.

Nothing of Shovey is known here.
"""

from __future__ import annotations

import errno
import json
import random
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from peer import Peer, installed
from waiting import PATIENCE, wait_until

PROGRAM = "/usr/bin/serf"
RPC_PORT = 7373
_GOSSIP_PORTS = (7946, 17946)
"""The second one is for machines where Debian's own agent has the first one on all addresses."""
_MOST_AGENTS = 250
_KEEPER = 254
"""Last number of the address whose RPC port a cluster holds, so that no other takes its network."""


class Told(NamedTuple):
    """How a command of serf ended and what it said."""

    code: int
    out: str
    err: str


class Replies(NamedTuple):
    """What came back to a query: who acknowledged it, and the responses by node."""

    acks: List[str]
    responses: Dict[str, str]


class SerfAgent(Peer):
    """One Serf agent; it keeps its name, addresses and log file over restarts.

    It is joined to one of the ``others`` whenever one of them runs at its start.

    Args:
        name: its name in the cluster.
        folder: an empty folder of its own.
        address: where it listens for gossip and for RPC.
        gossip_port: the port for gossip; RPC has Serf's own, 7373.
        others: tells the agents of its cluster that run.
        settings: keys of its configuration file, such as ``rpc_auth`` or ``query_size_limit``.

    Raises Missing where there is no Serf.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        address: str,
        gossip_port: int,
        others: "Callable[[], List[SerfAgent]]" = lambda: [],
        **settings: Any,
    ) -> None:
        program = installed(PROGRAM, "serf")
        self.address = address
        self.auth_key: Optional[str] = settings.get("rpc_auth")
        self.gossip_address = f"{address}:{gossip_port}"
        self.rpc_address = f"{address}:{RPC_PORT}"
        self._others = others
        self._joins = False
        self._settings = settings
        self._file = folder / "serf.json"
        super().__init__(name, folder, lambda _: [program, "agent", f"-config-file={self._file}"])

    def start(self) -> None:
        """Start it and wait until it answers and, unless it is the first one, sees another one."""
        self.port = RPC_PORT
        self._joins = False
        self.restart()

    def restart(self) -> None:
        """Start it again after ``stop`` or ``kill``, at its old addresses and under its name."""
        others = [each.gossip_address for each in self._others() if each is not self]
        self._joins = bool(others)
        own = {
            "node_name": self.name,
            "bind": self.gossip_address,
            "rpc_addr": self.rpc_address,
            "log_level": "debug",
            "start_join": others[:1],
        }
        self._file.write_text(json.dumps({**own, **self._settings}))
        super().restart()

    def _answers(self) -> bool:
        least = 2 if self._joins else 1
        return super()._answers() and len(self.alive()) >= least

    def serf(self, command: str, *words: str, auth_key: Optional[str] = None) -> Told:
        """Run a command of serf against this agent, with its own key if none is given."""
        key = self.auth_key if auth_key is None else auth_key
        options = [f"-rpc-addr={self.rpc_address}", *([f"-rpc-auth={key}"] if key else [])]
        done = subprocess.run(
            [PROGRAM, command, *options, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return Told(done.returncode, done.stdout, done.stderr)

    def members(self) -> Dict[str, str]:
        """Status by name of all members that it knows; none while it does not answer."""
        told = self.serf("members", "-format=json")
        if told.code:
            return {}
        return {each["name"]: each["status"] for each in json.loads(told.out)["members"]}

    def alive(self) -> List[str]:
        """The members that it takes for alive, itself among them."""
        return sorted(name for name, status in self.members().items() if status == "alive")

    def query(self, name: str, payload: str, *nodes: str, timeout: str = "1s") -> Replies:
        """Send a query, to these nodes or to all; returns when its ``timeout`` is over."""
        words = ["-format=json", f"-timeout={timeout}", *(f"-node={node}" for node in nodes)]
        told = self.serf("query", *words, name, payload)
        assert told.code == 0, told
        found = json.loads(told.out)
        # Now and then Serf makes up replies at the end, of nobody and without content.
        acks = sorted(node for node in found["Acks"] or () if node)
        responses = (found["Responses"] or {}).items()
        return Replies(acks, {node: text for node, text in responses if node})

    def event(self, name: str, payload: str) -> None:
        """Send a user event, which other events of its name do not replace."""
        told = self.serf("event", "-coalesce=false", name, payload)
        assert told.code == 0, told


class SerfCluster:
    """Agents that know each other; leaving the context kills them all.

    Args:
        folder: an empty folder of its own.
        profile: timing of the gossip; ``local`` is faster than Serf's own choice ``lan``.
        query_size_limit: bytes that a query may have; None leaves Serf's own, 1024.
        auth_key: what its agents want to be told on their RPC ports; goiardi can't tell any.

    Raises Missing where there is no Serf.
    """

    def __init__(
        self,
        folder: Path,
        profile: str = "lan",
        query_size_limit: Optional[int] = None,
        auth_key: Optional[str] = None,
    ) -> None:
        installed(PROGRAM, "serf")
        self.agents: List[SerfAgent] = []
        self._folder = folder
        self._settings: Dict[str, Any] = {"profile": profile}
        if query_size_limit is not None:
            self._settings["query_size_limit"] = query_size_limit
        if auth_key is not None:
            self._settings["rpc_auth"] = auth_key
        self._keeper, self._network = _free_network()
        self._gossip_port = _free_gossip_port(self._network)

    def __enter__(self) -> "SerfCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill all agents and give their addresses back."""
        for agent in self.agents:
            agent.kill()
        self._keeper.close()

    def add(self, name: str, **settings: Any) -> SerfAgent:
        """Start an agent and join it to those that run; ``settings`` go before the cluster's."""
        agent = self._new(name, **settings)
        agent.start()
        return agent

    def add_many(self, names: List[str], **settings: Any) -> List[SerfAgent]:
        """Start several agents: the first one of a cluster alone, then all others at once."""
        if not names:
            return []
        first = [] if self.running() else [self.add(names[0], **settings)]
        rest = [self._new(name, **settings) for name in names[len(first) :]]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(SerfAgent.start, rest))
        return [*first, *rest]

    def running(self) -> List[SerfAgent]:
        """The agents whose processes are there, in the order in which they were added."""
        return [agent for agent in self.agents if agent.running]

    def wait_members(self, count: int) -> None:
        """Wait until each running agent sees exactly this number of members alive."""
        wait_until(
            lambda: all(len(agent.alive()) == count for agent in self.running()),
            f"all agents to see {count} members",
            patience=60.0,
        )

    def _new(self, name: str, **settings: Any) -> SerfAgent:
        number = len(self.agents) + 1
        assert number <= _MOST_AGENTS, "no addresses are left"
        folder = self._folder / f"serf-{number}"
        folder.mkdir(parents=True)
        merged = {**self._settings, **settings}
        address = f"{self._network}.{number}"
        agent = SerfAgent(name, folder, address, self._gossip_port, self.running, **merged)
        self.agents.append(agent)
        return agent


def _free_network() -> "Tuple[socket.socket, str]":
    """The first three numbers of a network, and the socket that keeps it ours."""
    for _ in range(20):
        network = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}"
        keeper = _bound(f"{network}.{_KEEPER}", RPC_PORT)
        if keeper is not None:
            return keeper, network
    raise AssertionError(f"something listens at port {RPC_PORT} of all addresses")


def _free_gossip_port(network: str) -> int:
    """A port for gossip that nobody has in this network."""
    for port in _GOSSIP_PORTS:
        probe = _bound(f"{network}.{_KEEPER}", port)
        if probe is not None:
            probe.close()
            return port
    raise AssertionError(f"something listens at the ports {_GOSSIP_PORTS} of all addresses")


def _bound(address: str, port: int) -> Optional[socket.socket]:
    """A socket that has this port without listening, or None when somebody has it already."""
    keeper = socket.socket()
    try:
        keeper.bind((address, port))
    except OSError as error:
        keeper.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return keeper
