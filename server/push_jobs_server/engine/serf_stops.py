"""Cancels over Serf that nothing has confirmed yet. Pure.

A node's Serf agent may have a cancel that the agent beside it never heard: it was away just then.
Nodes of ours send the last pieces of their output once a cancelled run has ended, so until then a
cancel is sent again with each of the node's heartbeats; twice does no harm.
"""

from __future__ import annotations

from typing import Dict, List


class Unconfirmed:
    """What was cancelled on nodes of ours."""

    def __init__(self) -> None:
        self._stops: Dict[str, Dict[str, float]] = {}

    def told(self, job_id: str, node: str, until: float) -> None:
        """A cancel is sent; ``until``: the command has ended by itself then."""
        self._stops.setdefault(node, {})[job_id] = until

    def confirmed(self, job_id: str, node: str) -> None:
        """The node has said that its part is over."""
        self._stops.get(node, {}).pop(job_id, None)

    def of(self, node: str) -> List[str]:
        """The jobs that have to be cancelled again on a node."""
        return list(self._stops.get(node, ()))

    def forget(self, now: float) -> None:
        """Let go what has ended by itself."""
        for node, stops in list(self._stops.items()):
            self._stops[node] = {job: until for job, until in stops.items() if now < until}
            if not self._stops[node]:
                del self._stops[node]
