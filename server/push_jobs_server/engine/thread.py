"""The engine's thread: it alone touches the engine and the transport.

HTTP threads hand in requests through a bounded queue and wait for a Future; the store's writer
reports commits through another queue. A pass drains what has arrived, turns the timers, gives
changes to the writer and frames to the transport. What is stored goes to the feeds. It never waits
for disk or HTTP.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Callable, Deque, Dict, Hashable, List, Optional, Protocol, Sequence, Tuple

from push_jobs_server.engine.core import Batch, Engine
from push_jobs_server.engine.events import Event
from push_jobs_server.engine.serf_orders import Order
from push_jobs_server.records import Busy, Change
from push_jobs_server.transports.base import Transport
from push_jobs_wire.framing import format_timestamp
from push_jobs_wire.messages import ServerHeartbeat, encode_server

log = logging.getLogger("push_jobs_server.engine")

Answer = Callable[[object], None]
_FIRST_BEAT = 0.2
"""Seconds after the start; soon, so that nodes notice a restart at once."""


class ChangeWriter(Protocol):
    """What the thread needs of the store's writer."""

    failing: bool
    behind: bool

    def submit(self, token: Hashable, changes: Sequence[Change]) -> None:
        """Store the changes; the writer reports the token when they are committed."""


class Listener(Protocol):
    """Hears of events in the engine's thread, each job's in order; it must not wait."""

    def publish(self, events: Sequence[Event]) -> None:
        """These happened, and their changes are stored."""

    def break_off(self, events: Sequence[Event]) -> None:
        """The changes of these can never be stored."""


class OrderTaker(Protocol):
    """Sends commands to nodes over Serf; it must not wait."""

    def submit(self, order: Order) -> None:
        """Send a command."""


