"""Follows a job: by its event feed, over lost connections and restarts, else by its state.

``Follower`` makes events of either; ``Doorbell`` only says that there is news, and reads the feed
in a thread of its own meanwhile.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import Callable, Generator, Iterator, Optional, Set, Tuple

from push_jobs.errors import (
    ApiError,
    BadAnswer,
    NotPermitted,
    PushJobsClientError,
    ServerUnreachable,
    WaitTimeout,
)
from push_jobs.event_stream import SUMMARY, EventParser, JobEvent, implied
from push_jobs.models import Job
from push_jobs.patience import OnTrouble, Patience
from push_jobs_wire.states import FINAL_JOB

Pieces = Generator[bytes, None, None]
Open = Callable[[Optional[str]], Pieces]
"""Opens the feed after the event of that id; the first piece comes when it is open."""

Gist = Tuple[str, Optional[str], Optional[str]]
_QUIET = 30.0
"""Seconds without news from a feed after which a watched job is looked at all the same."""
_GAP = 0.25
"""Seconds at most between the first piece of news and the look at the job."""
_PAUSE = 0.5
"""Seconds before a feed that ended too soon is opened again."""


class Follower:
    """The events of one job, each once.

    Args:
        open_feed: opens its feed.
        states: yields its state again and again, to its end.
        patience: seconds for which the server may be away.
        on_trouble: called each time that it is away.
    """

    def __init__(
        self,
        open_feed: Open,
        states: Callable[[], Iterator[Job]],
        patience: float,
        on_trouble: OnTrouble,
    ) -> None:
        self._open = open_feed
        self._states = states
        self._patience = Patience(patience, on_trouble)
        self._last_id: Optional[str] = None
        self._seen: Set[Gist] = set()
        self._repeating = False
        self._has_feed = True
        self._over = False

    def events(self) -> Iterator[JobEvent]:
        """All events from the beginning, as they happen; the last one is ``final``."""
        while self._has_feed:
            yield from self._read()
            if self._over:
                return
            if self._has_feed:
                time.sleep(_PAUSE)
        for job in self._states():
            for event in implied(job):
                if event.gist not in self._seen:
                    self._seen.add(event.gist)
                    yield event

    def _read(self) -> Iterator[JobEvent]:
        """The new events of one feed, until it ends or breaks."""
        parser = EventParser()
        try:
            with closing(self._open(self._last_id)) as pieces:
                for piece in pieces:
                    self._patience.answered()
                    yield from filter(self._counts, parser.take(piece))
                    if self._over or not self._has_feed:
                        return
        except NotPermitted:
            raise
        except (ApiError, BadAnswer):
            self._has_feed = False
        except ServerUnreachable as error:
            self._patience.bear(error)

    def _counts(self, event: JobEvent) -> bool:
        """Whether to show it: after a restart, what the server knows of the job comes again."""
        if event.name == SUMMARY and event.status not in {status.value for status in FINAL_JOB}:
            self._has_feed = False  # the server lost the events of a job that goes on
            return False
        if event.name == "start" and self._last_id is not None:
            self._repeating = True
        self._last_id = event.id or self._last_id
        if self._repeating and event.gist in self._seen:
            return False
        self._repeating = False
        self._seen.add(event.gist)
        self._over = event.final
        return True


class Doorbell:
    """Rings when a job's feed says something. ``is_open`` is False before and after it can ring.

    Args:
        pieces: the feed; read by a thread that ends with it, or soon after ``close``.
    """

    def __init__(self, pieces: Pieces) -> None:
        self.is_open = False
        self._refused = False
        self._pieces = pieces
        self._news = threading.Event()
        self._ended = threading.Event()
        self._closed = False
        threading.Thread(target=self._run, name="feed", daemon=True).start()

    @property
    def ended(self) -> bool:
        """True when it will never ring again."""
        return self._ended.is_set()

    @property
    def broken(self) -> bool:
        """True when it ended, but another one may well ring."""
        return self.ended and not self._refused

    def wait(self, timeout: float, gap: float) -> None:
        """Wait for news, at most ``timeout`` seconds; then ``gap`` seconds for what comes with it.

        The end of the job is not kept waiting.
        """
        if self._news.wait(timeout):
            self._ended.wait(gap)
        self._news.clear()

    def close(self) -> None:
        """Nobody listens any more."""
        self._closed = True

    def _run(self) -> None:
        try:
            with closing(self._pieces):
                self._listen()
        except (ApiError, BadAnswer):
            self._refused = True
        except PushJobsClientError:
            pass  # who polls meanwhile will hear of it
        finally:
            self.is_open = False
            self._ended.set()
            self._news.set()

    def _listen(self) -> None:
        parser = EventParser()
        for piece in self._pieces:
            self.is_open = True
            for event in parser.take(piece):
                self._news.set()
                if event.final:
                    self._refused = event.name == SUMMARY
                    return
            if self._closed:
                return


class News:
    """When to look at a job again: when its feed rings, or after a pause while there is none."""

    def __init__(self, open_feed: Callable[[], Pieces]) -> None:
        self._open_feed = open_feed
        self._bell: Optional[Doorbell] = None

    def expect(self) -> None:
        """The server answers: listen to the feed, again if it broke."""
        if self._bell is None or self._bell.broken:
            self._bell = Doorbell(self._open_feed())

    def wait(self, pause: float, deadline: Optional[float], job_id: str) -> None:
        """Return when it is time; raises WaitTimeout after the deadline."""
        bell = self._bell
        timeout = _QUIET if bell is not None and bell.is_open else pause
        left = timeout if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise WaitTimeout(
                f"job {job_id} has not ended in the time it was waited for; it goes on"
            )
        if bell is None or bell.ended:
            time.sleep(min(timeout, left))
        else:
            bell.wait(min(timeout, left), min(pause, _GAP))

    def close(self) -> None:
        """Nobody waits any more."""
        if self._bell is not None:
            self._bell.close()
