"""One side's talk with its Serf agent: handshake, key, requests, records, and when to try again.

Pure: whoever owns the socket says what happened to it and carries the bytes. Nothing is sent before
the agent has let us in, because it would take the body of a command for the next header (3.2).
Sources: shovey 3.2, 3.3.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from push_jobs_wire import serf_rpc
from push_jobs_wire.errors import RemoteError
from push_jobs_wire.serf_rpc import Reader, Record

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds between two attempts to connect, at first and at last."""


class SerfLink:
    """The conversation on one connection after another.

    Args:
        auth_key: the RPC key of the agent, if it has one.
        stream: which events to ask for, such as ``query:shovey,member-failed``.
    """

    def __init__(self, auth_key: Optional[str], stream: str) -> None:
        self._auth_key = auth_key
        self._stream = stream
        self._reader = Reader()
        self._out = bytearray()
        self._seq = 0
        self._pause = FIRST_PAUSE
        self.ready = False
        self.problem: Optional[str] = "not connected yet"

    # What happens to the connection

    def opened(self) -> None:
        """There is a new connection: begin the handshake."""
        self._reader = Reader()
        self._out.clear()
        self._request("handshake", {"Version": serf_rpc.VERSION})

    def lost(self, reason: str) -> float:
        """The connection is gone; returns the seconds to wait before the next attempt."""
        self.ready, self.problem = False, reason
        self._out.clear()
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        return pause

    def received(self, data: bytes) -> List[Record]:
        """What the agent said, apart from how we got in.

        Raises RemoteError when the connection is of no use any more: hang up.
        """
        records = []
        for record in self._reader.feed(data):
            if record.first and record.command in ("handshake", "auth", "stream"):
                self._entered(record)
            else:
                records.append(record)
        return records

    def _entered(self, record: Record) -> None:
        if record.error:
            raise RemoteError(f"the Serf agent refuses {record.command}: {record.error}")
        if record.command == "handshake" and self._auth_key is not None:
            self._request("auth", {"AuthKey": self._auth_key})
        elif record.command == "stream":
            self.ready, self.problem = True, None
            self._pause = FIRST_PAUSE
        else:
            self._request("stream", {"Type": self._stream})

    @property
    def due(self) -> Optional[int]:
        """The number of the first request that waits for its answer, if any does."""
        return self._reader.due

    # What goes out

    @property
    def waiting(self) -> bytes:
        """The bytes that have to be sent."""
        return bytes(self._out)

    def sent(self, count: int) -> None:
        """So many of them are on their way."""
        del self._out[:count]

    def query(
        self, name: str, payload: bytes, nodes: List[str], timeout: float = 0.0, ack: bool = False
    ) -> int:
        """Ask the agents of these nodes, or of all when there are none; returns its number.

        ``timeout``: seconds, 0 for what the cluster's size suggests.
        """
        body: Dict[str, Any] = {"Name": name, "Payload": payload}
        if nodes:
            body["FilterNodes"] = nodes
        if ack:
            body["RequestAck"] = True
        if timeout:
            body["Timeout"] = int(timeout * 1e9)
        return self._request("query", body)

    def event(self, name: str, payload: bytes, coalesce: bool) -> int:
        """Send a user event to all members."""
        return self._request("event", {"Name": name, "Payload": payload, "Coalesce": coalesce})

    def respond(self, query_id: int, payload: bytes) -> int:
        """Answer a query that came on this connection."""
        return self._request("respond", {"ID": query_id, "Payload": payload})

    def members(self) -> int:
        """Ask who belongs to the cluster."""
        return self._request("members", None)

    def _request(self, command: str, body: Optional[Mapping[str, Any]]) -> int:
        self._seq += 1
        self._reader.expect(command, self._seq)
        self._out += serf_rpc.encode(command, self._seq, body)
        return self._seq
