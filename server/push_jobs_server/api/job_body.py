"""The body of POST jobs, checked in the order of pushy-api 4.3. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from push_jobs_server.api.services import Failure

_KEYS = frozenset(
    ("command", "nodes", "run_timeout", "quorum", "user", "dir", "env", "file", "capture_output")
)
_UNKNOWN = "an unknown validation error has occurred"
_NO_NODES = "at least one node must be supplied"
_MAX_NUMBER = 2**31 - 1
_MAX_NODE_NAME = 255


@dataclass(frozen=True)
class JobBody:
    """A job as it was asked for; ``run_timeout`` in seconds, None when not given."""

    command: str
    nodes: Tuple[str, ...]
    quorum: int
    run_timeout: Optional[int]
    user: Optional[str]
    dir: Optional[str]
    env: Optional[Mapping[str, str]]
    file: Optional[str]
    capture: bool


class _Pairs(Dict[str, Any]):
    """A JSON object that remembers whether a key came twice."""

    repeated = False


def _pairs(pairs: List[Tuple[str, Any]]) -> _Pairs:
    made = _Pairs(pairs)
    made.repeated = len(made) != len(pairs)
    return made


def read_job(raw: bytes, max_file: int) -> JobBody:
    """Parse and check a body; a file may have ``max_file`` bytes decoded. Raises Failure 400."""
    body = _load(raw)
    command = body.get("command")
    if not isinstance(command, str):
        raise Failure(400, "invalid command supplied")
    nodes = body.get("nodes")
    if not isinstance(nodes, list) or not all(isinstance(name, str) for name in nodes):
        raise Failure(400, _NO_NODES)
    for name in ("run_timeout", "quorum"):
        if name in body and not _is_number(body[name]):
            raise Failure(400, f"invalid type supplied for {name} (expected a number)")
    _check_optional(body)
    if not nodes:
        raise Failure(400, _NO_NODES)
    _check_env(body.get("env"))
    _check_file(body.get("file"), max_file)
    env = body.get("env") or {}
    _check_unicode([body.get("file") or "", *env, *env.values()])
    check_texts([command, *nodes, body.get("user") or "", body.get("dir") or ""])
    return _made(body, command, nodes)


def _made(body: Mapping[str, Any], command: str, nodes: List[str]) -> JobBody:
    unique = tuple(dict.fromkeys(nodes))
    quorum = _whole("quorum", body["quorum"]) if "quorum" in body else len(nodes)
    timeout = _whole("run_timeout", body["run_timeout"]) if "run_timeout" in body else None
    # Whoever counted a node twice meant the same share of the nodes that there are.
    quorum = max(0, quorum - (len(nodes) - len(unique)))
    return JobBody(
        command,
        unique,
        quorum,
        timeout,
        body.get("user"),
        body.get("dir"),
        None if body.get("env") is None else dict(body["env"]),
        body.get("file"),
        bool(body.get("capture_output", False)),
    )


def _load(raw: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(raw.decode("utf-8"), object_pairs_hook=_pairs)
    except (ValueError, RecursionError):
        raise Failure(400, "invalid JSON") from None
    if not isinstance(body, dict):
        raise Failure(400, _UNKNOWN)
    return body


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(name: str, value: Any) -> int:
    if value != value or value in (float("inf"), float("-inf")) or value != int(value):
        raise Failure(400, f"invalid value supplied for {name} (expected a whole number)")
    if not 0 <= value <= _MAX_NUMBER:
        raise Failure(400, f"invalid value supplied for {name} (expected 0 to {_MAX_NUMBER})")
    return int(value)


def _check_optional(body: Mapping[str, Any]) -> None:
    env = body.get("env", {})
    texts = all(isinstance(body[name], str) for name in ("user", "dir", "file") if name in body)
    env_ok = isinstance(env, dict) and all(isinstance(value, str) for value in env.values())
    if not texts or not env_ok:
        raise Failure(400, _UNKNOWN)
    if not isinstance(body.get("capture_output", False), bool):
        raise Failure(400, "invalid type supplied for capture_output (expected a boolean)")
    if not _KEYS.issuperset(body):
        raise Failure(400, "invalid key supplied")


def _check_env(env: Optional[Mapping[str, str]]) -> None:
    if isinstance(env, _Pairs) and env.repeated:
        raise Failure(400, "invalid environment value (duplicate key)")
    for name, value in (env or {}).items():
        if not name or "=" in name or "\0" in name + value:
            raise Failure(400, f"invalid environment value ({name[:40]!r} can't be a variable)")


def _check_file(file: Optional[str], limit: int) -> None:
    if file is None:
        return
    kind, colon, content = file.partition(":")
    if not colon or kind not in ("raw", "base64"):
        raise Failure(400, "invalid file contents (expected 'base64:...' or 'raw:...')")
    if kind == "raw":
        size = len(content.encode("utf-8", "replace"))
    else:
        try:
            size = len(base64.b64decode("".join(content.split()), validate=True))
        except (binascii.Error, ValueError):
            text = "invalid file contents (couldn't decode base64 string)"
            raise Failure(400, text) from None
    if size > limit:
        raise Failure(400, f"invalid file size (must be <= {limit} bytes)")


def _check_unicode(texts: List[str]) -> None:
    try:
        "".join(f"{text} " for text in texts).encode("utf-8")
    except UnicodeEncodeError:
        raise Failure(400, "invalid text (a lone surrogate)") from None


def check_texts(texts: List[str]) -> None:
    """Refuse what no database and no command line can hold."""
    _check_unicode(texts)
    for text in texts:
        if "\0" in text:
            raise Failure(400, "invalid text (a NUL character)")
    for name in texts[1:-2]:
        if not 0 < len(name) <= _MAX_NODE_NAME:
            raise Failure(400, f"invalid node name (expected 1 to {_MAX_NODE_NAME} characters)")
