"""Is the connection alive? Heartbeats both ways, the two thresholds and the ack rule. Pure.

Sends nothing itself: ``tick`` says whether a heartbeat is due, and ``trouble`` why new settings are
needed. Sources: pushy-protocol 3.4, 7.5, 9.2 R2 and R3.
"""

from __future__ import annotations

from typing import Optional

from push_jobs_agent.actions import Now
from push_jobs_agent.server_settings import ServerSettings

ACK_WITHIN = 4.0
"""Seconds after connecting within which an encrypted server must have said something."""

SECOND_BEAT = 1.0
"""Seconds from the first heartbeat to the second: the first may end an old server's record."""


class Health:
    """The state of one connection after the other."""

    def __init__(self) -> None:
        self.up = False
        self.proven = False
        self.online = True
        self._settings: Optional[ServerSettings] = None
        self._beats = 0
        self._next_beat = 0.0
        self._ack_until: Optional[float] = None
        self._silent = 0
        self._heard = 0

    @property
    def ready(self) -> bool:
        """True when what is sent now will be heard; a plain server need not say anything first."""
        encrypted = self._settings is not None and self._settings.curve_key is not None
        return self.up and (self.proven or not encrypted)

    @property
    def first_beat(self) -> bool:
        """True while no heartbeat was sent on this connection."""
        return self._beats == 0

    def opened(self, settings: ServerSettings, now: Now) -> None:
        """A connection is being made with these settings; the server counts as online."""
        self._settings = settings
        self.lost()
        self.online, self._silent, self._heard = True, 0, 0
        self._next_beat = now.steady + settings.interval
        self._watch(now)

    def connected(self, now: Now) -> None:
        """The transport has reached the server, perhaps again: heartbeats start anew."""
        self.up, self.proven, self._beats = True, False, 0
        self._next_beat = now.steady
        self._watch(now)

    def lost(self) -> None:
        """The transport has lost the server; it tries to reach it again by itself."""
        self.up = self.proven = False

    def answered(self) -> None:
        """A good message came on the command channel."""
        self.proven = True
        self._ack_until = None

    def server_beat(self) -> bool:
        """A heartbeat of the server came; True when it brings the server back online."""
        self._silent = 0
        if self.online:
            return False
        assert self._settings is not None
        if self._heard > self._settings.online_threshold:
            self.online, self._heard = True, 0
            return True
        self._heard += 1
        return False

    def tick(self, now: Now) -> bool:
        """Count a turn when its time has come; True when a heartbeat has to be sent."""
        if self._settings is None or now.steady < self._next_beat:
            return False
        self._schedule(now, self._settings.interval)
        if self.online and (self._beats > 1 or not self.up):
            self._count_silence(self._settings.offline_threshold)
        return self.up and self.online

    def beat_sent(self, now: Now) -> None:
        """A heartbeat was sent; the second one follows soon."""
        self._beats += 1
        if self._beats == 1 and self._settings is not None:
            self._next_beat = now.steady + min(SECOND_BEAT, self._settings.interval)

    def unanswered(self, now: Now) -> bool:
        """True, once per connection and watch, when the server has said nothing in time."""
        late = self._ack_until is not None and now.steady >= self._ack_until
        if late:
            self._ack_until = None
        return late

    def next_call(self) -> Optional[float]:
        """When ``tick`` and ``unanswered`` want to be called, in steady seconds."""
        if self._settings is None:
            return None
        if self._ack_until is None:
            return self._next_beat
        return min(self._next_beat, self._ack_until)

    def _watch(self, now: Now) -> None:
        encrypted = self._settings is not None and self._settings.curve_key is not None
        self._ack_until = now.steady + ACK_WITHIN if encrypted else None

    def _schedule(self, now: Now, interval: float) -> None:
        self._next_beat += interval
        if self._next_beat <= now.steady:
            self._next_beat = now.steady + interval

    def _count_silence(self, threshold: int) -> None:
        if self._silent > threshold:
            self.online, self._heard = False, 0
        else:
            self._silent += 1