class EngineThread(threading.Thread):
    """Runs an engine until it is stopped.

    Args:
        engine: the engine; nobody else may touch it from now on.
        transport: the sockets; closed by this thread at its end.
        writer: takes changes; its reports go to ``stored``.
        sign: makes the header frame of a heartbeat.
        interval: seconds between heartbeats.
        listener: hears of all events.
        capacity: how many requests of HTTP threads may wait.

    Attributes:
        orders: takes commands to nodes over Serf; set before the start, if there are such nodes.
    """

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        writer: ChangeWriter,
        sign: Callable[[bytes], bytes],
        interval: float,
        listener: Listener,
        capacity: int = 1000,
    ) -> None:
        super().__init__(name="engine", daemon=True)
        self._engine = engine
        self._transport = transport
        self._writer = writer
        self._sign = sign
        self._interval = interval
        self._listener = listener
        self._requests: "queue.Queue[Callable[[], None]]" = queue.Queue(capacity)
        self._reports: Deque[Tuple[List[Hashable], Optional[Exception]]] = deque()
        self._waiting: Dict[Hashable, Batch] = {}
        self.orders: Optional[OrderTaker] = None
        self._tokens = 0
        self._beats = 0
        self._stopping = False
        self._offset = time.time() - time.monotonic()
        self._next_beat = self._now() + _FIRST_BEAT

    # For other threads

    def ask(self, request: Callable[[Engine, Answer], None], timeout: float = 10.0) -> Any:
        """Run ``request(engine, answer)`` in the engine's thread and wait for its answer.

        An exception given as the answer is raised here. Raises Busy when the queue is full, the
        server stops, or no answer came within ``timeout`` seconds.
        """
        future: "Future[Any]" = Future()

        def answer(result: object) -> None:
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

        def run() -> None:
            try:
                request(self._engine, answer)
            except Exception as error:  # the asking thread has to hear of it
                answer(error)

        self._put(run)
        try:
            return future.result(timeout)
        except FutureTimeout:
            raise Busy(f"no answer within {timeout:.0f} s; try again later") from None

    def tell(self, news: Callable[[Engine], None]) -> None:
        """Run ``news(engine)`` in the engine's thread, soon; nobody waits for it.

        News that come while too many requests wait are lost, and that is logged.
        """
        try:
            self._put(lambda: self._hear(news))
        except Busy as error:
            log.warning("news for the engine are lost: %s", error)

    def _hear(self, news: Callable[[Engine], None]) -> None:
        try:
            news(self._engine)
        except Exception:
            log.exception("defect in the engine, about nodes over Serf")

    def _put(self, run: Callable[[], None]) -> None:
        try:
            self._requests.put_nowait(run)
        except queue.Full:
            raise Busy("too many requests are waiting; try again later") from None
        self._transport.wake()

    def stored(self, tokens: List[Hashable], error: Optional[Exception]) -> None:
        """The writer's report, from its own thread."""
        self._reports.append((tokens, error))
        self._transport.wake()

    @property
    def accepting(self) -> bool:
        """False while the store can't take new jobs."""
        return not (self._writer.failing or self._writer.behind or self._stopping)

    def stop(self) -> None:
        """End the thread after the current pass; changes already given away are still stored."""
        self._stopping = True
        self._transport.wake()

    # The thread

    def run(self) -> None:
        """Pass after pass until stopped; a defect in one pass is logged and survived."""
        timeout = 0.0
        while not self._stopping:
            try:
                timeout = self._pass(timeout)
            except Exception:
                log.exception("defect in the engine")
                timeout = 0.1
        try:
            self._last_pass()
        except Exception:
            log.exception("defect in the engine while it stops")
        self._transport.close()

    def _last_pass(self) -> None:
        self._engine.begin(self._now(), time.time())
        self._engine.stopping()
        self._flush()

    def _now(self) -> float:
        """Seconds since the epoch that never jump: the wall clock at the start, then monotonic."""
        return self._offset + time.monotonic()

    def _pass(self, timeout: float) -> float:
        engine = self._engine
        for address, user_id, frames in self._transport.receive(timeout):
            # A thousand messages may be waiting, and what they change has times.
            engine.begin(self._now(), time.time())
            engine.receive(address, user_id, frames)
        engine.begin(self._now(), time.time())
        self._take_reports()
        self._take_requests()
        engine.tick()
        self._flush()
        self._beat()
        return min(engine.next_wakeup(), self._next_beat) - self._now()

    def _take_requests(self) -> None:
        for _ in range(self._requests.qsize()):
            self._requests.get_nowait()()

    def _take_reports(self) -> None:
        while self._reports:
            tokens, error = self._reports.popleft()
            for token in tokens:
                self._settle(self._waiting.pop(token), error)

    def _settle(self, batch: Batch, error: Optional[Exception]) -> None:
        if error is None:
            if batch.events:  # before the answers: who knows of a job may read its feed
                self._listener.publish(batch.events)
            for act in batch.after:
                act()
            return
        log.error("changes could not be stored: %s", error)
        self._listener.break_off(batch.events)
        for fail in batch.failed:
            fail(error)

    def _flush(self) -> None:
        """Hand over changes and frames; what waits for nothing may cause more of both."""
        batches = self._engine.take_batches()
        while batches:
            for batch in batches.values():
                self._submit(batch)
            batches = self._engine.take_batches()
        for frames in self._engine.take_frames():
            self._transport.send(*frames)
        for order in self._engine.serf.take_orders():
            if self.orders is not None:
                self.orders.submit(order)

    def _submit(self, batch: Batch) -> None:
        if not batch.changes and not batch.events:  # events wait for those before them
            self._settle(batch, None)
            return
        self._tokens += 1
        self._waiting[self._tokens] = batch
        self._writer.submit(self._tokens, batch.changes)

    def _beat(self) -> None:
        if self._now() < self._next_beat:
            return
        self._next_beat = max(self._next_beat + self._interval, self._now())
        message = ServerHeartbeat(self._engine.rules.server_name, self._engine.incarnation_id)
        body = encode_server(message, self._beats, format_timestamp(time.time()))
        self._beats += 1
        self._transport.broadcast(self._sign(body), body)
