"""What Cheroot reads requests from and writes answers to.

Its own are Python through and through, and send the head of an answer by itself, which costs both
ends one more TLS record. Nothing here knows HTTP.
"""

from __future__ import annotations

import io
import socket
from typing import Any, Optional


class _Raw(socket.SocketIO):
    """A socket to read from, which for a moment can be told to have nothing."""

    silent = False

    def readinto(self, buffer: Any) -> Optional[int]:
        """Read from the socket; None, which means try again later, while it is silent."""
        return None if self.silent else super().readinto(buffer)


class Reader(io.BufferedReader):
    """Reads from a socket."""

    def __init__(self, sock: socket.socket, size: int) -> None:
        self._source = _Raw(sock, "r")
        super().__init__(self._source, size)

    def has_data(self) -> bool:
        """True when something was received that nobody has read yet."""
        self._source.silent = True
        try:
            return bool(self.peek())
        finally:
            self._source.silent = False


class Writer:
    """Writes to a socket.

    Attributes:
        hold: the next piece waits for the one after it, or for ``flush``.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._held = b""
        self.hold = False

    def write(self, data: bytes) -> int:
        """Send a piece, all of it. Raises OSError."""
        self._held += data
        if self.hold:
            self.hold = False
        else:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Send what is held. Raises OSError."""
        held, self._held = self._held, b""
        if held:
            self._sock.sendall(held)
