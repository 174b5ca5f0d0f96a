"""A node as our own representation shows it (v1/nodes); docs/nodes.md explains the keys. Pure."""

from __future__ import annotations

from typing import Any, Dict, Optional

from push_jobs_server.api.documents import moment
from push_jobs_server.node_records import NodeDetail, Refusal


def node_summary(
    node: NodeDetail, registered: Optional[bool], refused: Optional[Refusal]
) -> Dict[str, Any]:
    """A node in the list of all nodes.

    ``registered`` is None when that can't be told; ``refused`` is its newest settings request that
    was refused.
    """
    down = None
    if node.down_at is not None:
        down = {"at": moment(node.down_at), "reason": node.down_reason}
    return {
        "name": node.name,
        "state": "up" if node.online else "down" if node.known else "never_seen",
        "available": node.available,
        "registered": registered,
        "since": moment(node.since),
        "reason": node.reason,
        "seen_at": moment(node.seen_at),
        "settings_fetched_at": moment(node.fetched_at),
        "last_down": down,
        "refusal": _refusal(_newer(node.refusal, refused)),
        "version": node.version,
        "platform": node.platform,
        "extensions": node.extensions,
        "says_job": node.says_job,
        "jobs": [{"id": job_id, "status": status} for job_id, status in node.jobs],
    }


def node_detail(
    node: NodeDetail, registered: Optional[bool], refused: Optional[Refusal]
) -> Dict[str, Any]:
    """A node that is shown alone: also what it holds and what can be run there."""
    runnable = None
    if node.names is not None:
        runnable = {"names": list(node.names), "complete": node.all_names}
    spool = None if node.spool is None else list(node.spool)
    return {**node_summary(node, registered, refused), "spool": spool, "runnable": runnable}


def _newer(one: Optional[Refusal], other: Optional[Refusal]) -> Optional[Refusal]:
    if one is None or other is None:
        return one or other
    return one if one.at >= other.at else other


def _refusal(refusal: Optional[Refusal]) -> Optional[Dict[str, Any]]:
    if refusal is None:
        return None
    offset = refusal.clock_offset
    return {
        "kind": refusal.kind,
        "detail": refusal.detail,
        "at": moment(refusal.at),
        "count": refusal.count,
        "clock_offset": None if offset is None else round(offset),
    }
