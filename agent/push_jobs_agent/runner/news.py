"""When to tell that a job printed something: at once after silence, then now and then. Pure.

A command may print many small pieces; the session hears of them at most every ``PAUSE`` seconds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional

PAUSE = 0.03
"""Seconds between two pieces of news about a job; somebody who looks on does not see them."""


class News:
    """The news about the jobs that run.

    Args:
        tell: called with the id of a job whose output grew.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._quiet_until: dict[str, float] = {}
        self._untold: dict[str, float] = {}

    def grown(self, job_id: str, now: float) -> None:
        """A job printed something. ``now`` is in monotonic seconds."""
        until = self._quiet_until.get(job_id, now)
        if until <= now:
            self._say(job_id, now)
        else:
            self._untold[job_id] = until

    def forget(self, job_id: str) -> None:
        """A job ended; that is told by itself."""
        self._quiet_until.pop(job_id, None)
        self._untold.pop(job_id, None)

    def next_call(self) -> Optional[float]:
        """When ``tick`` wants to be called, in monotonic seconds."""
        return min(self._untold.values(), default=None)

    def tick(self, now: float) -> None:
        """Tell what is due."""
        for job_id in [job_id for job_id, due in self._untold.items() if due <= now]:
            self._say(job_id, now)

    def _say(self, job_id: str, now: float) -> None:
        self._untold.pop(job_id, None)
        self._quiet_until[job_id] = now + PAUSE
        self._tell(job_id)
