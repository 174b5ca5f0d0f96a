"""When queries are sent and heard, read from real Serf agents by one thread, by one clock.

A node's agent tells of a query when the gossip has brought it. The server's agent is not among the
nodes that a query is for, so its own log, which it streams, tells when it was asked to send one.
"""

from __future__ import annotations

import re
import selectors
import socket
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from serf_cluster import SerfAgent

from push_jobs_wire import serf_rpc, shovey
from push_jobs_wire.serf_link import SerfLink
from push_jobs_wire.serf_rpc import Reader, Record

_SENT = "Requesting query send: shovey."
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BYTE = re.compile(r"0x([0-9a-f]{1,2})\b")


class Watch(threading.Thread):
    """Reads until it is closed.

    Args:
        servers: the agents of servers; those of nodes are added.

    Attributes:
        sent: when the first query about a job was sent, by job id.
        queries: how many were sent about a job, by job id.
        heard: when a node's agent first told of a job, by job id and node.
    """

    def __init__(self, *servers: SerfAgent) -> None:
        super().__init__(name="serf-watch", daemon=True)
        self.sent: Dict[str, float] = {}
        self.queries: Dict[str, int] = {}
        self.heard: Dict[Tuple[str, str], float] = {}
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        for agent in servers:
            self._add(_open_log(agent), self._log_reader())

    def add_node(self, agent: SerfAgent) -> None:
        """Listen to the agent of a node too; only before ``start``."""
        connection, link = _connect(agent), SerfLink(agent.auth_key, f"query:{shovey.QUERY}")
        link.opened()
        while not link.ready:
            connection.sendall(link.waiting)
            link.sent(len(link.waiting))
            link.received(connection.recv(65536))
        self._add(connection, lambda data, now: self._hear(agent.name, link.received(data), now))

    def _add(self, connection: socket.socket, take: Callable[[bytes, float], None]) -> None:
        self._selector.register(connection, selectors.EVENT_READ, take)

    def run(self) -> None:
        """Note the time of everything that comes."""
        while not self._stopping:
            for key, _ in self._selector.select(0.5):
                now, connection = time.monotonic(), key.fileobj
                assert isinstance(connection, socket.socket)
                data = connection.recv(1 << 20)
                if data:
                    key.data(data, now)
                else:
                    self._selector.unregister(connection)

    def close(self) -> None:
        """End the thread and hang up."""
        self._stopping = True
        if self.is_alive():
            self.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    def _log_reader(self) -> Callable[[bytes, float], None]:
        reader = _log_of()
        return lambda data, now: self._read_log(reader.feed(data), now)

    def _read_log(self, records: List[Record], now: float) -> None:
        for record in records:
            job = job_in(str((record.body or {}).get("Log", "")))
            if job is not None:
                self.sent.setdefault(job, now)
                self.queries[job] = self.queries.get(job, 0) + 1

    def _hear(self, node: str, records: List[Record], now: float) -> None:
        for record in records:
            body: Dict[str, Any] = dict(record.body or {})
            if body.get("Name") == shovey.QUERY:
                fields = shovey.decode(serf_rpc.payload_of(body["Payload"]))
                self.heard.setdefault((fields["run_id"], node), now)

    # What one job took

    def last_heard(self, job: str, nodes: List[str]) -> Optional[float]:
        """When the last of these nodes heard of a job; None when one of them never did."""
        times = [self.heard.get((job, node)) for node in nodes]
        known = [each for each in times if each is not None]
        return max(known) if len(known) == len(nodes) else None


def job_in(line: str) -> Optional[str]:
    """The job whose query a line of Serf's log is about; payloads are shown byte by byte."""
    if _SENT not in line:
        return None
    text = line if _ID.search(line) else "".join(chr(int(each, 16)) for each in _BYTE.findall(line))
    found = _ID.search(text)
    return found.group() if found else None


def _connect(agent: SerfAgent) -> socket.socket:
    host, _, port = agent.rpc_address.rpartition(":")
    return socket.create_connection((host, int(port)), 10.0)


def _log_of() -> Reader:
    reader = Reader()
    reader.expect("handshake", 1)
    reader.expect("monitor", 2)
    return reader


def _open_log(agent: SerfAgent) -> socket.socket:
    connection = _connect(agent)
    connection.sendall(serf_rpc.encode("handshake", 1, {"Version": serf_rpc.VERSION}))
    connection.sendall(serf_rpc.encode("monitor", 2, {"LogLevel": "DEBUG"}))
    return connection
