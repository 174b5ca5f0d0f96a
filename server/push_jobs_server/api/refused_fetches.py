"""Settings requests and reports that were refused, by the node in whose name they came.

Anybody can make such a request, so this is a hint for people and nothing else: the newest for each
of a limited number of names. Safe to use from all HTTP threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import Optional, Tuple

from push_jobs_server.node_records import Refusal

REMEMBERED = 1000
"""Names; the ones that were refused longest ago are forgotten."""
_LONGEST_TEXT = 300


class RefusedFetches:
    """The newest refusal for each name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: "OrderedDict[Tuple[str, str], Refusal]" = OrderedDict()

    def note(self, org: str, node: str, refusal: Refusal) -> None:
        """Remember a refusal; the same again is counted."""
        with self._lock:
            before = self._of.pop((org, node), None)
            count = 1 if before is None or before.kind != refusal.kind else before.count + 1
            short = replace(refusal, detail=refusal.detail[:_LONGEST_TEXT], count=count)
            self._of[org, node] = short
            if len(self._of) > REMEMBERED:
                self._of.popitem(last=False)

    def forget(self, org: str, node: str) -> None:
        """A request of the node was accepted."""
        with self._lock:
            self._of.pop((org, node), None)

    def get(self, org: str, node: str) -> Optional[Refusal]:
        """The newest refusal, if there is any."""
        with self._lock:
            return self._of.get((org, node))
