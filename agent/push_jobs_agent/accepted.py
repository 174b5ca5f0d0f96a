"""Which commands were accepted before, so that none counts twice. Pure.

The newest are remembered however old they are: what was once a run of this node must not be called
invalid because somebody says its name again. Source: shovey 4.2, whose commands can be replayed.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Iterable, Iterator, Tuple

REMEMBERED = 4096
"""So many at least; more while their times would still pass."""

Entry = Tuple[float, str, str]
"""When it was accepted (seconds since the epoch), the action and the job."""


class Accepted:
    """The commands that were accepted.

    Args:
        entries: those of earlier lives, oldest first.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._when: "OrderedDict[Tuple[str, str], float]" = OrderedDict()
        for when, action, job_id in entries:
            self._when[action, job_id] = when

    def __len__(self) -> int:
        return len(self._when)

    def __iter__(self) -> Iterator[Entry]:
        """All of them, oldest first."""
        return ((when, action, job_id) for (action, job_id), when in self._when.items())

    def knows(self, action: str, job_id: str) -> bool:
        """True when this was accepted before."""
        return (action, job_id) in self._when

    def add(self, action: str, job_id: str, wall: float, slew: float) -> None:
        """Remember a command; ``slew`` is how far in seconds its time may be from ours."""
        self._when[action, job_id] = wall
        while len(self._when) > REMEMBERED:
            if next(iter(self._when.values())) > wall - 2 * slew:
                return
            self._when.popitem(last=False)
