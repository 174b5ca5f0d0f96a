"""What the session machine is told and what it asks for, as plain records.

The machine returns these; the service carries them out. Nothing here acts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, NamedTuple, Optional, Union

from push_jobs_agent.server_settings import ServerSettings


class Now(NamedTuple):
    """The time in seconds, twice: ``steady`` for intervals, ``wall`` (epoch) for timestamps."""

    steady: float
    wall: float


@dataclass(frozen=True)
class Send:
    """Send these two frames; tell the session with ``sent`` whether the transport took them.

    ``outcome`` is the id of the job whose outcome the frames carry, None for anything else.
    """

    header: bytes
    body: bytes
    outcome: Optional[str] = None


@dataclass(frozen=True)
class Ask:
    """Send a request to the runner; hand its reply back with ``runner_answered``."""

    op: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fetch:
    """Get settings from the server; report with ``settings_fetched`` or ``fetch_failed``."""

    cause: str


@dataclass(frozen=True)
class Connect:
    """Close the connection, if there is one, and open a new one with these settings."""

    settings: ServerSettings


@dataclass(frozen=True)
class ReadOutput:
    """Read both channels of an ended job; hand them back with ``output_read``."""

    job_id: str


@dataclass(frozen=True)
class ReadPart:
    """Read up to ``most`` bytes of a channel from ``offset``; hand them to ``part_read``."""

    job_id: str
    stream: str
    offset: int
    most: int


@dataclass(frozen=True)
class Log:
    """A line for the log: ``level`` is a method name of a logger."""

    level: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)


Action = Union[Send, Ask, Fetch, Connect, ReadOutput, ReadPart, Log]
