"""Answers from our own tables, kept in memory until somebody changes an identity.

The tables are the truth: each request first asks for the version of the identities, which every
change raises in its own transaction. So changes count with the next request, and a request that
follows none costs one small query instead of one for each question.
"""

from __future__ import annotations

import math
from typing import Tuple

from push_jobs_server.identity.base import Questions
from push_jobs_server.identity.cached import CachedIdentity
from push_jobs_server.identity.local import LocalIdentity


class RememberedIdentity:
    """Local identities for a server with many requests. Safe to use from many threads.

    Args:
        source: is asked what is not known, or not any more.
    """

    def __init__(self, source: LocalIdentity) -> None:
        self._source = source
        self._known: Tuple[int, CachedIdentity] = (-1, self._nothing())

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def for_request(self) -> Questions:
        """What was answered since the last change, and the source for the rest."""
        version = self._source.version()
        known = self._known
        if known[0] != version:
            # An answer that is newer than this version at worst is asked for once more.
            self._known = known = (version, self._nothing())
        return known[1]

    def _nothing(self) -> CachedIdentity:
        return CachedIdentity(self._source, math.inf, lambda: 0.0)
