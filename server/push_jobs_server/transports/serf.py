"""The thread that talks with this server's Serf agent: commands out, heartbeats and members in.

It signs, spreads the nodes of a command over as many queries as fit, and keeps connecting. Nobody
waits for it: orders come through a queue, and what it hears is handed to the engine's thread.
Sources: shovey 3.3 to 3.6, 4.
"""

from __future__ import annotations

import logging
import queue
import selectors
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Mapping, Optional, Set, Tuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from push_jobs_server.engine.core import Engine
from push_jobs_server.engine.serf_orders import Order
from push_jobs_server.serf_payloads import payload
from push_jobs_wire import serf_rpc, shovey
from push_jobs_wire.errors import RemoteError
from push_jobs_wire.serf_link import SerfLink
from push_jobs_wire.serf_query import split
from push_jobs_wire.serf_rpc import Record

log = logging.getLogger("push_jobs_server.serf")

STREAM = f"query:{shovey.HEARTBEAT},member-failed,member-leave"
CONNECT_WITHIN = 5.0
ENTER_WITHIN = 10.0
"""Seconds for an agent to answer until it has let us in; one that does not is tried again."""
ANSWER_WITHIN = 5.0
"""Seconds for an agent that has let us in to answer the request that waits for the longest time."""
LAST_WORDS = 1.0
"""Seconds that the agent has for the last commands when the server stops."""
CANCEL_LASTS = 60.0
"""Seconds for which a cancel waits for an agent that is away; a start does not wait."""
CANCEL_ATTEMPTS = 3
"""Times that a cancel is sent to a node whose Serf agent does not acknowledge it."""
_ANSWER = b'{"response":"ok"}'
_PIECE = 65536
_MOST_ORDERS = 10_000

Tell = Callable[[Callable[[Engine], None]], None]
"""Runs a function in the engine's thread, soon."""
TakeBeat = Callable[[bytes, Callable[[], None]], None]
"""Takes the payload of a heartbeat, and what to call when it counts."""


@dataclass(frozen=True)
class SerfPlace:
    """Where the agent is and how it is spoken to; ``limit``: bytes of a query that it takes."""

    host: str
    port: int
    auth_key: Optional[str]
    limit: int


@dataclass(frozen=True)
class _Query:
    """One query that is on its way or answered by acknowledgements of the ``heard``."""

    order: Order
    nodes: Tuple[str, ...]
    attempt: int
    heard: Set[str] = field(default_factory=set)

    def unheard(self) -> Optional[Order]:
        """The order for those who did not hear it, or None: gossip may lose a query."""
        nodes = tuple(node for node in self.nodes if node not in self.heard)
        return replace(self.order, nodes=nodes) if nodes else None


