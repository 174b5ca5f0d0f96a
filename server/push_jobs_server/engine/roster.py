"""The nodes that are online and the frames that go to them. Pure: frames are collected, not sent.

A message for many nodes is encoded once and signed for each (architecture 10). The sequence number
counts messages of the whole server; no receiver checks it (pushy-protocol 4.7).
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Tuple

from push_jobs_server.engine.access import Access
from push_jobs_server.engine.node import Health, HealthRules, NodeKey, NodeSession
from push_jobs_wire import framing
from push_jobs_wire.messages import Abort, ServerMessage, encode_server
from push_jobs_wire.states import SessionInput

Frames = Tuple[bytes, bytes, bytes]
"""(routing id, header, body)."""

_ABORT = Abort()
_ABORT_SILENCE = 6.0
"""Seconds without heartbeats while an old agent ends a command (3 of them are its fixed pause)."""


class Roster:
    """All node sessions of a server.

    Args:
        access: where session keys come from.
        rules: how health is computed.
        rehab_interval: seconds between the first repeated aborts to a node that does not confirm.
    """

    def __init__(self, access: Access, rules: HealthRules, rehab_interval: float) -> None:
        self._access = access
        self._rules = rules
        self._rehab_interval = rehab_interval
        self._sessions: Dict[NodeKey, NodeSession] = {}
        self._rehab: Dict[NodeKey, Abort] = {}
        self._sequence = 0
        self._encoded: Tuple[Optional[ServerMessage], str, bytes] = (None, "", b"")
        self.outbox: List[Frames] = []
        self.wall = 0.0

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[NodeSession]:
        return iter(list(self._sessions.values()))

    def get(self, key: NodeKey) -> Optional[NodeSession]:
        """The session of a node, or None while it is offline."""
        return self._sessions.get(key)

    def add(
        self, key: NodeKey, address: bytes, incarnation_id: Optional[str], now: float
    ) -> NodeSession:
        """A node came online; it is not available before it confirmed an abort or was adopted."""
        health = Health(self._rules, now)
        session = NodeSession(key, address, incarnation_id, health, self.wall, self.wall)
        self._sessions[key] = session
        self._rehab.pop(key, None)
        return session

    def remove(self, key: NodeKey) -> None:
        """The node is offline."""
        self._sessions.pop(key, None)
        self._rehab.pop(key, None)

    def send(self, key: NodeKey, message: ServerMessage) -> None:
        """Queue a message; nothing happens when the node is offline or its key is gone."""
        session = self._sessions.get(key)
        secret = self._access.speaking_key(key)
        if session is not None and secret is not None:
            body = self._encode(message)
            self.outbox.append((session.address, framing.seal_hmac(secret, body), body))

    def _encode(self, message: ServerMessage) -> bytes:
        timestamp = framing.format_timestamp(self.wall)
        last, when, body = self._encoded
        if message is last and when == timestamp:
            return body
        self._sequence += 1
        body = encode_server(message, self._sequence, timestamp)
        # Agents drop a commit, run or abort whose bytes they know. Of these only the abort is one
        # object for all time; a repeated ack may be the same bytes.
        if not isinstance(message, Abort):
            self._encoded = (message, timestamp, body)
        return body

    def rehab(self, key: NodeKey, now: float, message: Abort = _ABORT) -> None:
        """Tell a node to abort, again and again until it confirms; not available meanwhile.

        A ``message`` with a grace time or a reason replaces one that is being repeated.
        """
        session = self._sessions.get(key)
        if session is None or (key in self._rehab and message == _ABORT):
            return
        if session.move(SessionInput.REHAB) and not session.extensions:
            session.health.excuse(now, _ABORT_SILENCE)
        self._rehab[key] = message
        self._abort(session, now)

    def settle(self, session: NodeSession, what: SessionInput) -> bool:
        """The node confirmed an abort or was adopted; True when it became available by that."""
        self._rehab.pop(session.key, None)
        return session.move(what)

    def _abort(self, session: NodeSession, now: float) -> None:
        session.count_abort(now, self._rehab_interval)
        self.send(session.key, self._rehab[session.key] if session.extensions else _ABORT)

    def tick(self, now: float) -> None:
        """Repeat the aborts that are due."""
        for key in list(self._rehab):
            session = self._sessions[key]
            if now >= session.next_abort:
                self._abort(session, now)

    def wakeups(self) -> Iterator[float]:
        """The times at which ``tick`` has something to do."""
        return (self._sessions[key].next_abort for key in self._rehab)

    def unhealthy(self, now: float) -> List[NodeSession]:
        """The sessions whose heartbeats stayed away for too long."""
        return [session for session in self._sessions.values() if session.health.down(now)]
