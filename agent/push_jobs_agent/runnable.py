"""Which names of the whitelist the server has still to be told, a part per heartbeat. Pure.

Nothing is decided by this: what may run is asked of the runner each time.
"""

from __future__ import annotations

import json
from typing import Any, List, Optional, Tuple

from push_jobs_wire.heartbeats import Runnable


class RunnableNames:
    """The names and patterns of the whitelist in effect, and how many of them were told."""

    def __init__(self) -> None:
        self._names: Optional[Tuple[str, ...]] = None
        self._told = 0
        self._waiting = False

    def learn(self, names: Any) -> bool:
        """Take what the runner says; True when it is something else than before."""
        if not isinstance(names, (list, tuple)):
            return False
        learned = tuple(name for name in names if isinstance(name, str))
        if learned == self._names:
            return False
        self._names = learned
        self.begin()
        return True

    def begin(self) -> None:
        """The server knows none of them: start again with the first one."""
        self._told, self._waiting = 0, self._names is not None

    def take(self, room: int) -> Optional[Runnable]:
        """The next part, at most ``room`` bytes of it; None when the server was told all.

        A name that alone is larger than that is left out.
        """
        if not self._waiting or self._names is None:
            return None
        first, chosen = self._told, self._fill(room)
        self._waiting = self._told < len(self._names)
        return Runnable(tuple(chosen), first, self._waiting)

    def _fill(self, room: int) -> List[str]:
        assert self._names is not None
        chosen: List[str] = []
        for name in self._names[self._told :]:
            size = len(json.dumps(name)) + 1
            if size > room and chosen:
                break
            self._told += 1
            if size <= room:
                chosen.append(name)
                room -= size
        return chosen
