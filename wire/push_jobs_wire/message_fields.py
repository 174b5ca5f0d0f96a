"""What the messages of both sides have in common: JSON bodies and the reading of single fields.

Unknown fields are ignored and unknown types become ``Unknown``: both old ends do so, which is what
makes our extensions safe (pushy-protocol 4.9).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from push_jobs_wire.errors import RemoteError

EXTENSIONS = 1
"""Version of our extensions that this code speaks; both sides say it before either uses them."""

MAX_JOB_ID = 64

STREAMS = ("stdout", "stderr")
"""The channels of a job."""

LEFT_OUT = "[... %d bytes left out ...]"
"""The line that stands where output was too much; both ends and people see the same one."""


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


def dump(fields: Mapping[str, Any]) -> bytes:
    """Encode an object as a body frame."""
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


def text_of(value: Any) -> Optional[str]:
    """A string that can be encoded again, or None."""
    if not isinstance(value, str):
        return None
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def texts_of(value: Any) -> Optional[Tuple[str, ...]]:
    """The strings in a list; None for what is no list."""
    if not isinstance(value, list):
        return None
    return tuple(each for each in map(text_of, value) if each is not None)


def whole(value: Any) -> Optional[int]:
    """A whole number of 32 bits, or None."""
    usable = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
    return value if usable else None


def size_of(value: Any) -> Optional[int]:
    """A count of bytes, or None."""
    usable = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return value if usable else None


def moment(value: Any) -> Optional[float]:
    """Seconds since the epoch, or None."""
    usable = (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**40
    )
    return float(value) if usable else None


@dataclass(frozen=True)
class Unknown:
    """A type that this side does not know; to be ignored."""

    type: str


def unknown(kind: Any) -> Unknown:
    """A message of another type; one that is no text is not shown, it may be too large for that."""
    return Unknown((text_of(kind) or "")[:40])
