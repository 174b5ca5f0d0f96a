"""The endless answers (event feeds) that the HTTPS server is sending, and how they end.

A reader that is gone is noticed before each piece; one that does not read can't hold up a stop.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from contextlib import suppress
from typing import Any, Set


def gone(sock: socket.socket) -> bool:
    """Whether the peer has closed its end; only writing twice would tell it otherwise."""
    poll = select.poll()
    poll.register(sock.fileno(), getattr(select, "POLLRDHUP", 0))
    return bool(poll.poll(0))


class Streams:
    """The connections on which streams are being sent."""

    def __init__(self) -> None:
        self._open: Set[Any] = set()
        self._changed = threading.Condition()

    def add(self, connection: Any) -> None:
        """A stream is being sent on this connection."""
        with self._changed:
            self._open.add(connection)

    def remove(self, connection: Any) -> None:
        """Its answer, whatever it was, has ended."""
        with self._changed:
            if connection in self._open:
                self._open.remove(connection)
                self._changed.notify_all()

    def cut(self, patience: float) -> None:
        """Close those that do not end by themselves within ``patience`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open, patience)
            for connection in self._open:
                # The TLS object is in use by a thread that is stuck in it.
                with socket.socket(fileno=os.dup(connection.socket.fileno())) as plain:
                    with suppress(OSError):  # the peer was faster
                        plain.shutdown(socket.SHUT_RDWR)
