"""The one thread that writes to the store.

Whatever waits goes into one transaction; there is no timer. Nothing that was taken is dropped
while the database can't be used: it stays in the queue until it is written.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from itertools import islice
from typing import Callable, Deque, Hashable, List, Optional, Protocol, Sequence, Tuple

from push_jobs_server.records import Change
from push_jobs_server.store.errors import StoreError, StoreUnavailable

log = logging.getLogger("push_jobs_server.store")

Done = Callable[[List[Hashable], Optional[StoreError]], None]
"""Called in the writer's thread with tokens in their order; None: what they name is committed."""

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0


class Sink(Protocol):
    """What the writer needs of a store."""

    def write(self, changes: Sequence[Change]) -> None:
        """Store all changes or none; raises StoreUnavailable when trying again may help."""


class _GivenUp(Exception):
    """Raised inside the thread when it was told to stop and the database can't be used."""


class Writer:
    """Writes what it is given, in order.

    Args:
        store: where to write.
        capacity: with more items waiting than this, ``behind`` is True.
    """

    def __init__(self, store: Sink, capacity: int = 10_000) -> None:
        self._store = store
        self._capacity = capacity
        self._queue: Deque[Tuple[Hashable, Sequence[Change]]] = deque()
        self._news = threading.Condition()
        self._closing = False
        self._given_up = threading.Event()
        self._done: Done = lambda tokens, error: None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self.failing = False
        """True while the database can't be used; the writer goes on trying."""
        self.behind = False
        """True while more than ``capacity`` items wait; new work should be refused."""

    def start(self, done: Done) -> None:
        """Begin to write; ``done`` hears of each item once, after its commit or its failure.

        Only an item that can never be stored fails, and it fails alone.
        """
        self._done = done
        self._thread.start()

    def submit(self, token: Hashable, changes: Sequence[Change]) -> None:
        """Take changes that belong together; never waits. Raises StoreError after ``close``.

        Nobody hears of the token None.
        """
        with self._news:
            if self._closing:
                raise StoreError("the store is closed: the server is stopping")
            self._queue.append((token, changes))
            self.behind = len(self._queue) > self._capacity
            self._news.notify()

    def close(self, timeout: float) -> bool:
        """Write what waits, then stop; True when nothing is left.

        Args:
            timeout: seconds after which the writer gives up on a database that can't be used.
        """
        with self._news:
            self._closing = True
            self._news.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)
            self._given_up.set()
            self._thread.join()
        if self._queue:
            log.error("stopped with %d changes that could not be stored", len(self._queue))
        return not self._queue

    def _run(self) -> None:
        try:
            while not self._given_up.is_set():
                count = self._wait()
                if not count:
                    return
                self._write_all(count)
        except _GivenUp:
            return

    def _wait(self) -> int:
        """How many items wait; 0 when it is time to stop."""
        with self._news:
            while not self._queue and not self._closing:
                self._news.wait()
            return len(self._queue)

    def _write_all(self, count: int) -> None:
        try:
            self._write(count)
        except StoreError as error:
            if count == 1:
                self._finish(1, error)
            else:
                self._write_each(count)

    def _write_each(self, count: int) -> None:
        """Something in the batch can't be stored: find it; everything else is."""
        for _ in range(count):
            self._write_all(1)

    def _write(self, count: int) -> None:
        """Write the first items of the queue in one transaction, however long it takes.

        They leave the queue only then, so that it always tells what is not stored yet.
        """
        with self._news:
            items = list(islice(self._queue, count))
        changes = [change for _, group in items for change in group]
        pause = _FIRST_PAUSE
        while not self._tried(changes):
            if self._given_up.wait(pause):
                raise _GivenUp
            pause = min(2 * pause, _LONGEST_PAUSE)
        self._finish(count, None)

    def _tried(self, changes: Sequence[Change]) -> bool:
        """False when the database can't be used now; raises StoreError when it never will."""
        try:
            self._try(changes)
        except StoreUnavailable as error:
            self._fail(error)
            return False
        except StoreError:
            self._recover()
            raise
        self._recover()
        return True

    def _try(self, changes: Sequence[Change]) -> None:
        try:
            self._store.write(changes)
        except StoreError:
            raise
        except Exception as error:  # a defect must not end the thread that stores results
            log.exception("defect in the store")
            raise StoreError("a defect in the store; its log has the details") from error

    def _fail(self, error: StoreUnavailable) -> None:
        if not self.failing:
            self.failing = True
            log.error("nothing can be stored, trying again: %s", error)

    def _recover(self) -> None:
        if self.failing:
            self.failing = False
            log.warning("the database takes changes again")

    def _finish(self, count: int, error: Optional[StoreError]) -> None:
        with self._news:
            taken = [self._queue.popleft()[0] for _ in range(count)]
            self.behind = len(self._queue) > self._capacity
        tokens = [token for token in taken if token is not None]
        if not tokens and error is not None:
            log.error("a change could not be stored: %s", error)
        try:
            if tokens:
                self._done(tokens, error)
        except Exception:
            log.exception("defect in what hears of commits")
