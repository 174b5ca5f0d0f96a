"""Cancels of jobs: stored first, then carried out, then answered. Pure.

What a cancel does to a job and its nodes is the job's business; here is only the order of things,
so that a cancel that was answered survives the end of this server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Dict, Optional, Tuple

from push_jobs_server import audit
from push_jobs_server.engine.job import JobMachine
from push_jobs_server.records import Audited, Cancel, Cancelled, CancelStored
from push_jobs_wire.states import CancelEffect, NodeStatus

if TYPE_CHECKING:
    from push_jobs_server.engine.core import Engine

Answer = Callable[[object], None]


@dataclass(frozen=True)
class CancelRequest:
    """What a caller wants; ``nodes`` are nodes of the job, None means all of them."""

    org: str
    job_id: str
    requestor: str
    requestor_kind: str
    nodes: Optional[Tuple[str, ...]] = None
    grace: Optional[float] = None
    reason: Optional[str] = None
    address: Optional[str] = None


class Cancels:
    """Takes requests to cancel jobs of one engine."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def ask(self, request: CancelRequest, answer: Answer) -> None:
        """Cancel a job; answers with ``Cancelled`` once everything about it is stored.

        None is the answer when the job is not in memory: then it has ended. An exception is the
        answer when the cancel could not be stored; then nothing was done.
        """
        job = self._engine.jobs.by_id.get(request.job_id)
        if job is None or job.request.org != request.org:
            answer(None)
            return
        cancel = Cancel(
            request.requestor,
            request.requestor_kind,
            self._engine.wall,
            request.nodes or tuple(job.nodes),
            request.grace,
            request.reason,
        )
        if job.status.final or not job.stops.new_in(cancel):
            self._answer_stored(job, cancel, dict(job.nodes), answer)
            return
        self._store(job, cancel, request.address, answer)

    def _store(
        self, job: JobMachine, cancel: Cancel, address: Optional[str], answer: Answer
    ) -> None:
        batch = self._engine.batch(job.id)
        number = job.stops.asked
        row = audit.job_cancelled(job.id, job.request.org, number, cancel, address)
        batch.changes += [CancelStored(job.id, number, cancel), Audited(row)]
        batch.after.append(lambda: self._carry_out(job, cancel, answer))
        batch.failed.append(answer)
        job.stops.asked += 1

    def _carry_out(self, job: JobMachine, cancel: Cancel, answer: Answer) -> None:
        before = dict(job.nodes)
        job.cancel(cancel, self._engine.now)
        self._engine.log("job cancelled", {"job": job.id, "by": cancel.requestor})
        self._answer_stored(job, cancel, before, answer)

    def _answer_stored(
        self, job: JobMachine, cancel: Cancel, before: Dict[str, NodeStatus], answer: Answer
    ) -> None:
        """Answer when all that is said is stored; a change of this pass may still be on its way."""
        nodes = {
            node: (_effect(before[node], job.nodes[node]), job.nodes[node]) for node in cancel.nodes
        }
        result = Cancelled(job.status, nodes)
        batch = self._engine.batch(job.id)
        batch.after.append(lambda: answer(result))
        batch.failed.append(answer)


def _effect(before: NodeStatus, after: NodeStatus) -> CancelEffect:
    if before.final:
        return CancelEffect.ENDED
    # Over Serf nothing comes back from a node that was told to stop: it is aborted at once.
    told = after is NodeStatus.ABORTED or not after.final
    return CancelEffect.REQUESTED if told else CancelEffect.RELEASED
