"""A node as operators want to see it: whether it is up, since when, and why not. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional

from push_jobs_server.engine.node import NodeKey, NodeSession
from push_jobs_server.node_records import NodeDetail, NodeSighted
from push_jobs_server.serf_records import NodeStatusSeen

if TYPE_CHECKING:
    from push_jobs_server.engine.core import Engine


def detail(engine: "Engine", key: NodeKey) -> NodeDetail:
    """All that the engine knows of a node; of a name never heard of that is nothing."""
    sighting, session = engine.sightings.get(key), engine.roster.get(key)
    over_serf = engine.serf.last(key)
    if session is None and over_serf is not None and sighting.kept.seen_at is None:
        return _over_serf(engine, key, *over_serf)
    kept = sighting.kept
    jobs = [(job.id, job.nodes[key[1]].value) for job in engine.jobs.all_open_for(key)]
    return NodeDetail(
        key[1],
        session is not None or engine.serf.up(key),
        engine.serf.up(key) if session is None else session.available,
        since=_since(kept, session),
        reason=_reason(kept, session, engine.sightings.started),
        seen_at=kept.seen_at if session is None else session.seen_at,
        fetched_at=kept.fetched_at,
        down_at=kept.down_at,
        down_reason=kept.down_reason,
        refusal=sighting.refusal,
        version=kept.version,
        platform=sighting.platform,
        extensions=sighting.extensions if session is None else session.extensions,
        says_job=None if session is None else session.job_id,
        jobs=tuple(jobs),
        spool=sighting.spool,
        names=sighting.names,
        all_names=sighting.all_names,
    )


def _over_serf(engine: "Engine", key: NodeKey, seen: NodeStatusSeen, since: float) -> NodeDetail:
    """A node that never had a Pushy session."""
    up = engine.serf.up(key)
    jobs = [(job.id, job.nodes[key[1]].value) for job in engine.jobs.all_open_for(key)]
    reason = engine.serf.problem if up else "no heartbeat of it came over Serf for too long"
    return NodeDetail(
        key[1], up, up and reason is None, since, reason, seen_at=seen.at, jobs=tuple(jobs)
    )


def details(engine: "Engine", org: str) -> List[NodeDetail]:
    """The same for each node of an organization of which anything is known, sorted by name."""
    names = {*engine.sightings.names(org), *engine.serf.names(org)}
    return [detail(engine, (org, name)) for name in sorted(names)]


def _since(kept: NodeSighted, session: Optional[NodeSession]) -> Optional[float]:
    if session is not None:
        return session.up_at
    return kept.seen_at if kept.down_at is None else kept.down_at


def _reason(kept: NodeSighted, session: Optional[NodeSession], started: float) -> Optional[str]:
    if session is not None:
        waiting = "it was told to abort whatever it may be doing, and has not confirmed that yet"
        return None if session.available else waiting
    if kept.fetched_at is not None and kept.fetched_at >= max(kept.seen_at or 0.0, started):
        return "it fetched its settings, but no message of it has come since"
    if kept.down_at is not None and kept.down_at >= (kept.seen_at or 0.0):
        return kept.down_reason
    if kept.seen_at is not None or kept.fetched_at is not None:
        return "nothing was heard of it since the server was started"
    return None
