"""The heartbeat of a node, with what our agents add to it, and its JSON fields both ways.

Sources: pushy-protocol 5.3; the extensions are ours (``jobs``, ``names`` and so on).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from push_jobs_wire.message_fields import text_of, texts_of, whole
from push_jobs_wire.states import AgentState

_AGENT_WORDS = [state.value for state in AgentState]


@dataclass(frozen=True)
class JobRef:
    """The ``job_id`` of a node's message: no job (None), a job, or not valid at all."""

    id: Optional[str] = None
    valid: bool = True


@dataclass(frozen=True)
class Runnable:
    """A part of the names and patterns on a node's whitelist, in the order of its file.

    ``first`` is the position of the first of them; ``more`` says that another part follows.
    """

    names: Tuple[str, ...] = ()
    first: int = 0
    more: bool = False


@dataclass(frozen=True)
class Heartbeat:
    """A node's heartbeat. ``extensions`` is 0 for old agents.

    The others are extensions, None when they were not sent. ``jobs`` lists the ids of all jobs in
    the agent's spool; it comes, like ``version`` and ``platform``, in the first heartbeat after
    connecting. ``runnable`` starts there and again after a reload.
    """

    state: AgentState = AgentState.IDLE
    job: JobRef = JobRef()
    extensions: int = 0
    jobs: Optional[Tuple[str, ...]] = None
    version: Optional[str] = None
    platform: Optional[str] = None
    runnable: Optional[Runnable] = None


def heartbeat_fields(message: Heartbeat) -> Dict[str, Any]:
    """The fields that a heartbeat has besides those of every message of a node."""
    fields: Dict[str, Any] = {"job_state": message.state.value}
    if message.extensions:
        fields["extensions"] = message.extensions
    if message.jobs is not None:
        fields["jobs"] = list(message.jobs)
    for name in ("version", "platform"):
        if getattr(message, name) is not None:
            fields[name] = getattr(message, name)
    if message.runnable is not None:
        fields.update(_runnable_fields(message.runnable))
    return fields


def _runnable_fields(part: Runnable) -> Dict[str, Any]:
    fields: Dict[str, Any] = {"names": list(part.names)}
    if part.first:
        fields["names_from"] = part.first
    if part.more:
        fields["names_more"] = True
    return fields


def decode_heartbeat(job: JobRef, fields: Mapping[str, Any]) -> Heartbeat:
    """What a node's heartbeat says about ``job`` and itself. Never raises."""
    word = fields.get("job_state")
    state = AgentState(word) if word in _AGENT_WORDS else AgentState.IDLE
    extensions = whole(fields.get("extensions")) or 0
    return Heartbeat(
        state,
        job,
        extensions=max(extensions, 0),
        jobs=texts_of(fields.get("jobs")),
        version=text_of(fields.get("version")),
        platform=text_of(fields.get("platform")),
        runnable=_decode_runnable(fields),
    )


def _decode_runnable(fields: Mapping[str, Any]) -> Optional[Runnable]:
    names = texts_of(fields.get("names"))
    if names is None:
        return None
    first = max(whole(fields.get("names_from")) or 0, 0)
    return Runnable(names, first, fields.get("names_more") is True)
