"""What is known of a node besides its part in jobs, as plain records. Nothing here acts.

Times are seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple


@dataclass(frozen=True)
class Refusal:
    """Something of a node that was not accepted.

    ``kind`` is a word for programs, ``detail`` a sentence for people. ``clock_offset`` is by how
    many seconds the node's clock is ahead of ours (negative: behind), when that is the reason.
    ``count`` is how often the same happened in a row, ``at`` when it did for the last time.
    """

    kind: str
    detail: str
    at: float
    clock_offset: Optional[float] = None
    count: int = 1


@dataclass(frozen=True)
class NodeSighted:
    """What outlives the server of its knowledge of a node; as a change, it replaces the row."""

    org: str
    node: str
    seen_at: Optional[float] = None
    fetched_at: Optional[float] = None
    down_at: Optional[float] = None
    down_reason: Optional[str] = None
    version: Optional[str] = None


@dataclass(frozen=True)
class NodeDetail:
    """Everything the engine knows of a node, which may be nothing.

    ``since`` is when it came up or went down, ``reason`` why it is not there for jobs.
    ``says_job`` is the job that its last heartbeat named; ``jobs`` are those in which it has a part
    to play still, with its status; ``spool`` are the ids that it listed when it connected.
    ``names`` are those of its whitelist as far as it told them, ``all_names`` that these are all.
    """

    name: str
    online: bool
    available: bool
    since: Optional[float] = None
    reason: Optional[str] = None
    seen_at: Optional[float] = None
    fetched_at: Optional[float] = None
    down_at: Optional[float] = None
    down_reason: Optional[str] = None
    refusal: Optional[Refusal] = None
    version: Optional[str] = None
    platform: Optional[str] = None
    extensions: Optional[int] = None
    says_job: Optional[str] = None
    jobs: Tuple[Tuple[str, str], ...] = ()
    spool: Optional[Tuple[str, ...]] = None
    names: Optional[Tuple[str, ...]] = None
    all_names: bool = False

    @property
    def known(self) -> bool:
        """True when there is any trace of it."""
        return self.online or self.seen_at is not None or self.fetched_at is not None
