"""Counts what was refused and logs it without letting a hostile server fill the log. Pure."""

from __future__ import annotations

from typing import Dict, Tuple

from push_jobs_agent.actions import Now
from push_jobs_agent.outbox import Outbox

QUIET = 10.0
"""Seconds between two lines about the same kind of refusal; those in between are counted."""


class Refusals:
    """One counter for each kind of thing that can be refused."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._total: Dict[str, int] = {}
        self._logged: Dict[str, Tuple[float, int]] = {}

    def refused(self, kind: str, reason: str, now: Now) -> None:
        """Count a refusal; log it unless the last line of its kind is only seconds old."""
        total = self._total[kind] = self._total.get(kind, 0) + 1
        last, count = self._logged.get(kind, (float("-inf"), 0))
        if now.steady >= last + QUIET:
            self._logged[kind] = (now.steady, total)
            self._outbox.log(
                "warning", f"refused a {kind}", reason=reason, since_last=total - count
            )
