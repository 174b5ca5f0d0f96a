"""What the machines are told and what they ask for, as plain records.

A machine returns these; its end carries them out. Nothing here acts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, NamedTuple, Optional, Union

from push_jobs_agent.server_settings import ServerSettings
from push_jobs_wire.messages import Output


class Now(NamedTuple):
    """The time in seconds, twice: ``steady`` for intervals, ``wall`` (epoch) for timestamps."""

    steady: float
    wall: float


@dataclass(frozen=True)
class Send:
    """Send these two frames; tell the session with ``sent`` whether the transport took them.

    ``outcome`` is the id of the job whose outcome the frames carry, ``output`` the piece of output
    that they carry; None for anything else.
    """

    header: bytes
    body: bytes
    outcome: Optional[str] = None
    output: Optional[Output] = None


@dataclass(frozen=True)
class Ask:
    """Send a request to the runner; hand its reply back with ``runner_answered``.

    ``end`` is whose request it is, when several servers have an end in this agent.
    """

    op: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    end: str = "pushy"


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
class Put:
    """Send a signed PUT to the server of the Shovey API; hand the answer back with ``answered``.

    ``path`` is below the server's root, percent-encoded. No two puts have the same ``number``.
    """

    number: int
    job_id: str
    path: str
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What became of a ``Put``.

    ``status`` is that of HTTP; 0 means that there was none, and ``problem`` says why. ``goiardi``:
    the server says that it is one. ``unknown``: the Shovey API itself says that it has no such run.
    """

    put: Put
    status: int
    problem: str = ""
    goiardi: bool = False
    unknown: bool = False


@dataclass(frozen=True)
class Keep:
    """Write down what is known of a run; hand the result back with ``kept``.

    ``durable``: it has to be on the disk itself.
    """

    job_id: str
    record: Mapping[str, Any]
    durable: bool = False


@dataclass(frozen=True)
class Drop:
    """Forget what was written down of a run."""

    job_id: str


@dataclass(frozen=True)
class Remember:
    """Write down that a command was accepted.

    ``durable``: on the disk itself; else its run is there, and tells the same until it is dropped.
    """

    action: str
    job_id: str
    wall: float
    durable: bool = True


@dataclass(frozen=True)
class Need256:
    """Write down that the server signs with SHA-256, too."""


@dataclass(frozen=True)
class Log:
    """A line for the log: ``level`` is a method name of a logger."""

    level: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)


Action = Union[
    Send,
    Ask,
    Fetch,
    Connect,
    ReadOutput,
    ReadPart,
    Put,
    Keep,
    Drop,
    Remember,
    Need256,
    Log,
]
