"""The Pushy transport: a DEALER for commands (CURVE), a SUB for heartbeats (clear), one poll loop.

No error of the library leaves this module, and nothing is understood here. A refused connection is
never left to the library's own retries: it is reported, and the session comes back with new
settings and a new socket. Sources: pushy-protocol 1, 3, 9.2 R2.
"""

from __future__ import annotations

import struct
from typing import Dict, List, Optional, Sequence, Set, Tuple

import zmq

from push_jobs_agent.server_settings import ServerSettings
from push_jobs_agent.transports.base import Incoming, Kind

SEND_QUEUE = 3
"""Messages; while the link is down no more than these wait to be sent stale."""

MAX_COMMAND_FRAME = 1024 * 1024 + 4096
MAX_BROADCAST_FRAME = 16 * 1024

_RECONNECT_MS, _RECONNECT_MAX_MS = 100, 5000
_HANDSHAKE_MS = 10_000
_UNACKED_MS = 30_000
"""A peer that is silently gone is noticed after this time, not after TCP's quarter of an hour."""

_NEWS: Dict[int, Tuple[Kind, str]] = {
    zmq.EVENT_HANDSHAKE_SUCCEEDED: (Kind.CONNECTED, ""),
    zmq.EVENT_DISCONNECTED: (Kind.LOST, ""),
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: (Kind.REFUSED, "the server does not admit our key"),
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: (Kind.REFUSED, "the server speaks another protocol"),
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: (
        Kind.REFUSED,
        "the server broke off the handshake; its key may have changed",
    ),
}


class ZeroMQTransport:
    """Sockets to one server. Settings without a CURVE key mean a connection in clear."""

    def __init__(self) -> None:
        self._context = zmq.Context(1)
        self._poller = zmq.Poller()
        self._sockets: List[zmq.Socket[bytes]] = []
        self._command: Optional[zmq.Socket[bytes]] = None
        self._news: Optional[zmq.Socket[bytes]] = None
        self._broadcast: Optional[zmq.Socket[bytes]] = None
        self._failed: List[Incoming] = []
        self._watched: Dict[int, int] = {}
        self._opened = 0
        self._public, self._secret = zmq.curve_keypair()

    @property
    def public_key(self) -> str:
        """The public half of this process's CURVE pair."""
        return self._public.decode("ascii")

    def open(self, settings: ServerSettings) -> None:
        """Replace all sockets with new ones to this server."""
        self._drop()
        try:
            self._broadcast = self._open_broadcast(settings)
            self._command = self._open_command(settings)
        except (zmq.ZMQError, ValueError) as error:
            self._drop()
            self._failed.append(Incoming(Kind.REFUSED, detail=f"cannot connect: {error}"))
            return
        for socket in self._sockets:
            self._poller.register(socket, zmq.POLLIN)

    def close(self, linger: float = 0.0) -> None:
        """Close all sockets; what was sent may take ``linger`` seconds to leave."""
        self._drop(int(linger * 1000))
        self._context.term()

    def send(self, frames: Sequence[bytes]) -> bool:
        """Send one message, without waiting; False when the queue is full or nothing is open."""
        if self._command is None:
            return False
        try:
            self._command.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError:
            return False
        return True

    def receive(self, most: int) -> List[Incoming]:
        """News of the connection first, then commands and heartbeats; at most so many of each."""
        incoming, self._failed = self._failed, []
        for frames in self._drain(self._news, most):
            incoming.extend(_read_news(frames))
        incoming += [Incoming(Kind.COMMAND, f) for f in self._drain(self._command, most)]
        incoming += [Incoming(Kind.BROADCAST, f) for f in self._drain(self._broadcast, most)]
        return incoming

    def wait(self, readers: Sequence[int], writers: Sequence[int], timeout: float) -> Set[int]:
        """Sleep until a socket or descriptor is ready, or ``timeout`` seconds passed."""
        self._watch(readers, writers)
        pause = 0 if self._failed else max(0, int(timeout * 1000 + 0.999))
        try:
            ready = self._poller.poll(pause)
        except zmq.ZMQError:
            return set()
        return {item for item, _ in ready if isinstance(item, int)}

    def _watch(self, readers: Sequence[int], writers: Sequence[int]) -> None:
        wanted = {fd: zmq.POLLIN for fd in readers}
        for fd in writers:
            wanted[fd] = wanted.get(fd, 0) | zmq.POLLOUT
        if wanted == self._watched:
            return
        for fd in self._watched:
            self._poller.unregister(fd)
        for fd, events in wanted.items():
            self._poller.register(fd, events)
        self._watched = wanted

    def _socket(self, kind: int, largest: int) -> "zmq.Socket[bytes]":
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        self._sockets.append(socket)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IPV6, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, largest)
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MS)
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        socket.setsockopt(zmq.TCP_MAXRT, _UNACKED_MS)
        return socket

    def _open_broadcast(self, settings: ServerSettings) -> "zmq.Socket[bytes]":
        socket = self._socket(zmq.SUB, MAX_BROADCAST_FRAME)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(settings.heartbeat_addr)
        return socket

    def _open_command(self, settings: ServerSettings) -> "zmq.Socket[bytes]":
        socket = self._socket(zmq.DEALER, MAX_COMMAND_FRAME)
        socket.setsockopt(zmq.SNDHWM, SEND_QUEUE)
        if settings.curve_key is not None:
            socket.setsockopt(zmq.CURVE_SERVERKEY, settings.curve_key.encode("ascii"))
            socket.setsockopt(zmq.CURVE_PUBLICKEY, self._public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, self._secret)
        # A new name each time: the library lets go of an old one in its own time.
        self._opened += 1
        monitor = f"inproc://command-{self._opened}"
        socket.monitor(monitor, sum(_NEWS))
        self._news = self._socket(zmq.PAIR, -1)
        self._news.connect(monitor)
        socket.connect(settings.command_addr)
        return socket

    def _drain(self, socket: "Optional[zmq.Socket[bytes]]", most: int) -> List[Tuple[bytes, ...]]:
        messages: List[Tuple[bytes, ...]] = []
        try:
            while socket is not None and len(messages) < most:
                messages.append(tuple(socket.recv_multipart(zmq.NOBLOCK)))
        except zmq.ZMQError:
            pass  # nothing more is there
        return messages

    def _drop(self, linger_ms: int = 0) -> None:
        if self._command is not None:
            self._command.disable_monitor()
        for socket in self._sockets:
            if socket in self._poller:
                self._poller.unregister(socket)
            socket.close(linger_ms)
        self._sockets.clear()
        self._command = self._broadcast = self._news = None


def _read_news(frames: Sequence[bytes]) -> List[Incoming]:
    event, _ = struct.unpack("=HI", frames[0])
    kind, detail = _NEWS.get(event, (None, ""))
    return [] if kind is None else [Incoming(kind, detail=detail)]
