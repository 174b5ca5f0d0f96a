"""ZeroMQ sockets of the server: ROUTER for commands, PUB for heartbeats, REP for ZAP, one thread.

The ZAP handler lives in the same poll loop because the library's own threaded one became the
bottleneck of mass reconnects (architecture 10). zmq errors never leave this module but as
``TransportError``. Sources: pushy-protocol 1.2, 3.
"""

from __future__ import annotations

import socket
from typing import Any, Callable, Iterator, Optional, Sequence, Tuple

import zmq
from zmq.utils import z85

from push_jobs_server.transports.base import Inbound
from push_jobs_wire.errors import PushJobsError

_ZAP = "inproc://zeromq.zap.01"
_BURST = 1000
"""Messages taken in one pass before timers and requests get their turn."""
# Plain numbers: combining pyzmq's enumerations at each call costs more than the call.
_NOW = int(zmq.NOBLOCK)
_MORE_NOW = int(zmq.SNDMORE) | _NOW


class TransportError(PushJobsError):
    """Raised when the sockets can't be opened."""


class ZeroMQTransport:
    """The server's three sockets.

    Args:
        host: address to bind, for example ``0.0.0.0``.
        heartbeat_port, command_port: TCP ports; 0 takes a free one.
        curve_public, curve_secret: the server's CURVE pair as Z85 text.
        authorise: called with a client's CURVE key (Z85); returns who it may be, or None.
        max_message: largest message in bytes before the connection is cut.

    Raises:
        TransportError: a port is in use or the address can't be bound.
    """

    def __init__(
        self,
        host: str,
        heartbeat_port: int,
        command_port: int,
        curve_public: str,
        curve_secret: str,
        authorise: Callable[[str], Optional[str]],
        max_message: int,
    ) -> None:
        self._authorise = authorise
        self._context = zmq.Context()
        self._wake_reader, self._wake_writer = socket.socketpair()
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
        try:
            self._zap = self._socket(zmq.REP)
            self._zap.bind(_ZAP)
            self._router = self._socket(zmq.ROUTER)
            self._router.curve_server = True
            self._router.curve_publickey = curve_public.encode("ascii")
            self._router.curve_secretkey = curve_secret.encode("ascii")
            self._router.setsockopt(zmq.MAXMSGSIZE, max(2**20, 4 * max_message))
            self._pub = self._socket(zmq.PUB)
            self.command_port = self._bind(self._router, host, command_port, "command")
            self.heartbeat_port = self._bind(self._pub, host, heartbeat_port, "heartbeat")
        except TransportError:
            self.close()
            raise
        self._poller = zmq.Poller()
        for source in (self._zap, self._router, self._wake_reader):
            self._poller.register(source, zmq.POLLIN)

    def _socket(self, kind: int) -> "zmq.Socket[bytes]":
        made = self._context.socket(kind)
        made.linger = 0
        made.setsockopt(zmq.IPV6, 1)
        return made

    def _bind(self, bound: "zmq.Socket[bytes]", host: str, port: int, name: str) -> int:
        address = f"[{host}]" if ":" in host else host
        try:
            bound.bind(f"tcp://{address}:{port or '*'}")
        except zmq.ZMQError as error:
            raise TransportError(
                f"cannot listen on {host}:{port} ({name} port): {error}; "
                f"is another server running? Change zeromq.{name}_port"
            ) from None
        endpoint: Any = bound.getsockopt(zmq.LAST_ENDPOINT)
        return int(endpoint.rsplit(b":", 1)[1].rstrip(b"\0"))

    def receive(self, timeout: float) -> Iterator[Inbound]:
        """See ``Transport.receive``."""
        # Only what is ready is read: finding nothing raises, and that costs.
        ready = dict(self._poller.poll(max(0, int(timeout * 1000))))
        if self._wake_reader.fileno() in ready:
            self._drain_wakes()
        while self._zap in ready and self._answer_zap():
            pass
        for _ in range(_BURST if self._router in ready else 0):
            message = self._next()
            if message is None:
                return
            yield message

    def _next(self) -> Optional[Inbound]:
        try:
            frame = self._router.recv(_NOW, copy=False)
            address, parts = frame.bytes, []
            while frame.more:
                frame = self._router.recv(_NOW, copy=False)
                parts.append(frame)
        except zmq.ZMQError:
            return None
        return address, _user_id(parts), [part.bytes for part in parts]

    def _drain_wakes(self) -> None:
        try:
            while self._wake_reader.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _answer_zap(self) -> bool:
        """Answer one authentication request; an unknown shape is refused, never fatal."""
        try:
            request = self._zap.recv_multipart(zmq.NOBLOCK)
        except zmq.ZMQError:
            return False
        request_id, user = _read_zap(request, self._authorise)
        status = [b"200", b"", user.encode("utf-8")] if user else [b"400", b"No such client", b""]
        self._zap.send_multipart([b"1.0", request_id, *status, b""])
        return True

    def send(self, address: bytes, header: bytes, body: bytes) -> None:
        """See ``Transport.send``."""
        try:
            self._router.send(address, _MORE_NOW)
            self._router.send(header, _MORE_NOW)
            self._router.send(body, _NOW)
        except zmq.ZMQError:
            pass  # the peer is gone or full: heartbeats will tell

    def broadcast(self, header: bytes, body: bytes) -> None:
        """See ``Transport.broadcast``."""
        self._pub.send_multipart([header, body])

    def wake(self) -> None:
        """See ``Transport.wake``."""
        try:
            self._wake_writer.send(b"\0")
        except (BlockingIOError, OSError):
            pass  # it is awake already, or closed

    def close(self) -> None:
        """See ``Transport.close``."""
        self._context.destroy(linger=0)
        self._wake_reader.close()
        self._wake_writer.close()


def _user_id(parts: Sequence["zmq.Frame"]) -> Optional[str]:
    try:
        last: Any = parts[-1] if parts else None
        return str(last.get("User-Id")) if parts else None
    except (zmq.ZMQError, UnicodeDecodeError):
        return None


def _read_zap(
    request: Sequence[bytes], authorise: Callable[[str], Optional[str]]
) -> Tuple[bytes, Optional[str]]:
    request_id = request[1] if len(request) > 1 else b""
    if len(request) != 7 or request[0] != b"1.0" or request[5] != b"CURVE":
        return request_id, None
    if len(request[6]) != 32:
        return request_id, None
    codec: Any = z85  # untyped in older releases
    return request_id, authorise(codec.encode(request[6]).decode("ascii"))
