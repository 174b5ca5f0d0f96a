"""The shell around the hub: one lock, the readers that wait, and how many there may be.

The engine's thread only appends under the lock and sets bells; formatting and sending are done by
the thread of each reader. The lock is held for microseconds, never while anything is sent.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, Dict, Iterable, List, Optional, Sequence, Set

from push_jobs_server.engine.events import Event
from push_jobs_server.feeds.history import MICROSECONDS, Entry, History, missed
from push_jobs_server.feeds.hub import FeedRules, Hub
from push_jobs_server.records import Busy

_AT_ONCE = 200
"""Events that a reader is given at a time."""


class Reader:
    """One open feed; belongs to one thread, which closes it in the end.

    Args:
        feeds: what it was opened from.
        history: what it reads.
        number: the first event that it wants.
        preface: what it is given before that.
    """

    def __init__(
        self, feeds: Feeds, history: History, number: int, preface: Sequence[Entry]
    ) -> None:
        self._feeds = feeds
        self.history = history
        self._number = number
        self._preface = list(preface)
        self.bell = threading.Event()

    def take(self, timeout: float) -> Optional[List[Entry]]:
        """The next events; empty when none came within ``timeout`` seconds, None at the end."""
        entries = self._read()
        if entries is not None and not entries and timeout:
            self.bell.wait(timeout)
            entries = self._read()
        return entries

    def _read(self) -> Optional[List[Entry]]:
        with self._feeds.lock:
            self.bell.clear()
            if self._feeds.closed:
                return None
            number = max(self._number, self.history.first)
            entries = self.history.read(self._number, _AT_ONCE)
            self._number = min(number + _AT_ONCE, self.history.next)
            over = self.history.closed
        entries = self._preface + entries
        self._preface = []
        return None if over and not entries else entries

    def close(self) -> None:
        """Free the place for another reader."""
        self._feeds.leave(self)


class Feeds:
    """The feeds of a server; any thread may call.

    Args:
        rules: how long events are kept.
        most: how many readers there may be at a time.
        run: names this run of the server in ids. See ``Hub``.
        clock: seconds since the epoch.
    """

    def __init__(
        self, rules: FeedRules, most: int, run: str, clock: Callable[[], float] = time.time
    ) -> None:
        self.lock = threading.Lock()
        self.closed = False
        self._hub = Hub(rules, run)
        self._most = most
        self._clock = clock
        self._readers: Dict[History, Set[Reader]] = {}
        self._count = 0

    # For the engine's thread

    def restore(self, events: Iterable[Event]) -> None:
        """What is known of an unfinished job; before anybody reads. See ``Hub.restore``."""
        with self.lock:
            self._hub.restore(events)

    def publish(self, events: Sequence[Event]) -> None:
        """Show events whose changes are stored."""
        with self.lock:
            self._ring(self._hub.publish(events, self._clock()))

    def break_off(self, events: Sequence[Event]) -> None:
        """Events whose changes can never be stored: the feeds of their jobs end."""
        with self.lock:
            self._ring(self._hub.break_off(events))

    def _ring(self, histories: Iterable[History]) -> None:
        for history in histories:
            for reader in self._readers.get(history, ()):
                reader.bell.set()

    # For HTTP threads

    def open_job(self, org: str, job_id: str, last_id: Optional[str]) -> Optional[Reader]:
        """Read a job from its beginning, or after ``last_id`` when the job has such an event.

        None when the job is unknown here: its end is too long ago, or it is none of ``org``.
        Raises Busy when too many feeds are open, or the server stops.
        """
        with self.lock:
            history = self._hub.job(org, job_id, self._clock())
            if history is None:
                return None
            number = None if last_id is None else history.after(last_id)
            return self._enter(Reader(self, history, 1 if number is None else number, ()))

    def open_output(self, org: str, job_id: str) -> Optional[Reader]:
        """Hear which channels of a job grow; None when it has ended. Raises Busy."""
        with self.lock:
            history = self._hub.output(org, job_id, self._clock())
            if history is None:
                return None
            return self._enter(Reader(self, history, history.next, ()))

    def open_org(self, org: str, last_id: Optional[str]) -> Reader:
        """Read an organization's events from now on, or after ``last_id``.

        After an id that is not known (any more): all that are kept. Raises Busy as ``open_job``.
        """
        with self.lock:
            now = self._clock()
            history = self._hub.org(org, now)
            if last_id is None:
                return self._enter(Reader(self, history, history.next, ()))
            number = history.after(last_id)
            if number is not None:
                return self._enter(Reader(self, history, number, ()))
            preface = missed(round(self._hub.horizon(now) * MICROSECONDS))
            return self._enter(Reader(self, history, history.first, (preface,)))

    def _enter(self, reader: Reader) -> Reader:
        if self.closed:
            raise Busy("the server is stopping")
        if self._count >= self._most:
            raise Busy(f"{self._most} event feeds are open, more are not allowed (http.max_feeds)")
        self._count += 1
        self._readers.setdefault(reader.history, set()).add(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        """See ``Reader.close``; leaving again does nothing."""
        with self.lock:
            readers = self._readers.get(reader.history, set())
            if reader in readers:
                readers.remove(reader)
                self._count -= 1
                if not readers:
                    del self._readers[reader.history]

    def close(self) -> None:
        """End all feeds at once; what was not read yet is read after the restart."""
        with self.lock:
            self.closed = True
            self._ring(list(self._readers))
