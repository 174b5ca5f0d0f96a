"""How long a server may be away while one of its jobs is followed."""

from __future__ import annotations

import time
from typing import Callable, Optional

from push_jobs.errors import PushJobsClientError
from push_jobs.starting import temporary

OnTrouble = Optional[Callable[[PushJobsClientError], None]]


class Patience:
    """Bears errors for a while.

    Args:
        seconds: how long, from the first error since the server last answered.
        on_trouble: called with each error that is borne.
    """

    def __init__(self, seconds: float, on_trouble: OnTrouble) -> None:
        self._seconds = seconds
        self._on_trouble = on_trouble
        self._since: Optional[float] = None

    def answered(self) -> None:
        """The server is there."""
        self._since = None

    def bear(self, error: PushJobsClientError) -> None:
        """Return when it is worth trying again; else raise the error."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if not temporary(error) or now - self._since > self._seconds:
            raise error
        if self._on_trouble is not None:
            self._on_trouble(error)
