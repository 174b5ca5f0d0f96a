"""Starts of jobs: stored before they are answered or anything is sent; a repeated one is the first.

Pure. A job whose nodes have to be asked begins when it is stored. Nodes over Serf are not asked, so
a job of such nodes alone begins at once, and all of it is stored in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Tuple

from push_jobs_server.audit import job_started
from push_jobs_server.engine.events import start_event
from push_jobs_server.records import (
    Audited,
    JobCreated,
    JobNode,
    JobRecord,
    JobRequest,
    OtherRequest,
)
from push_jobs_wire.states import JobStatus

if TYPE_CHECKING:
    from push_jobs_server.engine.core import Engine
    from push_jobs_server.engine.job import JobMachine

ANSWER_TIME = 8.0
"""Seconds in which a request is answered; who asks waits a little longer."""

Answer = Callable[[object], None]


@dataclass
class _Starting:
    """A job that is not stored yet: who waits for it, when the last of them asked, and whether it
    has begun all the same."""

    request: JobRequest
    asked_at: float
    answers: List[Answer]
    begun: bool = False


class Starts:
    """Takes requests to start jobs of one engine."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._starting: Dict[str, _Starting] = {}
        self._by_request: Dict[Tuple[str, Optional[str]], str] = {}

    def ask(self, job_id: str, request: JobRequest, answer: Answer) -> None:
        """Store a job and, once it is stored, start it and answer with its id.

        A request that is already on its way or in memory is answered with the first job's id; it
        is one when its ``request_key`` was there before, or the id that it would have. ``answer``
        is called with the id, or with an exception: OtherRequest when that id is another request's.
        """
        jobs = self._engine.jobs.by_id
        first = self._by_request.get((request.org, request.request_key), job_id)
        starting = self._starting.get(first)
        if starting is not None and _same_or_refused(starting.request, request, answer):
            starting.answers.append(answer)
            starting.asked_at = self._engine.now
        elif starting is None and first not in jobs:
            self._create(job_id, request, answer)
        elif starting is None and _same_or_refused(jobs[first].request, request, answer):
            answer(first)

    def remember(self, job_id: str, request: JobRequest) -> None:
        """This request made that job."""
        if request.request_key is not None:
            self._by_request[request.org, request.request_key] = job_id

    def forget(self, request: JobRequest) -> None:
        """Its job is not in memory any more; the store knows it still."""
        self._by_request.pop((request.org, request.request_key), None)

    def _create(self, job_id: str, request: JobRequest, answer: Answer) -> None:
        engine = self._engine
        record = JobRecord(
            job_id,
            request,
            JobStatus.VOTING,
            created_at=engine.wall,
            updated_at=engine.wall,
            voting_deadline=engine.now + engine.rules.voting_timeout,
            nodes={name: JobNode() for name in request.nodes},
        )
        starting = _Starting(request, engine.now, [answer])
        self._starting[job_id] = starting
        self.remember(job_id, request)
        batch = engine.batch(job_id)
        batch.changes += [JobCreated(record), Audited(job_started(record))]
        batch.events.append(start_event(job_id, request, engine.wall))
        batch.failed.append(lambda error: self._failed(job_id, error))
        batch.after.append(lambda: self._stored(record))
        if engine.serf.votes_alone(request):
            # This sends nothing: what the nodes say is stored with the job, and orders wait for it.
            starting.begun = True
            self._adopt(record).start(engine.now)

    def _adopt(self, record: JobRecord) -> JobMachine:
        self._engine.output.begin(record.id)
        return self._engine.adopt_job(record)

    def _stored(self, record: JobRecord) -> None:
        """The job is on the disk: answer, and begin what has not begun."""
        engine, starting = self._engine, self._starting[record.id]
        fresh = None if starting.begun else self._adopt(record)
        job = fresh or engine.jobs.by_id.get(record.id)
        late = engine.now - starting.asked_at > ANSWER_TIME
        if late and job is not None and not job.status.final:
            reason = "it could not be stored in time; its caller was told to try again"
            job.crash(reason, engine.now)
        self._settle(record.id, record.id)
        if fresh is not None and not fresh.status.final:
            fresh.start(engine.now)

    def _failed(self, job_id: str, error: Exception) -> None:
        begun = self._engine.jobs.by_id.get(job_id)
        if begun is not None:
            self._engine.drop_job(begun)
        self.forget(self._starting[job_id].request)
        self._settle(job_id, error)

    def _settle(self, job_id: str, result: object) -> None:
        """Answer all who wait."""
        for answer in self._starting.pop(job_id).answers:
            answer(result)


def _same_or_refused(first: JobRequest, request: JobRequest, answer: Answer) -> bool:
    """Whether a request that claims to be a repeated one is; if not, its caller is told."""
    same = first.repeated_by(request)
    if not same:
        answer(OtherRequest())
    return same
