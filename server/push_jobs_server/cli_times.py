"""Times as people write them on the command line: ``30d`` ago, or a date. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any, Optional

import click

_AGE = re.compile(r"([0-9]{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Age(click.ParamType):
    """A span of time such as ``12h`` or ``30d``; seconds as a float."""

    name = "age"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> float:
        """Return seconds; a wrong form is a usage error."""
        if isinstance(value, float):
            return value
        match = _AGE.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is not a span of time; write 90s, 45m, 12h, 30d or 4w")
        return float(int(match[1]) * _SECONDS[match[2]])


class Moment(click.ParamType):
    """A moment: ISO 8601 (UTC unless it says otherwise) or an age; see ``since_epoch``."""

    name = "time"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Any:
        """Return a datetime, or an age in seconds."""
        if not isinstance(value, str):
            return value
        if _AGE.fullmatch(value):
            return Age().convert(value, param, ctx)
        try:
            # Python 3.9 knows no Z.
            text = value[:-1] + "+00:00" if value.endswith("Z") else value
            parsed = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{value!r} is no time; write 2024-05-14, 2024-05-14T09:26:53Z, or 7d (ago)")
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def since_epoch(moment: Any, now: float) -> Optional[float]:
    """Seconds since the epoch of what ``Moment`` returned; None stays None."""
    if moment is None:
        return None
    return moment.timestamp() if isinstance(moment, datetime) else now - float(moment)


def show_age(seconds: float) -> str:
    """``30 d``, ``12 h``, ... in the largest unit that fits without a remainder."""
    for unit in ("d", "h", "m"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])} {unit}"
    return f"{seconds:g} s"


def show_moment(at: float) -> str:
    """A moment for people, in UTC."""
    return f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%d %H:%M:%S}Z"
