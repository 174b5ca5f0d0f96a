"""The form of a log line, the same for agent and server: `key=value` text, or JSON. Pure.

Whatever a peer sent may stand in a value; it stays inside of it and in one line. Where lines go and
which are written is the business of the programs.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Mapping

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/+@-")


def moment(at: float) -> str:
    """Seconds since the epoch as log lines have them, in UTC and without fractions."""
    return f"{datetime.fromtimestamp(int(at), timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def log_line(fields: Mapping[str, Any], as_json: bool) -> str:
    """All fields in their order, in one line."""
    if as_json:
        return json.dumps(fields, default=str)
    return " ".join(f"{name}={_quoted(value)}" for name, value in fields.items())


def _quoted(value: Any) -> str:
    """A value without surprises: anything but plain signs is quoted and escaped."""
    text = str(value)
    return text if text and _BARE.issuperset(text) else json.dumps(text)
