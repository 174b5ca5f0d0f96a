"""Reads durations as people write them (``30s``, ``5m``, ``2h``, seconds) and shows them."""

from __future__ import annotations

import re

from push_jobs.errors import UsageError

_FORM = re.compile(r"([0-9]{1,10})([smh]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_MOST = 2**31 - 1  # pushy-api 6: run_timeout is stored in 32 bits


def parse_duration(text: str, least: int = 1, most: int = _MOST) -> int:
    """Return seconds; raises UsageError for another form or a value out of bounds."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a duration; write 30s, 5m, 2h, or plain seconds")
    seconds = int(match[1]) * _SECONDS[match[2]]
    if not least <= seconds <= most:
        unit = "second" if least == 1 else "seconds"
        bounds = f"{least} {unit} to {most} seconds"
        raise UsageError(f"{text!r} is out of range: the duration may be {bounds}")
    return seconds


def show_duration(seconds: float) -> str:
    """Return ``seconds`` for people: ``0.4 s``, ``12 s``, ``3 m 05 s``, ``2 h 00 m``."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