class SerfThread(threading.Thread):
    """Talks with the agent until it is stopped.

    Args:
        place: the agent.
        key: signs commands.
        tell: how the engine hears of what happens.
        take_beat: gets heartbeats; it must not wait.
    """

    def __init__(
        self, place: SerfPlace, key: RSAPrivateKey, tell: Tell, take_beat: TakeBeat
    ) -> None:
        super().__init__(name="serf", daemon=True)
        self._place = place
        self._key = key
        self._tell = tell
        self._take_beat = take_beat
        self._link = SerfLink(place.auth_key, STREAM)
        self._orders: "queue.Queue[Tuple[Order, float]]" = queue.Queue(_MOST_ORDERS)
        self._counted: "queue.Queue[int]" = queue.Queue()
        self._queries: Dict[int, _Query] = {}
        self._due: Optional[int] = None
        self._due_since = 0.0
        self._name = ""
        self._told: Optional[str] = ""
        self._stopping = False
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)

    # For other threads

    def submit(self, order: Order) -> None:
        """Send a command; the engine is told of what the agent refuses. Never waits."""
        try:
            self._orders.put_nowait((order, time.monotonic()))
        except queue.Full:
            self._refuse(order, order.nodes, "too many commands wait for the Serf agent")
        self._wake()

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        try:
            self._wake_write.send(b"x")
        except OSError:
            pass  # it is awake, or gone

    # The thread

    def run(self) -> None:
        """Connect, talk, and connect again until stopped."""
        while not self._stopping:
            try:
                with self._connect() as connection:
                    self._link.opened()
                    self._talk(connection)
            except (OSError, RemoteError) as error:
                self._away(error)
            except Exception:
                log.exception("defect while talking with the Serf agent")
                self._away(RemoteError("a defect of this server; its log says more"))
        self._wake_read.close()
        self._wake_write.close()

    def _connect(self) -> socket.socket:
        where = (self._place.host, self._place.port)
        connection = socket.create_connection(where, CONNECT_WITHIN)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setblocking(False)
        return connection

    def _away(self, error: Exception) -> None:
        """The agent is not there; until it is, starts are refused at once."""
        reason = str(getattr(error, "strerror", None) or error)
        where = f"{self._place.host}:{self._place.port}"
        pause = self._link.lost(f"the Serf agent of this server ({where}) is away: {reason}")
        self._keep_cancels()
        self._tell_problem()
        until = time.monotonic() + pause
        while not self._stopping and time.monotonic() < until:
            self._send_orders()
            self._wait(until - time.monotonic())

    def _keep_cancels(self) -> None:
        """What was on its way when the connection broke: cancels are sent again."""
        queries, self._queries = self._queries, {}
        for query in queries.values():
            order = query.unheard()
            if order is None or order.action != shovey.CANCEL:
                continue
            if not self._orders.full():
                self._orders.put_nowait((order, time.monotonic()))

    def _wait(self, seconds: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            if selector.select(max(0.0, seconds)):
                self._drain_wake()

    def _drain_wake(self) -> None:
        try:
            while self._wake_read.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _talk(self, connection: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            selector.register(connection, selectors.EVENT_READ)
            while not self._stopping:
                self._send_orders()
                self._answer_beats()
                self._turn(selector, connection)
        if self._link.ready and not self._orders.empty():
            self._say_last(connection)

    def _turn(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        """Send, wait, and read; raises RemoteError when the agent owes an answer for too long."""
        writing = selectors.EVENT_WRITE if self._flush(connection) else 0
        selector.modify(connection, selectors.EVENT_READ | writing)
        ready = {key.fileobj: events for key, events in selector.select(self._patience())}
        if self._wake_read in ready:
            self._drain_wake()
        if ready.get(connection, 0) & selectors.EVENT_READ:
            self._read(connection)
        elif self._patience() == 0:  # and the answer is not there, even if we were held up
            raise RemoteError(f"it did not answer for {self._longest():.0f} s")

    def _say_last(self, connection: socket.socket) -> None:
        """Send what was promised before the end, such as a cancel, and let the agent read it."""
        self._send_orders()
        self._flush(connection)
        until = time.monotonic() + LAST_WORDS
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            while time.monotonic() < until:
                connection.settimeout(max(0.001, until - time.monotonic()))
                if not connection.recv(_PIECE):
                    return

    def _patience(self) -> Optional[float]:
        """Seconds to wait for the answer that is due, None when there is none.

        They count from when that answer became the next one: others may have been sent before it.
        """
        now, due = time.monotonic(), self._link.due
        if due is None:
            return None
        if due != self._due:
            self._due, self._due_since = due, now
        return max(0.0, self._due_since + self._longest() - now)

    def _longest(self) -> float:
        return ANSWER_WITHIN if self._link.ready else ENTER_WITHIN

    def _flush(self, connection: socket.socket) -> bool:
        """Send what can be sent now; True when something is left."""
        while self._link.waiting:
            try:
                self._link.sent(connection.send(self._link.waiting))
            except BlockingIOError:
                return True
        return False

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(_PIECE)
        except BlockingIOError:
            return
        if not data:
            raise RemoteError("it closed the connection")
        was_ready = self._link.ready
        records = self._link.received(data)
        if self._link.ready and not was_ready:
            self._entered()
        for record in records:
            self._take(record)

    def _entered(self) -> None:
        self._link.members()
        log.info("the Serf agent at %s:%d is there", self._place.host, self._place.port)
        self._tell_problem()

    def _tell_problem(self) -> None:
        problem = self._link.problem
        if problem == self._told:
            return
        self._told = problem
        if problem is not None:
            log.warning("%s", problem)
        self._tell(lambda engine: setattr(engine.serf, "problem", problem))

    # Commands

    def _send_orders(self) -> None:
        for _ in range(self._orders.qsize()):
            order, since = self._orders.get_nowait()
            if self._link.ready:
                self._send(order)
            elif order.action == shovey.CANCEL and time.monotonic() < since + CANCEL_LASTS:
                self._orders.put_nowait((order, since))
            else:
                self._refuse(order, order.nodes, str(self._link.problem))

    def _answer_beats(self) -> None:
        for _ in range(self._counted.qsize()):
            self._link.respond(self._counted.get_nowait(), _ANSWER)

    def _send(self, order: Order, attempt: int = 1) -> None:
        # The agent's own name is in every query; before it is known, the longest one is assumed.
        origin = self._name or "x" * 64
        limit = self._place.limit
        content = payload(order, self._key, time.time(), origin, limit)
        for nodes in split(origin, shovey.QUERY, content, order.nodes, limit):
            seq = self._link.query(shovey.QUERY, content, nodes, ack=True)
            self._queries[seq] = _Query(order, tuple(nodes), attempt)

    def _refuse(self, order: Order, nodes: Tuple[str, ...], reason: str) -> None:
        self._tell(lambda engine: engine.serf.refused(order, nodes, reason))

    # What the agent says

    def _take(self, record: Record) -> None:
        if record.command == "query":
            self._about_query(record)
        elif record.command == "members" and record.body is not None:
            self._learn_name(record.body)
        elif record.command == "stream" and record.body is not None:
            self._event(record.body)
        elif record.error:
            log.debug("the Serf agent refused %s: %s", record.command, record.error)

    def _about_query(self, record: Record) -> None:
        query = self._queries.get(record.seq)
        if query is None:
            return
        if record.error:
            del self._queries[record.seq]
            reason = f"the Serf agent of this server refused the command: {record.error}"
            self._refuse(query.order, query.nodes, reason)
        elif record.body is not None:
            self._answered(record.seq, query, record.body)

    def _answered(self, seq: int, query: _Query, body: Mapping[str, Any]) -> None:
        """An acknowledgement; records without a name mean nothing (shovey 3.3)."""
        job_id, node = query.order.job_id, body.get("From")
        if body.get("Type") == "done":
            del self._queries[seq]
            self._repeat(query)
        elif body.get("Type") == "ack" and node:
            query.heard.add(str(node))
            if query.order.action == shovey.START:
                self._tell(lambda engine: engine.serf.acked(job_id, str(node)))

    def _repeat(self, query: _Query) -> None:
        """A cancel does no harm twice; a start does with a schob, so the engine decides."""
        order = query.unheard()
        if order is not None and order.action == shovey.START:
            self._start_unheard(order)
        elif order is not None and query.attempt < CANCEL_ATTEMPTS:
            self._send(order, query.attempt + 1)

    def _start_unheard(self, order: Order) -> None:
        self._tell(lambda engine: engine.serf.unheard(order))

    def _learn_name(self, body: Mapping[str, Any]) -> None:
        """At least as long as our agent's name: which of the members it is, it does not say."""
        members = body.get("Members")
        names = [m.get("Name", "") for m in members or () if isinstance(m, dict)]
        self._name = max((str(name) for name in names), key=len, default="")

    def _event(self, body: Mapping[str, Any]) -> None:
        kind = body.get("Event")
        if kind == "query" and body.get("Name") == shovey.HEARTBEAT:
            self._heartbeat(body)
        elif kind in ("member-failed", "member-leave"):
            words = "its Serf agent failed" if kind == "member-failed" else "its Serf agent left"
            for member in body.get("Members") or ():
                self._gone(str(member.get("Name", "")), words)

    def _gone(self, name: str, reason: str) -> None:
        self._tell(lambda engine: engine.serf.gone(name, reason))

    def _heartbeat(self, body: Mapping[str, Any]) -> None:
        query_id = body.get("ID")

        def counts() -> None:
            if isinstance(query_id, int):
                self._counted.put(query_id)
                self._wake()

        self._take_beat(serf_rpc.payload_of(body.get("Payload")), counts)
