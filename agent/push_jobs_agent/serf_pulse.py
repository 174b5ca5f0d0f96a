"""When a node over Serf says that it is there, and whether anybody hears it. Pure.

Once per connection it says that it joins; then, at once and every half minute, it asks the
cluster to take note of it, and the server answers. Gossip may lose the first one, which would keep
the node away from jobs for half a minute: it is said again at once.
Source: shovey 3.6; checklist 8, agent 2.
"""

from __future__ import annotations

import json
from typing import Any, Mapping, Optional

from push_jobs_wire import shovey, shovey_words

EXTENSIONS = "1"


class Pulse:
    """The heartbeats on one connection after the other.

    Args:
        node: the name of this node.
    """

    def __init__(self, node: str) -> None:
        fields = {"node": node, "status": shovey_words.NODE_UP, shovey.EXTENSIONS_KEY: EXTENSIONS}
        self.payload = json.dumps(fields, separators=(",", ":")).encode("ascii")
        self._next: Optional[float] = None
        self._waiting: Optional[int] = None
        self._heard = False
        self._warned = False
        self._again = False

    def connected(self, now: float) -> None:
        """There is a new connection; ``now`` in steady seconds, as everywhere here."""
        self._next, self._waiting, self._again = now, None, True

    def lost(self) -> None:
        """There is none any more."""
        self._next = self._waiting = None

    def next_call(self) -> Optional[float]:
        """When ``due`` will be true."""
        return self._next

    def due(self, now: float) -> bool:
        """True when a heartbeat has to be sent."""
        return self._next is not None and now >= self._next

    def sent(self, number: int, now: float) -> None:
        """It was sent as the query of this number."""
        self._next = now + shovey.HEARTBEAT_INTERVAL
        self._waiting, self._heard = number, False

    def reply(self, number: int, body: Mapping[str, Any], now: float) -> bool:
        """A record of some query; True, once, when a heartbeat got no answer in its time.

        Serf makes up records of nobody at times: they mean nothing.
        """
        if number != self._waiting:
            return False
        if body.get("Type") == "response" and body.get("From"):
            self._heard, self._warned, self._again = True, False, False
        if body.get("Type") != "done":
            return False
        self._waiting = None
        if self._again:
            self._again, self._next = False, now
            return False
        return self._unheard()

    def refused(self, number: int) -> bool:
        """Serf did not take a query; True when that was a heartbeat."""
        if number != self._waiting:
            return False
        self._waiting = None
        return True

    def _unheard(self) -> bool:
        first = not self._heard and not self._warned
        self._warned = not self._heard
        return first
