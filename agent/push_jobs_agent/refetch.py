"""When to get settings from the server again. Pure: time and chance come in.

A *planned* cause (lifetime, new incarnation of the server, an operator's signal) waits until
nothing can be disturbed by a new connection. A *forced* one (refused, silent, unanswered) does not:
the connection is of no use any more. Both are spread by chance, so that a thousand agents do not
come at once, and slowed down while they bring nothing. Source: pushy-protocol 2.7.
"""

from __future__ import annotations

from typing import Callable, Dict, Optional, Tuple

LONGEST_PAUSE = 60.0
EARLY = 0.1
"""A lifetime is cut by up to this part of it."""

MIN_SPACING = 1.0
"""Seconds between two planned fetches at least, whatever the server says."""

FORCED, PLANNED = True, False


def back_off(attempts: int, chance: Callable[[], float]) -> float:
    """Seconds to wait after so many attempts in vain: none at first, then 1 to 60, spread by half.

    ``chance`` returns a number from 0 to 1.
    """
    if attempts <= 0:
        return 0.0
    return float(min(LONGEST_PAUSE, 2.0 ** min(attempts, 10))) * (0.5 + chance() / 2)


class Refetch:
    """Decides when the next fetch is due, and remembers what for. The first one is due at once."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self.in_flight = False
        self._chance = chance
        self._wanted: Dict[bool, Tuple[float, str]] = {FORCED: (float("-inf"), "start")}
        self._taken = FORCED
        self._cause = ""
        self._failures = 0
        self._vain = 0
        self._hurried = False
        self._last = float("-inf")

    @property
    def forced(self) -> bool:
        """True when the last fetch was for a forced cause."""
        return self._taken

    def want(self, cause: str, now: float, *, forced: bool, within: float = 0.0) -> None:
        """Settings are wanted, after a part of ``within`` seconds that is left to chance.

        Does nothing when they are already on the way, or due earlier for as good a reason.
        """
        due = now + within * self._chance() + back_off(self._vain, self._chance)
        if not forced:
            due = max(due, self._last + MIN_SPACING)
        known = self._wanted.get(forced)
        if not self.in_flight and (known is None or due < known[0]):
            self._wanted[forced] = (due, cause)

    def is_back(self, now: float) -> None:
        """The server is there, although it gave no settings before: ask it again very soon.

        This counts once until settings have come, so that a server of which only a part is back is
        not asked ever faster.
        """
        if self._failures and not self._hurried and not self.in_flight:
            self._hurried = True
            # Half a second at least: its HTTPS port may open a moment after the others.
            self._wanted[FORCED] = (now + 0.5 + self._chance() / 2, "the server is back")

    def take(self, now: float, calm: bool) -> Optional[str]:
        """The cause of a fetch that has to be made now, or None.

        ``calm`` is True when a new connection would disturb nothing.
        """
        for forced in (FORCED, PLANNED):
            due, cause = self._wanted.get(forced, (float("inf"), ""))
            if due <= now and not self.in_flight and (forced or calm):
                self.in_flight, self._taken, self._cause = True, forced, cause
                self._last = now
                self._vain += 1
                return cause
        return None

    def succeeded(self, now: float, lifetime: float) -> None:
        """Settings have come; they last ``lifetime`` seconds."""
        self.in_flight, self._failures, self._hurried = False, 0, False
        due = now + max(lifetime * (1 - EARLY * self._chance()), MIN_SPACING)
        self._wanted = {PLANNED: (due, "lifetime")}

    def failed(self, now: float) -> float:
        """No settings came; returns the seconds until the next attempt."""
        self.in_flight = False
        self._failures += 1
        pause = back_off(self._failures, self._chance)
        self._wanted = {self._taken: (now + pause, self._cause)}
        return pause

    def of_use(self) -> None:
        """The last settings have led to a connection that works."""
        self._vain = 0

    def next_call(self, calm: bool) -> Optional[float]:
        """When ``take`` has something to give, in steady seconds."""
        if self.in_flight:
            return None
        dues = [due for forced, (due, _) in self._wanted.items() if forced or calm]
        return min(dues, default=None)
