"""Which nodes of a job were cancelled, and which of several requests counts. Sends nothing."""

from __future__ import annotations

from typing import Dict, Iterable, Mapping, Optional

from push_jobs_server.records import Cancel
from push_jobs_wire.states import NodeStatus


class Stops:
    """The cancels of one job.

    Args:
        nodes: the job's nodes with their statuses, as they are at any time.
        cancels: those that were stored before.
    """

    def __init__(self, nodes: Mapping[str, NodeStatus], cancels: Iterable[Cancel]) -> None:
        self._nodes = nodes
        self._cancelled: Dict[str, Cancel] = {}
        self.asked = 0
        """How many cancels were ever asked for; some may not be stored yet."""
        for cancel in cancels:
            self.asked += 1
            self.note(cancel)

    @property
    def any(self) -> bool:
        """True when some node was cancelled."""
        return bool(self._cancelled)

    @property
    def everywhere(self) -> bool:
        """True when every node was cancelled, and with them the job."""
        return self.any and len(self._cancelled) == len(self._nodes)

    def of(self, node: str) -> Optional[Cancel]:
        """The cancel that counts for a node, or None."""
        return self._cancelled.get(node)

    def note(self, cancel: Cancel) -> None:
        """Remember a cancel: of several the first counts, unless a later one is in more haste."""
        for node in cancel.nodes:
            if self._overrules(cancel, node):
                self._cancelled[node] = cancel

    def new_in(self, cancel: Cancel) -> bool:
        """False when a cancel asks for nothing that was not asked for before."""
        if len(cancel.nodes) == len(self._nodes) and not self.everywhere:
            return True
        open_nodes = (node for node in cancel.nodes if not self._nodes[node].final)
        return any(self._overrules(cancel, node) for node in open_nodes)

    def _overrules(self, cancel: Cancel, node: str) -> bool:
        known = self._cancelled.get(node)
        if known is None:
            return True
        return cancel.grace is not None and (known.grace is None or cancel.grace < known.grace)


def describe(cancel: Cancel) -> str:
    """A cancel as the reason of a node's end."""
    text = f"cancelled by {cancel.requestor}"
    return text if cancel.reason is None else f"{text}: {cancel.reason}"
