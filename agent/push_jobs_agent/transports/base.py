"""What a transport offers to the service. One thread owns a transport and calls all of this."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import List, Protocol, Sequence, Set, Tuple

from push_jobs_agent.server_settings import ServerSettings


class Kind(Enum):
    """What has come in."""

    COMMAND = "command"
    BROADCAST = "broadcast"
    CONNECTED = "connected"
    LOST = "lost"
    REFUSED = "refused"


@dataclass(frozen=True)
class Incoming:
    """A message (``frames``), or news of the connection (``detail`` says more)."""

    kind: Kind
    frames: Tuple[bytes, ...] = ()
    detail: str = ""


class Transport(Protocol):
    """A way to one server: a command channel both ways, and its broadcast heartbeats."""

    @property
    def public_key(self) -> str:
        """The key (Z85) under which this agent will encrypt; the server has to admit it."""

    def open(self, settings: ServerSettings) -> None:
        """Close what is open and connect to a server. Never raises: bad news is received."""

    def close(self, linger: float = 0.0) -> None:
        """Close all; what was sent may take ``linger`` seconds to leave."""

    def send(self, frames: Sequence[bytes]) -> bool:
        """Send on the command channel; False when the message was not taken."""

    def receive(self, most: int) -> List[Incoming]:
        """All that has come in since the last call, but at most so many things."""

    def wait(self, readers: Sequence[int], writers: Sequence[int], timeout: float) -> Set[int]:
        """Sleep until something comes in, a file descriptor is ready or ``timeout`` seconds passed.

        Returns the descriptors that are ready.
        """
