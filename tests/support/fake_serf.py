"""A Serf agent on a real socket that says what the test wants, to one client at a time."""

from __future__ import annotations

import socket
from typing import Any, Optional, Tuple

import msgpack


class FakeSerf:
    """A Serf agent that says what the test wants."""

    def __init__(self) -> None:
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(4)
        self.peer: Optional[socket.socket] = None
        self.unpacker = msgpack.Unpacker(raw=False)

    @property
    def address(self) -> Tuple[str, int]:
        """Host and port."""
        host, port = self.listener.getsockname()
        return str(host), int(port)

    def accept(self) -> None:
        """Let the next client in."""
        if self.peer is not None:
            self.peer.close()
        self.peer, _ = self.listener.accept()
        self.peer.settimeout(5.0)
        self.unpacker = msgpack.Unpacker(raw=False)

    def next(self) -> Any:
        """The next object that was sent."""
        assert self.peer is not None
        while True:
            for item in self.unpacker:
                return item
            data = self.peer.recv(65536)
            assert data
            self.unpacker.feed(data)

    def poll(self) -> Any:
        """The next object if it is there, else None; never waits."""
        assert self.peer is not None
        if self.has_more():
            self.unpacker.feed(self.peer.recv(65536))
        return next(iter(self.unpacker), None)

    def has_more(self) -> bool:
        """True when something came that was not read."""
        assert self.peer is not None
        self.peer.setblocking(False)
        try:
            return bool(self.peer.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            self.peer.settimeout(5.0)

    def say(self, *items: Any) -> None:
        """Send objects."""
        assert self.peer is not None
        self.peer.sendall(b"".join(msgpack.packb(item) for item in items))

    def close(self) -> None:
        """Hang up and listen no more."""
        if self.peer is not None:
            self.peer.close()
        self.listener.close()
