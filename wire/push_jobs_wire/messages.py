"""Every message of the Pushy wire as a typed record, and its JSON body both ways.

Unknown fields are ignored and unknown types become ``Unknown``: both old ends do so, which is what
makes our extensions safe (pushy-protocol 4.9). Signatures, clocks and sockets live elsewhere.
Sources: pushy-protocol 5, 6.1 (job ids); the extensions are ours.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from push_jobs_wire.errors import RemoteError
from push_jobs_wire.states import AgentState, NodeInput

EXTENSIONS = 1
"""Version of our extensions that this code speaks; both sides say it before either uses them."""

MAX_JOB_ID = 64


class MessageError(RemoteError):
    """Raised when a body is no JSON object or lacks what every message must have."""


def load(body: bytes, limit: Optional[int] = None) -> Dict[str, Any]:
    """Decode a body frame into its JSON object.

    ``limit`` is the largest size in bytes that is accepted. Raises MessageError.
    """
    if limit is not None and len(body) > limit:
        raise MessageError(f"body of {len(body)} bytes, at most {limit} are allowed")
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise MessageError("body is not JSON") from None
    if not isinstance(value, dict):
        raise MessageError("body is not a JSON object")
    return value


def _dump(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


def _text(value: Any) -> Optional[str]:
    """A string that can be encoded again, or None."""
    if not isinstance(value, str):
        return None
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def _whole(value: Any) -> Optional[int]:
    usable = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
    return value if usable else None


def _moment(value: Any) -> Optional[float]:
    usable = (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**40
    )
    return float(value) if usable else None


# From the server to a node.


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
class Unknown:
    """A type that this side does not know; to be ignored."""

    type: str


ServerMessage = Union[ServerHeartbeat, Commit, Run, Abort, Ack, Confirm, Unknown]


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
        fields.update((name, value) for name, value in vars(message).items() if value is not None)
    return _dump(fields)


_SERVER_TYPES = {Run: "run", Confirm: "confirm", Abort: "abort", Ack: "ack"}


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
    job_id = _text(fields.get("job_id"))
    if kind == "heartbeat":
        server = _text(fields.get("server")) or ""
        return ServerHeartbeat(server, _text(fields.get("incarnation_id")))
    if kind == "commit":
        return _decode_commit(job_id, fields)
    if kind == "run":
        return Run(job_id)
    if kind == "confirm":
        return Confirm(job_id)
    if kind == "abort":
        return Abort(_moment(fields.get("grace")), _text(fields.get("reason")))
    return Ack() if kind == "ack" else _unknown(kind)


def _unknown(kind: Any) -> Unknown:
    """Other kinds than text are not shown: a number or a nesting may be too large for that."""
    return Unknown((_text(kind) or "")[:40])


def _decode_commit(job_id: Optional[str], fields: Mapping[str, Any]) -> Commit:
    command = _text(fields.get("command"))
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
        server=_text(fields.get("server")) or "",
        user=_text(fields.get("user")),
        dir=_text(fields.get("dir")),
        env={str(_text(k)): str(_text(v)) for k, v in env.items()} if env else None,
        file=_text(fields.get("file")),
        capture=fields.get("capture") is True,
        run_timeout=_whole(fields.get("run_timeout")),
    )


def _optional(kind: type, value: Any) -> bool:
    """False and null count as absent (pushy-protocol 5.2)."""
    return value is None or value is False or isinstance(value, kind)


# From a node to the server.


@dataclass(frozen=True)
class Origin:
    """Who speaks: what every message of a node carries (pushy-protocol 5.3)."""

    org: str
    node: str
    incarnation_id: Optional[str] = None
    client: str = ""


@dataclass(frozen=True)
class JobRef:
    """The ``job_id`` of a node's message: no job (None), a job, or not valid at all."""

    id: Optional[str] = None
    valid: bool = True


@dataclass(frozen=True)
class Heartbeat:
    """A node's heartbeat. ``extensions`` is 0 for old agents.

    ``jobs`` (extension, in the first heartbeat after connecting) lists the ids of all jobs in the
    agent's spool; None when it was not sent.
    """

    state: AgentState = AgentState.IDLE
    job: JobRef = JobRef()
    extensions: int = 0
    jobs: Optional[Tuple[str, ...]] = None
    version: Optional[str] = None


