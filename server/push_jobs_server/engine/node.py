"""The server's view of one connected node: its address, its health, whether it may take jobs.

Pure: time comes in, nothing goes out. A record exists while the node is online
(pushy-protocol 6.1); who it notifies and what is sent is the engine's business.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Deque, Optional, Tuple

from push_jobs_wire.states import SESSION_TRANSITIONS, SessionInput, SessionState

NodeKey = Tuple[str, str]
"""(organization, node name)."""

_REPLAY_MEMORY = 128
_MAX_ABORT_PAUSE = 30.0


@dataclass(frozen=True)
class HealthRules:
    """How heartbeats become health (pushy-protocol 6.2).

    ``interval`` in seconds; ``window`` in intervals; below ``threshold`` a node is down.
    """

    interval: float = 10.0
    window: float = 4.0
    threshold: float = 0.6


class Health:
    """A decaying average of heartbeats per interval (pushy-protocol 6.2)."""

    def __init__(self, rules: HealthRules, now: float) -> None:
        self._rules = rules
        self._average = 2 * rules.threshold
        self._beats = 1
        self._since = now

    def beat(self, now: float) -> None:
        """Count a heartbeat."""
        self.average(now)
        if now >= self._since:
            self._beats += 1

    def excuse(self, now: float, seconds: float) -> None:
        """The node is expected to be silent for so long; nothing is missing meanwhile."""
        self.average(now)
        self._since = max(self._since, now + seconds)
        self._beats = max(self._beats, 1)

    def average(self, now: float) -> float:
        """The average at ``now``; whole intervals that have passed are folded in."""
        passed = int((now - self._since) / self._rules.interval)
        if passed >= 1:
            weight = 1 / self._rules.window
            average = self._average * (1 - weight) + self._beats * weight
            self._average = average * (1 - weight) ** (passed - 1)
            self._since += passed * self._rules.interval
            self._beats = 0
        return self._average

    def down(self, now: float) -> bool:
        """True when too many heartbeats are missing."""
        return self.average(now) < self._rules.threshold


@dataclass
class NodeSession:
    """One online node.

    ``idle_beats`` counts heartbeats in a row that mention no job, since the node last spoke of one
    (one of them may be stale, pushy-protocol 5.3). ``up_at`` is when it came online, ``seen_at``
    when its last message came, both by the wall clock; ``job_id`` is the job of its last heartbeat.
    """

    key: NodeKey
    address: bytes
    incarnation_id: Optional[str]
    health: Health
    up_at: float = 0.0
    seen_at: float = 0.0
    job_id: Optional[str] = None
    state: SessionState = SessionState.REHAB
    extensions: int = 0
    idle_beats: int = 0
    aborts: int = 0
    next_abort: float = 0.0
    seen: Deque[bytes] = field(default_factory=lambda: deque(maxlen=_REPLAY_MEMORY))

    @property
    def available(self) -> bool:
        """True when the node may be asked to vote."""
        return self.state is SessionState.IDLE

    def move(self, what: SessionInput) -> bool:
        """Take an input; True when the state changed."""
        target = SESSION_TRANSITIONS.get((what, self.state))
        if target is None:
            return False
        self.state = target
        self.aborts = 0
        self.next_abort = 0.0
        return True

    def count_abort(self, now: float, interval: float) -> None:
        """Note that an abort is being sent: the next one is due after a pause that grows."""
        self.next_abort = now + min(interval * 2 ** max(0, self.aborts - 3), _MAX_ABORT_PAUSE)
        self.aborts += 1

    def replayed(self, digest: bytes) -> bool:
        """True when this very message was taken before; it is remembered otherwise."""
        if digest in self.seen:
            return True
        self.seen.append(digest)
        return False
