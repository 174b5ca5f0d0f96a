"""Server and nodes in one process, without sockets: for tests, examples and simulations."""

from __future__ import annotations

import threading
from collections import deque
from typing import Deque, Dict, Iterator, List, Optional, Sequence, Tuple

from push_jobs_server.transports.base import Inbound


class Peer:
    """A node's end of a connection: ``send`` to the server, ``inbox`` holds what it sent."""

    def __init__(self, hub: "MemoryTransport", address: bytes, user_id: Optional[str]) -> None:
        self._hub = hub
        self.address = address
        self.user_id = user_id
        self.inbox: Deque[Tuple[bytes, bytes]] = deque()

    def send(self, frames: Sequence[bytes]) -> None:
        """Deliver the frames of one message to the server."""
        self._hub.deliver((self.address, self.user_id, list(frames)))

    def close(self) -> None:
        """End the connection; what the server still sends is lost."""
        self._hub.forget(self)


class MemoryTransport:
    """The server's end; connections are made with ``connect``."""

    def __init__(self) -> None:
        self._arrived: Deque[Inbound] = deque()
        self._signal = threading.Event()
        self._peers: Dict[bytes, Peer] = {}
        self._made = 0
        self.beats: List[Tuple[bytes, bytes]] = []

    def connect(self, user_id: Optional[str]) -> Peer:
        """A new connection of a node that was granted ``user_id`` (``ORG/NODE``)."""
        self._made += 1
        peer = Peer(self, b"\0%d" % self._made, user_id)
        self._peers[peer.address] = peer
        return peer

    def deliver(self, message: Inbound) -> None:
        """Take a message from a peer."""
        self._arrived.append(message)
        self.wake()

    def forget(self, peer: Peer) -> None:
        """The peer is gone."""
        self._peers.pop(peer.address, None)

    def receive(self, timeout: float) -> Iterator[Inbound]:
        """See ``Transport.receive``."""
        self._signal.wait(max(0.0, timeout))
        self._signal.clear()
        while self._arrived:
            yield self._arrived.popleft()

    def send(self, address: bytes, header: bytes, body: bytes) -> None:
        """See ``Transport.send``."""
        peer = self._peers.get(address)
        if peer is not None:
            peer.inbox.append((header, body))

    def broadcast(self, header: bytes, body: bytes) -> None:
        """See ``Transport.broadcast``."""
        self.beats.append((header, body))

    def wake(self) -> None:
        """See ``Transport.wake``."""
        self._signal.set()

    def close(self) -> None:
        """See ``Transport.close``."""
        self._peers.clear()
