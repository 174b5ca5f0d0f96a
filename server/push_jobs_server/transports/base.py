"""What the engine's thread needs of a transport. Implementations: zeromq, memory."""

from __future__ import annotations

from typing import Iterator, Optional, Protocol, Sequence, Tuple

Inbound = Tuple[bytes, Optional[str], Sequence[bytes]]
"""(routing id, who the connection was granted to or None, frames of one message)."""


class Transport(Protocol):
    """Owned by one thread; only ``wake`` may be called from others."""

    def receive(self, timeout: float) -> Iterator[Inbound]:
        """Wait up to ``timeout`` seconds for something to happen, then give what has arrived."""

    def send(self, address: bytes, header: bytes, body: bytes) -> None:
        """Send a message; it is dropped when the peer is gone or does not read."""

    def broadcast(self, header: bytes, body: bytes) -> None:
        """Send a message to everybody who listens for heartbeats."""

    def wake(self) -> None:
        """Make ``receive`` return now. Safe from any thread."""

    def close(self) -> None:
        """Let everything go; nothing is sent any more."""
