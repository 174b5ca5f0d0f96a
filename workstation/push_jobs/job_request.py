"""Makes the body of a request that starts a job (pushy-api 4.3); it sends nothing."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Sequence, Union

from push_jobs.errors import UsageError
from push_jobs.quorum import parse_quorum

MAX_FILE = 100_000
"""Bytes that a job's file may have (pushy-api 6)."""


@dataclass(frozen=True)
class JobOptions:
    """What may be said about a job beside its command and nodes; None leaves it to the server."""

    quorum: Union[int, str, None] = None
    run_timeout: Optional[int] = None
    capture: bool = False
    user: Optional[str] = None
    dir: Optional[str] = None
    env: Optional[Mapping[str, str]] = None
    file: Optional[bytes] = None


def encode_job(command: str, nodes: Sequence[str], options: JobOptions) -> bytes:
    """Return the body for ``command`` on ``nodes``; never the same bytes twice. Raises UsageError.

    Equal requests of one user within a second have equal signatures, and the server answers a
    repeated signature with the first job. White space at the end, which means nothing in JSON, sets
    them apart.
    """
    try:
        text = json.dumps(_members(command, nodes, options), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("the command, its options and all names have to be valid UTF-8") from None
    nonce = f"{secrets.randbits(64):064b}".translate({ord("0"): " ", ord("1"): "\t"})
    return text + nonce.encode("ascii")


def encode_cancel(
    nodes: Optional[Sequence[str]], grace: Optional[float], reason: Optional[str]
) -> bytes:
    """Return the body that cancels a job on some nodes, or on all. Raises UsageError."""
    if nodes is not None and not nodes:
        raise UsageError("an empty list of nodes cancels nothing; leave it out to mean all nodes")
    given = {"nodes": None if nodes is None else list(nodes), "grace": grace, "reason": reason}
    members = {key: value for key, value in given.items() if value is not None}
    try:
        return json.dumps(members, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("the reason and all names have to be valid UTF-8") from None


def _members(command: str, nodes: Sequence[str], options: JobOptions) -> Dict[str, object]:
    chosen = list(dict.fromkeys(nodes))
    quorum = options.quorum
    members: Dict[str, object] = {
        "command": command,
        "nodes": chosen,
        "quorum": parse_quorum(quorum, len(chosen)) if isinstance(quorum, str) else quorum,
        "run_timeout": options.run_timeout,
        "capture_output": options.capture or None,
        "user": options.user,
        "dir": options.dir,
        "env": None if options.env is None else dict(options.env),
        "file": None if options.file is None else _file(options.file),
    }
    # null is a value of the wrong type to the server, not an absent one.
    return {key: value for key, value in members.items() if value is not None}


def _file(content: bytes) -> str:
    if len(content) > MAX_FILE:
        raise UsageError(f"the file is larger than the {MAX_FILE} bytes that a job can carry")
    return "base64:" + base64.b64encode(content).decode("ascii")
