"""A TCP relay before a server that can be shut and opened again: shut, nobody seems to be there."""

from __future__ import annotations

import socket
import threading
from typing import List, Optional, Tuple

_SIZE = 65536


class Gate:
    """Listens at ``port`` of 127.0.0.1 while it is open; it is open at first.

    Args:
        target: host and port of the server.
    """

    def __init__(self, target: Tuple[str, int]) -> None:
        self._target = target
        self._listener: Optional[socket.socket] = None
        self._ends: List[socket.socket] = []
        self._lock = threading.Lock()
        self.port = 0
        self.open()

    def open(self) -> None:
        """Let connections through."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Break all connections and take no new ones."""
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for end in self._ends:
                _break(end)
            self._ends.clear()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            with self._lock:
                self._ends += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=_carry, args=pair, daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(_SIZE):
            target.sendall(data)
    except OSError:
        pass
    finally:
        _break(source)
        _break(target)


def _break(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()
