"""Heartbeats of nodes that come over Serf: whose they are is looked up by a thread of its own.

Anybody in the Serf cluster may send anything. What is no heartbeat, or that of nobody registered,
is left alone; identities may live on a Chef server that takes its time. Source: shovey 3.6.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Callable, Dict, Optional, Tuple

from push_jobs_server.identity.base import Identity
from push_jobs_server.transports.serf import Tell
from push_jobs_wire import shovey
from push_jobs_wire.errors import PushJobsError, RemoteError

log = logging.getLogger("push_jobs_server.serf")

KNOWN_FOR = 600.0
"""Seconds for which a registered node is not looked up again; its jobs check every report."""
_STRANGER_FOR = 10.0
_MOST_NAMES = 20_000
_MOST_WAITING = 1000
_STATUSES = ("new", "up", "down")

Beat = Tuple[bytes, Callable[[], None]]


class Heartbeats(threading.Thread):
    """Takes heartbeats from any thread and tells the engine of those that count.

    Args:
        org: the organization whose nodes these are.
        identity: knows who is registered.
        tell: how the engine hears of them.
    """

    def __init__(self, org: str, identity: Identity, tell: Tell) -> None:
        super().__init__(name="serf-heartbeats", daemon=True)
        self._org = org
        self._identity = identity
        self._tell = tell
        self._waiting: "queue.Queue[Optional[Beat]]" = queue.Queue(_MOST_WAITING)
        self._known: Dict[str, Tuple[bool, float]] = {}

    def take(self, payload: bytes, counts: Callable[[], None]) -> None:
        """A heartbeat came; ``counts`` is called when it does. Never waits."""
        try:
            self._waiting.put_nowait((payload, counts))
        except queue.Full:
            log.warning("a heartbeat was lost: too many wait for the server of identities")

    def stop(self) -> None:
        """End the thread after the heartbeat that it is at."""
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._waiting.put(None)

    def run(self) -> None:
        """Heartbeat after heartbeat until stopped."""
        while True:
            beat = self._waiting.get()
            if beat is None:
                return
            try:
                self._read(*beat)
            except Exception:
                log.exception("defect while a heartbeat was read")

    def _read(self, payload: bytes, counts: Callable[[], None]) -> None:
        try:
            fields = shovey.decode(payload)
        except RemoteError as error:
            log.debug("a heartbeat that is none: %s", error)
            return
        name, status = fields.get("node", ""), fields.get("status", "")
        if status not in _STATUSES or not self._is_registered(name):
            log.debug("heartbeat of %r, status %r: ignored", name[:100], status[:20])
            return
        extended = fields.get(shovey.EXTENSIONS_KEY) == "1"
        self._tell(lambda engine: engine.serf.heartbeat(name, status, extended))
        counts()

    def _is_registered(self, name: str) -> bool:
        now = time.monotonic()
        known, until = self._known.get(name, (False, 0.0))
        if now < until:
            return known
        try:
            found = bool(name) and "\0" not in name and self._ask(name)
        except PushJobsError as error:
            log.warning("heartbeat of %r: nobody says whether it is registered: %s", name, error)
            return known
        if len(self._known) >= _MOST_NAMES:
            self._known.clear()
        self._known[name] = (found, now + (KNOWN_FOR if found else _STRANGER_FOR))
        return found

    def _ask(self, name: str) -> bool:
        principals = self._identity.for_request().principals(self._org, name)
        return any(each.kind == "client" for each in principals)
