"""What a node says to the server, as typed records, and their JSON bodies both ways.

Sources: pushy-protocol 5.3, 6.1 (job ids); the extensions are ours.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Union

from push_jobs_wire.heartbeats import Heartbeat, JobRef, decode_heartbeat, heartbeat_fields
from push_jobs_wire.message_fields import (
    MAX_JOB_ID,
    STREAMS,
    MessageError,
    Unknown,
    dump,
    moment,
    size_of,
    text_of,
    unknown,
    whole,
)
from push_jobs_wire.states import NodeInput


@dataclass(frozen=True)
class Origin:
    """Who speaks: what every message of a node carries (pushy-protocol 5.3)."""

    org: str
    node: str
    incarnation_id: Optional[str] = None
    client: str = ""


@dataclass(frozen=True)
class Reply:
    """Anything a node says about a job.

    All but ``kind``, ``job``, ``stdout`` and ``stderr`` are extensions. Times are seconds since
    the epoch. ``stdout_size`` and ``stderr_size`` are how many bytes the command wrote in all, when
    they were sent as ``Output``.
    """

    kind: NodeInput
    job: JobRef
    stdout: Optional[str] = None
    stderr: Optional[str] = None
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    reason: Optional[str] = None
    started_at: Optional[float] = None
    ended_at: Optional[float] = None
    stdout_size: Optional[int] = None
    stderr_size: Optional[int] = None


@dataclass(frozen=True)
class Output:
    """Extension: bytes that a command wrote, as they come.

    ``offset`` counts all bytes of the channel ``stream`` before these. ``skipped`` of them, right
    before these, are not sent because there were too many; all others were sent, so that a server
    which has not got them knows that they were lost on the way.
    """

    job: JobRef
    stream: str
    offset: int
    data: bytes
    skipped: int = 0


NodeMessage = Union[Heartbeat, Reply, Output, Unknown]

REPLIES: Mapping[str, NodeInput] = {
    kind.value: kind
    for kind in (
        NodeInput.ACK_COMMIT,
        NodeInput.NACK_COMMIT,
        NodeInput.ACK_RUN,
        NodeInput.NACK_RUN,
        NodeInput.SUCCEEDED,
        NodeInput.FAILED,
        NodeInput.ABORTED,
    )
}

_DETAILS: Mapping[str, Callable[[Any], Any]] = {
    "stdout": text_of,
    "stderr": text_of,
    "exit_code": whole,
    "signal": whole,
    "reason": text_of,
    "started_at": moment,
    "ended_at": moment,
    "stdout_size": size_of,
    "stderr_size": size_of,
}
"""How each detail of a reply is read; most replies have none or few."""


def encode_node(
    origin: Origin, message: Union[Heartbeat, Reply, Output], sequence: int, timestamp: str
) -> bytes:
    """The body frame of a node's message (pushy-protocol 5.3); ``job_id`` is always there (R1)."""
    fields: Dict[str, Any] = {
        "node": origin.node,
        "client": origin.client,
        "protocol_version": "2.0",
        "org": origin.org,
        "type": _type_of(message),
        "sequence": sequence,
        "timestamp": timestamp,
        "incarnation_id": origin.incarnation_id,
        "job_id": message.job.id,
    }
    if isinstance(message, Heartbeat):
        fields.update(heartbeat_fields(message))
    elif isinstance(message, Output):
        data = base64.b64encode(message.data).decode("ascii")
        fields.update(stream=message.stream, offset=message.offset, data=data)
        if message.skipped:
            fields["skipped"] = message.skipped
    else:
        details = ((name, getattr(message, name)) for name in _DETAILS)
        fields.update((name, value) for name, value in details if value is not None)
    return dump(fields)


def _type_of(message: Union[Heartbeat, Reply, Output]) -> str:
    if isinstance(message, Reply):
        return message.kind.value
    return "heartbeat" if isinstance(message, Heartbeat) else "output"


def origin_of(fields: Mapping[str, Any]) -> Origin:
    """Whose message a loaded body says it is. Raises MessageError when it does not say."""
    org, node = fields.get("org"), fields.get("node")
    if not isinstance(org, str) or not isinstance(node, str) or not org or not node:
        raise MessageError("message names no organization or node")
    if (text_of(org), text_of(node)) != (org, node):
        raise MessageError("message names an organization or node that is no text")
    client = text_of(fields.get("client")) or ""
    return Origin(org, node, text_of(fields.get("incarnation_id")), client)


def decode_node(fields: Mapping[str, Any]) -> NodeMessage:
    """What a node says, from a loaded body. Never raises."""
    kind = fields.get("type")
    job = _job_ref(fields)
    if kind == "heartbeat":
        return decode_heartbeat(job, fields)
    if kind == "output":
        return _decode_output(job, fields)
    known = REPLIES.get(kind) if isinstance(kind, str) else None
    if known is None:
        return unknown(kind)
    return Reply(
        known,
        job,
        **{name: read(fields[name]) for name, read in _DETAILS.items() if name in fields},
    )


def _decode_output(job: JobRef, fields: Mapping[str, Any]) -> NodeMessage:
    offset, stream, data = size_of(fields.get("offset")), fields.get("stream"), fields.get("data")
    skipped = size_of(fields.get("skipped", 0))
    try:
        content = base64.b64decode(data, validate=True) if isinstance(data, str) else None
    except ValueError:
        content = None
    if offset is None or stream not in STREAMS or content is None or skipped is None:
        return Unknown("output")
    return Output(job, str(stream), offset, content, skipped)


def _job_ref(fields: Mapping[str, Any]) -> JobRef:
    """Null and the string "null" are no job; a missing key or a wrong type is not valid (6.1)."""
    value = fields.get("job_id", 0)
    if value is None or value == "null":
        return JobRef()
    text = text_of(value)
    if text is not None and text == value and len(text.encode("utf-8")) <= MAX_JOB_ID:
        return JobRef(text)
    return JobRef(valid=False)
