"""The jobs in memory, and the nodes that have a part in them. Decides nothing about either.

Ended jobs stay for a while, thousands of them on a busy server, so that whoever asks about a node's
open jobs must not have to look through those that are over.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Set, Tuple

from push_jobs_server.engine.job import JobMachine
from push_jobs_server.engine.node import NodeKey

_Jobs = Dict[str, JobMachine]


class JobTable:
    """Jobs by id and by node.

    Attributes:
        by_id: all jobs.
        over_serf: (job, node) for each part that a node has over Serf; its Pushy session, if it has
            one, too, knows nothing of it.
    """

    def __init__(self) -> None:
        self.by_id: _Jobs = {}
        self.over_serf: Set[Tuple[str, str]] = set()
        self._of_node: Dict[NodeKey, _Jobs] = {}
        self._open: Dict[NodeKey, _Jobs] = {}

    def add(self, job: JobMachine) -> None:
        """Take a job."""
        self.by_id[job.id] = job
        for key in _keys(job):
            for jobs in (self._of_node, self._open):
                jobs.setdefault(key, {})[job.id] = job

    def remove(self, job: JobMachine) -> None:
        """Forget a job."""
        del self.by_id[job.id]
        self.over_serf.difference_update((job.id, node) for node in job.nodes)
        for key in _keys(job):
            for jobs in (self._of_node, self._open):
                of_node = jobs.get(key, {})
                of_node.pop(job.id, None)
                if not of_node:
                    jobs.pop(key, None)

    def with_node(self, key: NodeKey) -> List[JobMachine]:
        """The jobs in which a node has or had a part."""
        return list(self._of_node.get(key, {}).values())

    def open_for(self, key: NodeKey) -> List[JobMachine]:
        """The jobs in which a node still has a part to play in its Pushy session."""
        return [job for job in self.all_open_for(key) if (job.id, key[1]) not in self.over_serf]

    def all_open_for(self, key: NodeKey) -> List[JobMachine]:
        """The jobs in which a node still has a part to play, however it is reached."""
        jobs = self._open.get(key)
        if jobs is None:
            return []
        # A part that is over is over for good.
        for job in [job for job in jobs.values() if job.nodes[key[1]].final]:
            del jobs[job.id]
        return list(jobs.values())


def _keys(job: JobMachine) -> Iterator[NodeKey]:
    return ((job.request.org, node) for node in job.nodes)
