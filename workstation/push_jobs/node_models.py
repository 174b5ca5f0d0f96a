"""What a server knows of a node, as typed records that never change; see ``push_jobs.models``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Optional, Tuple


class Presence(Enum):
    """Whether a node is there; the values are those of the API."""

    UP = "up"
    DOWN = "down"
    NEVER_SEEN = "never_seen"


@dataclass(frozen=True)
class LastDown:
    """When and why a node was down for the last time."""

    at: datetime
    reason: str


@dataclass(frozen=True)
class NodeRefusal:
    """The last thing of a node that the server did not accept.

    ``kind`` is a word for programs, ``detail`` a sentence. ``clock_offset`` is by how many seconds
    the node's clock is ahead, when that was the reason; ``count`` how often it happened in a row.
    """

    kind: str
    detail: str
    at: datetime
    count: int
    clock_offset: Optional[int]


@dataclass(frozen=True)
class NodeJob:
    """A job in which a node has a part to play still."""

    id: str
    status: str


@dataclass(frozen=True)
class NodeDetail:
    """A node, also one that is down or was never seen. What is not known is None.

    ``since`` is when it came up or went down, ``reason`` why it takes no jobs. ``registered`` says
    whether there is a client of this name. ``says_job`` is the job that its last heartbeat named;
    ``spool`` are the ids of the jobs that it had when it connected. ``runnable`` are the names and
    patterns on its whitelist as far as it told them, ``all_runnable`` that these are all.
    ``brief`` is True when the server is too old to tell more than ``presence`` and ``available``.
    """

    name: str
    presence: Presence
    available: bool
    registered: Optional[bool] = None
    since: Optional[datetime] = None
    reason: Optional[str] = None
    seen_at: Optional[datetime] = None
    settings_fetched_at: Optional[datetime] = None
    last_down: Optional[LastDown] = None
    refusal: Optional[NodeRefusal] = None
    version: Optional[str] = None
    platform: Optional[str] = None
    extensions: Optional[int] = None
    says_job: Optional[str] = None
    jobs: Tuple[NodeJob, ...] = ()
    spool: Optional[Tuple[str, ...]] = None
    runnable: Optional[Tuple[str, ...]] = None
    all_runnable: bool = False
    brief: bool = False

    @property
    def online(self) -> bool:
        """True while its heartbeats arrive."""
        return self.presence is Presence.UP
