"""When each node was seen, why it went, what was refused and what it told of itself. Pure.

One record of limited size for each node that ever fetched its settings, so their number is that of
the session keys. Nothing is decided by what is noted here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, Iterable, List, Optional, Tuple

from push_jobs_server.engine.node import NodeKey, NodeSession
from push_jobs_server.node_records import NodeSighted, Refusal
from push_jobs_wire.heartbeats import Heartbeat, Runnable

NAMES_BYTES = 32 * 1024
"""Of one node's whitelist so many characters are kept."""
IDS_KEPT = 100
"""Of the jobs in a node's spool so many ids are kept."""
_LONGEST_TEXT = 300


@dataclass
class Sighting:
    """What is known of one node.

    ``kept`` outlives the server; ``names`` is None until the node tells them, and ``all_names``
    says whether these are all.
    """

    kept: NodeSighted
    refusal: Optional[Refusal] = None
    platform: Optional[str] = None
    extensions: Optional[int] = None
    spool: Optional[Tuple[str, ...]] = None
    names: Optional[Tuple[str, ...]] = None
    all_names: bool = False


class Sightings:
    """The records of all nodes.

    Args:
        stored: what an earlier run has left.
        started: when this run began, by the wall clock.
    """

    def __init__(self, stored: Iterable[NodeSighted], started: float) -> None:
        self.started = started
        self._of: Dict[NodeKey, Sighting] = {
            (each.org, each.node): Sighting(each) for each in stored
        }

    def get(self, key: NodeKey) -> Sighting:
        """What is known of a node; an empty record, which is not kept, for any other name."""
        return self._of.get(key) or Sighting(NodeSighted(*key))

    def names(self, org: str) -> List[str]:
        """The nodes of an organization of which anything is known."""
        return [node for of_org, node in self._of if of_org == org]

    def fetched(self, key: NodeKey, session: Optional[NodeSession], wall: float) -> NodeSighted:
        """A node fetched its settings; returns what is to be stored."""
        seen = self._seen(key, session)
        return self._keep(key, fetched_at=wall, seen_at=seen)

    def joined(self, key: NodeKey, wall: float) -> Optional[NodeSighted]:
        """A node came online; returns what is to be stored, which is rarely anything."""
        new = self.get(key).kept.seen_at is None
        kept = self._keep(key, seen_at=wall)
        return kept if new else None

    def left(self, session: NodeSession, reason: str, wall: float) -> NodeSighted:
        """A node went offline; returns what is to be stored."""
        seen = self._seen(session.key, session)
        return self._keep(
            session.key, seen_at=seen, down_at=wall, down_reason=reason[:_LONGEST_TEXT]
        )

    def seen(self, session: NodeSession) -> NodeSighted:
        """What is to be stored of a node that is online when the server stops."""
        return self._keep(session.key, seen_at=session.seen_at)

    def told(self, key: NodeKey, beat: Heartbeat) -> None:
        """A node said what it is and what can be run there."""
        sighting = self._of[key]
        sighting.extensions = beat.extensions
        if beat.version is not None:
            self._keep(key, version=beat.version[:_LONGEST_TEXT])
        if beat.platform is not None:
            sighting.platform = beat.platform[:_LONGEST_TEXT]
        if beat.jobs is not None:
            sighting.spool = beat.jobs[:IDS_KEPT]
        if beat.runnable is not None:
            _add_names(sighting, beat.runnable)

    def refused(self, key: NodeKey, refusal: Refusal) -> None:
        """Something of a node was not accepted; the same again is counted."""
        sighting = self._of.get(key)
        if sighting is None:
            return
        before = sighting.refusal
        count = 1 if before is None or before.kind != refusal.kind else before.count + 1
        sighting.refusal = replace(refusal, detail=refusal.detail[:_LONGEST_TEXT], count=count)

    def _seen(self, key: NodeKey, session: Optional[NodeSession]) -> Optional[float]:
        return self.get(key).kept.seen_at if session is None else session.seen_at

    def _keep(self, key: NodeKey, **changes: Any) -> NodeSighted:
        sighting = self._of.setdefault(key, Sighting(NodeSighted(*key)))
        sighting.kept = replace(sighting.kept, **changes)
        return sighting.kept


def _add_names(sighting: Sighting, part: Runnable) -> None:
    """Take one part of a whitelist; a part whose beginning never came is of no use."""
    before: Tuple[str, ...] = ()
    if part.first:
        if sighting.names is None or part.first < len(sighting.names):
            return
        before = sighting.names
    room = NAMES_BYTES - sum(map(len, before))
    fitting: List[str] = []
    for name in part.names:
        room -= len(name)
        if room < 0:
            break
        fitting.append(name)
    sighting.names = (*before, *fitting)
    sighting.all_names = not part.more and len(fitting) == len(part.names)
