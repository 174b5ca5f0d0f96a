"""Turns a server's JSON about nodes into records; distrusts it as ``push_jobs.reading`` does."""

from __future__ import annotations

from typing import List, Optional, Tuple

from push_jobs.models import NodeState
from push_jobs.node_models import LastDown, NodeDetail, NodeJob, NodeRefusal, Presence
from push_jobs.reading import Fields, iso


def read_detail(value: object) -> NodeDetail:
    """Read what the server knows of one node."""
    fields = Fields(value, "node")
    runnable = fields.may("runnable", dict)
    names: Optional[Tuple[str, ...]] = None
    complete = False
    if runnable is not None:
        told = Fields(runnable, "node: 'runnable'")
        names, complete = told.names("names"), told.need("complete", bool)
    return NodeDetail(
        name=fields.need("name", str),
        presence=fields.word("state", Presence),
        available=fields.need("available", bool),
        registered=fields.may("registered", bool),
        since=fields.time("since", iso),
        reason=fields.may("reason", str),
        seen_at=fields.time("seen_at", iso),
        settings_fetched_at=fields.time("settings_fetched_at", iso),
        last_down=_last_down(fields.may("last_down", dict)),
        refusal=_refusal(fields.may("refusal", dict)),
        version=fields.may("version", str),
        platform=fields.may("platform", str),
        extensions=fields.may("extensions", int),
        says_job=fields.may("says_job", str),
        jobs=tuple(_job(job) for job in fields.need("jobs", list)),
        spool=None if fields.may("spool", list) is None else fields.names("spool"),
        runnable=names,
        all_runnable=complete,
    )


def read_details(value: object) -> List[NodeDetail]:
    """Read the list of all nodes."""
    nodes = Fields(value, "list of nodes").need("nodes", list)
    return [read_detail(node) for node in nodes]


def brief(state: NodeState) -> NodeDetail:
    """The little that a server without this route tells."""
    presence = Presence.UP if state.online else Presence.DOWN
    return NodeDetail(state.name, presence, state.available, brief=True)


def _last_down(value: Optional[object]) -> Optional[LastDown]:
    if value is None:
        return None
    fields = Fields(value, "node: 'last_down'")
    return LastDown(fields.moment("at", iso), fields.may("reason", str) or "")


def _refusal(value: Optional[object]) -> Optional[NodeRefusal]:
    if value is None:
        return None
    fields = Fields(value, "node: 'refusal'")
    return NodeRefusal(
        kind=fields.need("kind", str),
        detail=fields.need("detail", str),
        at=fields.moment("at", iso),
        count=fields.need("count", int),
        clock_offset=fields.may("clock_offset", int),
    )


def _job(value: object) -> NodeJob:
    fields = Fields(value, "job of the node")
    return NodeJob(fields.need("id", str), fields.need("status", str))
