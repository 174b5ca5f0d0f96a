"""Counts what was refused and logs it without letting a hostile server fill the log. Pure."""

from __future__ import annotations

from typing import Callable, Dict, Tuple

from push_jobs_agent.actions import Now

QUIET = 10.0
"""Seconds between two lines about the same kind of refusal; those in between are counted."""


class Refusals:
    """One counter for each kind of thing that can be refused.

    Args:
        log: takes level, text and fields of a line.
    """

    def __init__(self, log: Callable[..., None]) -> None:
        self._log = log
        self._total: Dict[str, int] = {}
        self._logged: Dict[str, Tuple[float, int]] = {}

    def refused(self, kind: str, reason: str, now: Now) -> None:
        """Count a refusal; log it unless the last line of its kind is only seconds old."""
        total = self._total[kind] = self._total.get(kind, 0) + 1
        last, count = self._logged.get(kind, (float("-inf"), 0))
        if now.steady >= last + QUIET:
            self._logged[kind] = (now.steady, total)
            self._log("warning", f"refused a {kind}", reason=reason, since_last=total - count)
