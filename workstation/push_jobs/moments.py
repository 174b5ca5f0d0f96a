"""Reads moments as people write them: ``2024-05-14``, ``2024-05-14T09:26:53Z``, ``2h`` (ago)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Optional

from push_jobs.errors import UsageError

_AGO = re.compile(r"([0-9]{1,9})([smhdw])")
_FORMS = "write 2024-05-14, 2024-05-14T09:26:53Z, or an age such as 2h or 7d"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_moment(text: str, now: Optional[datetime] = None) -> datetime:
    """Return a moment, in UTC unless the text says otherwise; raises UsageError.

    ``now`` is what an age counts back from; by default the present.
    """
    wanted = text.strip()
    match = _AGO.fullmatch(wanted)
    try:
        if match is not None:
            age = timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
            return (now or datetime.now(timezone.utc)) - age
        # Python 3.9 knows no Z.
        iso = wanted[:-1] + "+00:00" if wanted.endswith("Z") else wanted
        parsed = datetime.fromisoformat(iso)
        aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)
        return aware.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is no time; {_FORMS}") from None
