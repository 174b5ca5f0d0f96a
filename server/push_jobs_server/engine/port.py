"""A job's way to its nodes, whichever way they are connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from push_jobs_wire.messages import Abort, Commit, Run, ServerMessage

if TYPE_CHECKING:
    from push_jobs_server.engine.core import Engine


class Port:
    """The nodes of one organization, minus what other jobs hold.

    A node that has a Pushy session is reached by it; one that has none, over Serf. What a node was
    asked over Serf goes on over Serf.
    """

    def __init__(self, engine: "Engine", org: str, job_id: str) -> None:
        self._engine = engine
        self._org = org
        self._job_id = job_id

    def busy(self, node: str) -> Optional[str]:
        """See ``Nodes``: why a node can't be asked now."""
        key = (self._org, node)
        why_not = self._engine.why_busy(key, self._job_id)
        if why_not is None or self._engine.roster.get(key) is not None:
            return why_not
        return self._engine.serf.why_not(key)

    def send(self, node: str, message: ServerMessage) -> None:
        """See ``Nodes``. Over Serf the answer to a ``Commit`` is yes: who is up is ready."""
        engine, key = self._engine, (self._org, node)
        if isinstance(message, Commit) and engine.roster.get(key) is None and engine.serf.up(key):
            engine.serf.commit(self._job_id, node)
        elif not self._over_serf(node):
            engine.roster.send(key, message)
        elif isinstance(message, Run):
            engine.serf.start(self._job_id, node)

    def rehab(self, node: str) -> None:
        """See ``Nodes``."""
        if self._over_serf(node):
            self._engine.serf.give_up(self._job_id, node)
        else:
            self._engine.roster.rehab((self._org, node), self._engine.now)

    def abort(self, node: str, message: Abort) -> None:
        """See ``Nodes``."""
        if self._over_serf(node):
            self._engine.serf.cancel(self._job_id, node)
        else:
            self._engine.roster.rehab((self._org, node), self._engine.now, message)

    def patience(self) -> float:
        """See ``Nodes``."""
        return self._engine.serf.patience(self._job_id)

    def _over_serf(self, node: str) -> bool:
        return (self._job_id, node) in self._engine.jobs.over_serf
