"""The events of one feed, in order, bounded. Pure.

Readers hold no copies: each has a number, the next event that it has not seen. So a slow reader
costs nothing, and one that comes too late is told since when it missed events.
"""

from __future__ import annotations

from typing import Any, List, Mapping, NamedTuple, Optional

MICROSECONDS = 1_000_000
MISSED = "start_of_history"
_MISSED_ID = "start_id"


class Entry(NamedTuple):
    """An event of a feed; ``at`` in microseconds since the epoch, larger than the one before."""

    id: str
    at: int
    name: str
    data: Mapping[str, Any]


def missed(at: int) -> Entry:
    """The event that stands for all those up to ``at`` that the reader does not get."""
    return Entry(_MISSED_ID, at, MISSED, {})


class History:
    """Events with numbers from 1.

    Args:
        prefix: begins each id; the number follows.
        limit: how many events are kept at most; past it the oldest go.
    """

    def __init__(self, prefix: str, limit: int) -> None:
        self._prefix = prefix
        self._limit = limit
        self._entries: List[Entry] = []
        self._first = 1
        self._last_at = 0
        self._dropped_at = 0
        self.closed = False
        """True when no event will follow."""

    @property
    def first(self) -> int:
        """The number of the oldest event that is kept."""
        return self._first

    @property
    def next(self) -> int:
        """The number that the next event will have."""
        return self._first + len(self._entries)

    def add(self, name: str, at: float, data: Mapping[str, Any]) -> None:
        """Append an event that happened ``at`` seconds since the epoch."""
        self._last_at = max(round(at * MICROSECONDS), self._last_at + 1)
        self._entries.append(Entry(f"{self._prefix}{self.next}", self._last_at, name, data))
        if len(self._entries) > self._limit:
            self._drop(1 + self._limit // 10)  # many at once: removing from the front is not cheap

    def expire(self, before: float) -> None:
        """Forget the events that are older than ``before``, in seconds since the epoch."""
        border, count = before * MICROSECONDS, 0
        while count < len(self._entries) and self._entries[count].at < border:
            count += 1
        if count:
            self._drop(count)

    def _drop(self, count: int) -> None:
        self._dropped_at = self._entries[count - 1].at
        self._first += count
        del self._entries[:count]

    def after(self, event_id: str) -> Optional[int]:
        """The number of the event that follows this id; None when no such event is kept."""
        digits = event_id[len(self._prefix) :]
        if not event_id.startswith(self._prefix) or not 0 < len(digits) < 20:
            return None
        if not digits.isascii() or not digits.isdigit() or digits[0] == "0":
            return None
        number = int(digits)
        return number + 1 if self._first <= number < self.next else None

    def read(self, number: int, most: int) -> List[Entry]:
        """At most ``most`` events from this number on, after ``missed`` when some are gone."""
        start = number - self._first
        if start < 0:
            return [missed(self._dropped_at), *self._entries[:most]]
        return self._entries[start : start + most]
