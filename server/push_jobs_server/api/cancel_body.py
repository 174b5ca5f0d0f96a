"""The body of POST v1/jobs/ID/cancel, checked. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple

from push_jobs_server.api.services import Failure

MAX_GRACE = 600.0
"""Seconds; agents bound their own setting alike."""
MAX_REASON = 300
"""Characters; with a name before it, it still fits into what an agent reports."""
_KEYS = frozenset(("nodes", "grace", "reason"))


@dataclass(frozen=True)
class CancelBody:
    """What to cancel and how; ``grace`` in seconds, ``nodes`` None for all."""

    nodes: Optional[Tuple[str, ...]]
    grace: Optional[float]
    reason: Optional[str]


def read_cancel(raw: bytes) -> CancelBody:
    """Parse and check a body; none at all means all nodes. Raises Failure 400."""
    body = _load(raw)
    unknown = sorted(set(body) - _KEYS)
    if unknown:
        raise Failure(400, f"invalid key supplied (expected only {', '.join(sorted(_KEYS))})")
    return CancelBody(_nodes(body), _grace(body), _reason(body))


def _load(raw: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(raw.decode("utf-8")) if raw else {}
    except (ValueError, RecursionError):
        raise Failure(400, "invalid JSON") from None
    if not isinstance(body, dict):
        raise Failure(400, "invalid body (expected a JSON object)")
    return body


def _nodes(body: Mapping[str, Any]) -> Optional[Tuple[str, ...]]:
    if "nodes" not in body:
        return None
    nodes = body["nodes"]
    # An empty list might be a search that found nothing: it must not mean all nodes.
    if not isinstance(nodes, list) or not nodes or not all(isinstance(n, str) for n in nodes):
        raise Failure(400, "invalid nodes (expected a list with at least one name)")
    return tuple(dict.fromkeys(nodes))


def _grace(body: Mapping[str, Any]) -> Optional[float]:
    if "grace" not in body:
        return None
    grace = body["grace"]
    is_number = isinstance(grace, (int, float)) and not isinstance(grace, bool)
    if not is_number or not 0 <= grace <= MAX_GRACE:
        raise Failure(400, f"invalid grace (expected 0 to {MAX_GRACE:.0f} seconds)")
    return float(grace)


def _reason(body: Mapping[str, Any]) -> Optional[str]:
    if "reason" not in body:
        return None
    reason = body["reason"]
    if not isinstance(reason, str) or len(reason) > MAX_REASON or not _storable(reason):
        raise Failure(400, f"invalid reason (expected text of at most {MAX_REASON} characters)")
    return reason.strip() or None


def _storable(text: str) -> bool:
    """False for what no database takes: NUL, and halves of characters."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text
