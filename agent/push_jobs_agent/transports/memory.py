"""A transport without a network: an agent and a scripted server in one process.

For tests and for examples that show what travels. It keeps the promises of ``base.Transport``.
"""

from __future__ import annotations

import select
from collections import deque
from typing import Deque, List, Sequence, Set, Tuple

from push_jobs_agent.server_settings import ServerSettings
from push_jobs_agent.transports.base import Incoming, Kind


class MemoryTransport:
    """The agent's end. The other end is ``peer``."""

    public_key = "0" * 40

    def __init__(self) -> None:
        self.peer = MemoryPeer(self)
        self.incoming: Deque[Incoming] = deque()

    def open(self, settings: ServerSettings) -> None:
        """Connect: the peer decides what becomes of it."""
        self.incoming.clear()
        self.peer.opened.append(settings)

    def close(self, linger: float = 0.0) -> None:
        """Drop what has not been received."""
        self.incoming.clear()

    def send(self, frames: Sequence[bytes]) -> bool:
        """Give frames to the peer, unless it is full."""
        if self.peer.full:
            return False
        self.peer.received.append(tuple(frames))
        return True

    def receive(self, most: int) -> List[Incoming]:
        """What the peer has said."""
        count = min(most, len(self.incoming))
        return [self.incoming.popleft() for _ in range(count)]

    def wait(self, readers: Sequence[int], writers: Sequence[int], timeout: float) -> Set[int]:
        """Sleep until a descriptor is ready; not at all when the peer has said something."""
        pause = 0.0 if self.incoming else timeout
        readable, writable, _ = select.select(readers, writers, [], pause)
        return {*readable, *writable}


class MemoryPeer:
    """The server's end: ``received`` holds what the agent sent, ``opened`` how it connected."""

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        self.full = False
        self.opened: List[ServerSettings] = []
        self.received: Deque[Tuple[bytes, ...]] = deque()

    def accept(self) -> None:
        """Let the agent in."""
        self._transport.incoming.append(Incoming(Kind.CONNECTED))

    def refuse(self, detail: str) -> None:
        """Do not let the agent in."""
        self._transport.incoming.append(Incoming(Kind.REFUSED, detail=detail))

    def drop(self) -> None:
        """Break the connection."""
        self._transport.incoming.append(Incoming(Kind.LOST))

    def command(self, *frames: bytes) -> None:
        """Say something on the command channel."""
        self._transport.incoming.append(Incoming(Kind.COMMAND, frames))

    def broadcast(self, *frames: bytes) -> None:
        """Say something on the heartbeat channel."""
        self._transport.incoming.append(Incoming(Kind.BROADCAST, frames))