@dataclass(frozen=True)
class Reply:
    """Anything a node says about a job.

    All but ``kind``, ``job``, ``stdout`` and ``stderr`` are extensions. Times are seconds since
    the epoch.
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


NodeMessage = Union[Heartbeat, Reply, Unknown]

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

_DETAILS = (
    "stdout",
    "stderr",
    "exit_code",
    "signal",
    "reason",
    "started_at",
    "ended_at",
)


def encode_node(
    origin: Origin, message: Union[Heartbeat, Reply], sequence: int, timestamp: str
) -> bytes:
    """The body frame of a node's message (pushy-protocol 5.3); ``job_id`` is always there (R1)."""
    fields: Dict[str, Any] = {
        "node": origin.node,
        "client": origin.client,
        "protocol_version": "2.0",
        "org": origin.org,
        "type": "heartbeat" if isinstance(message, Heartbeat) else message.kind.value,
        "sequence": sequence,
        "timestamp": timestamp,
        "incarnation_id": origin.incarnation_id,
        "job_id": message.job.id,
    }
    if isinstance(message, Heartbeat):
        fields.update(_heartbeat_fields(message))
    else:
        details = ((name, getattr(message, name)) for name in _DETAILS)
        fields.update((name, value) for name, value in details if value is not None)
    return _dump(fields)


def _heartbeat_fields(message: Heartbeat) -> Dict[str, Any]:
    fields: Dict[str, Any] = {"job_state": message.state.value}
    if message.extensions:
        fields["extensions"] = message.extensions
    if message.jobs is not None:
        fields["jobs"] = list(message.jobs)
    if message.version is not None:
        fields["version"] = message.version
    return fields


def origin_of(fields: Mapping[str, Any]) -> Origin:
    """Whose message a loaded body says it is. Raises MessageError when it does not say."""
    org, node = fields.get("org"), fields.get("node")
    if not isinstance(org, str) or not isinstance(node, str) or not org or not node:
        raise MessageError("message names no organization or node")
    if (_text(org), _text(node)) != (org, node):
        raise MessageError("message names an organization or node that is no text")
    client = _text(fields.get("client")) or ""
    return Origin(org, node, _text(fields.get("incarnation_id")), client)


def decode_node(fields: Mapping[str, Any]) -> NodeMessage:
    """What a node says, from a loaded body. Never raises."""
    kind = fields.get("type")
    job = _job_ref(fields)
    if kind == "heartbeat":
        return _decode_heartbeat(job, fields)
    known = REPLIES.get(kind) if isinstance(kind, str) else None
    if known is None:
        return _unknown(kind)
    return Reply(
        known,
        job,
        stdout=_text(fields.get("stdout")),
        stderr=_text(fields.get("stderr")),
        exit_code=_whole(fields.get("exit_code")),
        signal=_whole(fields.get("signal")),
        reason=_text(fields.get("reason")),
        started_at=_moment(fields.get("started_at")),
        ended_at=_moment(fields.get("ended_at")),
    )


def _job_ref(fields: Mapping[str, Any]) -> JobRef:
    """Null and the string "null" are no job; a missing key or a wrong type is not valid (6.1)."""
    value = fields.get("job_id", 0)
    if value is None or value == "null":
        return JobRef()
    text = _text(value)
    if text is not None and text == value and len(text.encode("utf-8")) <= MAX_JOB_ID:
        return JobRef(text)
    return JobRef(valid=False)


_AGENT_WORDS = [state.value for state in AgentState]


def _decode_heartbeat(job: JobRef, fields: Mapping[str, Any]) -> Heartbeat:
    word = fields.get("job_state")
    state = AgentState(word) if word in _AGENT_WORDS else AgentState.IDLE
    held: Any = fields.get("jobs")
    jobs: Optional[List[str]] = None
    if isinstance(held, list):
        jobs = [text for text in map(_text, held) if text is not None]
    extensions = _whole(fields.get("extensions")) or 0
    return Heartbeat(
        state,
        job,
        extensions=max(extensions, 0),
        jobs=None if jobs is None else tuple(jobs),
        version=_text(fields.get("version")),
    )
