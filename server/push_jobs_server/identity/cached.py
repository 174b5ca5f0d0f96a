"""Answers about identities that are kept for a while, for operators who would rather ask less."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Callable, List, Optional, Tuple

from push_jobs_server.identity.base import Principal, Questions, Source

_MOST = 10_000
"""Answers that are kept; past it the oldest go."""


class CachedIdentity:
    """Keeps what another identity source answered. Safe to use from many threads.

    That a principal or organization is unknown is not kept: a new node gets in at once. Errors are
    not kept, nor hidden by what was known before.

    Args:
        source: is asked what is not known, or not any more.
        seconds: how long an answer counts.
        clock: a clock in seconds that never goes back.
    """

    def __init__(self, source: Source, seconds: float, clock: Callable[[], float]) -> None:
        self._source = source
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: "OrderedDict[Tuple[str, ...], Tuple[float, Any]]" = OrderedDict()

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def for_request(self) -> Questions:
        """Itself."""
        return self

    def has_organization(self, org: str) -> bool:
        """True when there is such an organization."""
        key = ("organization", org)
        return bool(self._get(key, lambda: self._source.has_organization(org), bool))

    def principals(self, org: str, name: str) -> List[Principal]:
        """One entry per key of the users and clients of this name."""
        key = ("principals", org, name)
        found: List[Principal] = self._get(key, lambda: self._source.principals(org, name), bool)
        return found

    def clients(self, org: str) -> Optional[List[str]]:
        """The names of all clients; asked anew each time."""
        return self._source.clients(org)

    def is_member(self, org: str, group: str, kind: str, name: str) -> Optional[bool]:
        """Whether a user or client is in a group or a group below it; None: no such group."""
        key = ("member", org, group, kind, name)
        found: Optional[bool] = self._get(
            key, lambda: self._source.is_member(org, group, kind, name), lambda _: True
        )
        return found

    def _get(
        self, key: Tuple[str, ...], ask: Callable[[], Any], worth: Callable[[Any], bool]
    ) -> Any:
        asked = self._clock()
        with self._lock:
            until, answer = self._kept.get(key, (asked, None))
            if asked < until:
                return answer
        answer = ask()  # not under the lock: others need not wait for a slow server
        if worth(answer):
            with self._lock:
                self._kept[key] = (asked + self._seconds, answer)
                self._kept.move_to_end(key)
                if len(self._kept) > _MOST:
                    self._kept.popitem(last=False)
        return answer
