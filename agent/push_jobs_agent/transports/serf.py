"""The way to the Serf agent of this node: one socket, never waited for, opened again and again.

What is said on it is the business of ``push_jobs_wire.serf_link``; nothing is understood here.
Nothing that the agent does or sends ends this process. Sources: shovey 3.1 to 3.3, 5.7.
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from typing import List, Optional, Tuple

from push_jobs_wire.errors import RemoteError
from push_jobs_wire.serf_link import SerfLink
from push_jobs_wire.serf_rpc import Record

ENTER_WITHIN = 10.0
"""Seconds for an agent to let us in; one that does not is tried again."""

_PIECE = 65536
_MOST = 16
"""Pieces taken per turn, so that a flood cannot starve timers and signals."""


@dataclass(frozen=True)
class Turn:
    """What a turn brought: records, and whether the connection became usable or was lost."""

    records: Tuple[Record, ...] = ()
    entered: bool = False
    lost: Optional[str] = None


class SerfTransport:
    """One connection to an agent after the other.

    Args:
        address: host and port of its RPC.
        link: what is said on them.
    """

    def __init__(self, address: Tuple[str, int], link: SerfLink) -> None:
        self.link = link
        self._address = address
        self._socket: Optional[socket.socket] = None
        self._connecting = False
        self._attempts = 0
        self._next = float("-inf")
        self._until = float("inf")

    @property
    def reader(self) -> Optional[int]:
        """The descriptor to read from, if there is a connection."""
        return None if self._socket is None or self._connecting else self._socket.fileno()

    @property
    def writer(self) -> Optional[int]:
        """The descriptor to wait for while there is something to be written."""
        if self._socket is None:
            return None
        return self._socket.fileno() if self._connecting or self.link.waiting else None

    def next_call(self) -> Optional[float]:
        """When ``turn`` wants to be called, in steady seconds."""
        if self._socket is None:
            return self._next
        return None if self.link.ready else self._until

    def turn(self, steady: float) -> Turn:
        """Connect, send and receive what is possible now."""
        ready = self.link.ready
        records: List[Record] = []
        try:
            if self._socket is None:
                self._open(steady)
            if self._connecting:
                self._connect()
            if self.reader is not None:
                self._receive(records)
            self.flush()
            if self._socket is not None and not self.link.ready and steady >= self._until:
                raise RemoteError(f"the Serf agent said nothing for {ENTER_WITHIN:.0f} s")
        except (OSError, UnicodeError, RemoteError) as error:
            return Turn(tuple(records), lost=self._lose(error, steady))
        return Turn(tuple(records), entered=self.link.ready and not ready)

    def flush(self) -> None:
        """Send what can be sent now. Raises OSError when the connection is lost."""
        while self._socket is not None and not self._connecting and self.link.waiting:
            try:
                self.link.sent(self._socket.send(self.link.waiting))
            except BlockingIOError:
                return

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._connecting = None, False

    def _open(self, steady: float) -> None:
        if steady < self._next:
            return
        self._until = steady + ENTER_WITHIN
        host, port = self._address
        # An agent is on this machine, under a number or a name that needs no server. A name may
        # have several numbers, of which the agent listens at one: each has its turn.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, where = found[self._attempts % len(found)]
        self._attempts += 1
        self._socket = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        code = self._socket.connect_ex(where)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, "cannot connect")
        self._connecting = True

    def _connect(self) -> None:
        assert self._socket is not None
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise ConnectionError(code, "cannot connect")
        try:
            self._socket.getpeername()
        except OSError:
            return  # not yet
        self._connecting = False
        self.link.opened()

    def _receive(self, records: List[Record]) -> None:
        assert self._socket is not None
        for _ in range(_MOST):
            try:
                data = self._socket.recv(_PIECE)
            except BlockingIOError:
                return
            if not data:
                raise RemoteError("the Serf agent hung up")
            records += self.link.received(data)

    def _lose(self, error: Exception, steady: float) -> str:
        self.close()
        code = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(code) if code is not None and code > 0 else str(error)
        self._next = steady + self.link.lost(reason)
        return reason
