"""What is known of nodes over Serf when a server starts, and what is sent to them. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Iterable, Optional, Sequence, Tuple

from push_jobs_server.serf_records import NodeStatusSeen


class NodeKind(Enum):
    """Which agent a node has, as far as that is known; it tells how its commands are signed."""

    OTHER = "other"
    CLAIMS = "claims"
    """Its heartbeats, which anybody can fake, say that it is one of ours."""
    OURS = "ours"
    """Its last signed report said so."""


@dataclass(frozen=True)
class Order:
    """A command for nodes of one kind: ``action`` is start or cancel, ``timeout`` in seconds.

    ``again``: the nodes may have the command already.
    """

    action: str
    job_id: str
    command: str
    timeout: int
    nodes: Tuple[str, ...]
    kind: NodeKind
    again: bool = False


@dataclass(frozen=True)
class SerfKnown:
    """What is stored of nodes over Serf: their organization (None: there are no such nodes), the
    last status of each, and the parts that they have in jobs that have not ended."""

    org: Optional[str] = None
    latest: Iterable[NodeStatusSeen] = ()
    runs: Sequence[Tuple[str, str]] = ()
