"""What the server says to a node, as typed records, and their JSON bodies both ways.

Sources: pushy-protocol 5.2; the extensions are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Union

from push_jobs_wire.message_fields import (
    MAX_JOB_ID,
    STREAMS,
    Unknown,
    dump,
    moment,
    size_of,
    text_of,
    unknown,
    whole,
)


@dataclass(frozen=True)
class ServerHeartbeat:
    """The broadcast heartbeat; ``server`` is the host name, ``incarnation_id`` this run of it."""

    server: str
    incarnation_id: Optional[str]


@dataclass(frozen=True)
class Commit:
    """The question whether the node would run a job.

    ``problem`` says what is wrong with the message itself; such a commit has to be refused.
    ``run_timeout`` (seconds) is an extension.
    """

    job_id: Optional[str]
    command: str
    server: str = ""
    user: Optional[str] = None
    dir: Optional[str] = None
    env: Optional[Mapping[str, str]] = None
    file: Optional[str] = None
    capture: bool = False
    run_timeout: Optional[int] = None
    problem: Optional[str] = None


@dataclass(frozen=True)
class Run:
    """Leave to start the committed job."""

    job_id: Optional[str]


@dataclass(frozen=True)
class Abort:
    """Drop what is going on and report ``aborted``; ``grace`` (s) and ``reason`` are extensions."""

    grace: Optional[float] = None
    reason: Optional[str] = None


@dataclass(frozen=True)
class Ack:
    """No more than a sign of life on the command channel."""


@dataclass(frozen=True)
class Confirm:
    """Extension: the job's result is stored, the node may forget it."""

    job_id: Optional[str]


@dataclass(frozen=True)
class OutputAck:
    """Extension: what of a channel is stored, and how much more may be sent now.

    Bytes before ``offset`` need not be sent again; at most ``credit`` bytes beyond it may be under
    way. ``stream`` is ``stdout`` or ``stderr``. With ``again`` it says something else: a piece got
    lost on the way, and everything from ``offset`` on has to be sent again.
    """

    job_id: Optional[str]
    stream: str
    offset: int
    credit: int
    again: bool = False


ServerMessage = Union[ServerHeartbeat, Commit, Run, Abort, Ack, Confirm, OutputAck, Unknown]


def encode_server(message: ServerMessage, sequence: int, timestamp: str) -> bytes:
    """The body frame of a message to a node, or of the broadcast heartbeat (pushy-protocol 5.2)."""
    fields: Dict[str, Any] = {"sequence": sequence, "timestamp": timestamp}
    if isinstance(message, ServerHeartbeat):
        fields.update(
            server=message.server,
            type="heartbeat",
            incarnation_id=message.incarnation_id,
        )
    elif isinstance(message, Commit):
        fields.update(_commit_fields(message))
    else:
        fields["type"] = _SERVER_TYPES[type(message)]
        for name, value in vars(message).items():
            if value is not None and value is not False:
                fields[name] = value
    return dump(fields)


_SERVER_TYPES = {
    Run: "run",
    Confirm: "confirm",
    OutputAck: "output_ack",
    Abort: "abort",
    Ack: "ack",
}


def _commit_fields(message: Commit) -> Dict[str, Any]:
    fields: Dict[str, Any] = {
        "type": "commit",
        "job_id": message.job_id,
        "server": message.server,
        "command": message.command,
    }
    for name in ("user", "dir", "env", "file", "run_timeout"):
        value = getattr(message, name)
        if value is not None:
            fields[name] = dict(value) if name == "env" else value
    fields["capture"] = message.capture
    return fields


def decode_server(fields: Mapping[str, Any]) -> ServerMessage:
    """What the server says, from a loaded body. Never raises: what is unusable says so itself."""
    kind = fields.get("type")
    job_id = text_of(fields.get("job_id"))
    if kind == "heartbeat":
        server = text_of(fields.get("server")) or ""
        return ServerHeartbeat(server, text_of(fields.get("incarnation_id")))
    if kind == "commit":
        return _decode_commit(job_id, fields)
    if kind == "run":
        return Run(job_id)
    if kind == "confirm":
        return Confirm(job_id)
    if kind == "output_ack":
        return _decode_output_ack(job_id, fields)
    if kind == "abort":
        return Abort(moment(fields.get("grace")), text_of(fields.get("reason")))
    return Ack() if kind == "ack" else unknown(kind)


def _decode_output_ack(job_id: Optional[str], fields: Mapping[str, Any]) -> ServerMessage:
    offset, credit = size_of(fields.get("offset")), size_of(fields.get("credit"))
    stream = fields.get("stream")
    if offset is None or credit is None or stream not in STREAMS:
        return Unknown("output_ack")
    return OutputAck(job_id, str(stream), offset, credit, fields.get("again") is True)


def _decode_commit(job_id: Optional[str], fields: Mapping[str, Any]) -> Commit:
    command = text_of(fields.get("command"))
    problems = [name for name in ("user", "dir", "file") if not _optional(str, fields.get(name))]
    env = fields.get("env")
    if not _optional(dict, env) or not all(isinstance(v, str) for v in (env or {}).values()):
        problems.append("env")
    if job_id is None or not 0 < len(job_id) <= MAX_JOB_ID:
        problems.append("job_id")
    if command is None:
        problems.append("command")
    if problems:
        names = ", ".join(problems)
        return Commit(job_id, command or "", problem=f"the commit has no usable {names}")
    return Commit(
        job_id,
        command or "",
        server=text_of(fields.get("server")) or "",
        user=text_of(fields.get("user")),
        dir=text_of(fields.get("dir")),
        env={str(text_of(k)): str(text_of(v)) for k, v in env.items()} if env else None,
        file=text_of(fields.get("file")),
        capture=fields.get("capture") is True,
        run_timeout=whole(fields.get("run_timeout")),
    )


def _optional(kind: type, value: Any) -> bool:
    """False and null count as absent (pushy-protocol 5.2)."""
    return value is None or value is False or isinstance(value, kind)
