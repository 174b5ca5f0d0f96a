"""The runner's end of the connection to the session: lines of JSON, never blocking."""

from __future__ import annotations

import json
import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

    from push_jobs_agent.runner.accounts import Account

LONGEST_LINE = 4 << 20
"""Bytes of one line, in both directions."""

MOST_UNREAD = 16 << 20
"""Bytes that may wait for a session that does not read."""

CREDENTIALS = struct.Struct("3i")


class ConnectionLost(Exception):
    """Raised when the connection cannot be used any more; the text says why."""


def may_connect(peer: socket.socket, session_user: Optional[Account]) -> bool:
    """True when the other end runs as our own user, as root, or as the user of the session."""
    packed = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    allowed = {0, os.geteuid()} | ({session_user.uid} if session_user else set())
    return CREDENTIALS.unpack(packed)[1] in allowed


class Connection:
    """One session.

    Args:
        peer: a connected socket, owned from now on.
    """

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._peer.setblocking(False)
        self._input = bytearray()
        self._output = bytearray()

    def fileno(self) -> int:
        """For selectors."""
        return self._peer.fileno()

    @property
    def waiting(self) -> bool:
        """True when there is something that the session did not take yet."""
        return bool(self._output)

    def receive(self) -> list[Any]:
        """All requests that are complete now.

        Raises:
            ConnectionLost: when the session is gone, or sends what is no request.
        """
        try:
            data = self._peer.recv(65536)
        except BlockingIOError:
            return []
        except OSError as error:
            raise ConnectionLost(str(error.strerror)) from None
        if not data:
            raise ConnectionLost("the session closed it")
        searched = len(self._input)
        self._input += data
        if self._input.find(b"\n", searched) < 0:
            if len(self._input) > LONGEST_LINE:
                raise ConnectionLost(f"a line is longer than {LONGEST_LINE} bytes")
            return []
        *lines, rest = self._input.split(b"\n")
        self._input = rest
        return [_decode(line) for line in lines]

    def send(self, message: dict[str, Any]) -> None:
        """Send a message now or, when the session is busy, by ``flush``. Raises ConnectionLost."""
        self._output += json.dumps(message).encode() + b"\n"
        if len(self._output) > MOST_UNREAD:
            raise ConnectionLost("the session does not read")
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the session takes it. Raises ConnectionLost."""
        try:
            while self._output:
                del self._output[: self._peer.send(self._output)]
        except BlockingIOError:
            pass
        except OSError as error:
            raise ConnectionLost(str(error.strerror)) from None

    def finish(self, seconds: float) -> None:
        """Give the session some time to take what waits, then close."""
        self._peer.settimeout(seconds)
        try:
            self._peer.sendall(self._output)
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        """Close at once."""
        self._peer.close()


def _decode(line: bytearray) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise ConnectionLost("a line is not JSON") from None
