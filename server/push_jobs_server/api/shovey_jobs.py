"""Starting, listing, showing and cancelling jobs the Shovey way (shovey 2.3, 2.4, 2.6)."""

from __future__ import annotations

import uuid
from typing import Any, Dict, List

from push_jobs_server.api.cancels import ask_cancel
from push_jobs_server.api.services import Caller, Failure, Services, ask_engine, unavailable
from push_jobs_server.api.shovey_asked import Asked
from push_jobs_server.api.shovey_body import StartBody, read_cancel, read_start
from push_jobs_server.api.shovey_documents import job_document
from push_jobs_server.api.urls import base_url
from push_jobs_server.records import JobRecord, JobRequest, OtherRequest
from push_jobs_server.serf_records import Decision
from push_jobs_server.store import StoreError
from push_jobs_server.store.serf_reads import SerfReads
from push_jobs_wire.shovey import job_id_of, job_uuid
from push_jobs_wire.states import JobStatus, NodeStatus


class ShoveyJobs:
    """``shovey/jobs``, ``shovey/jobs/ID`` and ``shovey/jobs/cancel``.

    Args:
        org: the organization whose jobs these are.
    """

    def __init__(self, services: Services, org: str) -> None:
        self._services = services
        self._org = org
        self._reads = SerfReads(services.store)

    def list(self) -> List[str]:
        """The ids of all jobs, oldest first."""
        return [job_uuid(job.id) for job in self._services.store.jobs(self._org)]

    def show(self, run_id: str) -> Dict[str, Any]:
        """A job with its nodes."""
        job = self.find(run_id)
        return job_document(job, self._reads.runs(job.id))

    def find(self, run_id: str) -> JobRecord:
        """The job of a UUID. Raises Failure 404."""
        return find_job(self._services, self._org, run_id)

    def start(self, asked: "Asked") -> Dict[str, str]:
        """Store a job and start it; answers once it is clear that it runs."""
        body = read_start(asked.body)
        request = self._request(body, asked.caller)
        first = self._services.store.job_for_request(self._org, str(request.request_key))
        decision = self._submit(request) if first is None else self._decided(first)
        run_id = job_uuid(decision.job_id)
        if decision.status is JobStatus.QUORUM_FAILED:
            words = f"Not enough nodes were up to execute job {run_id}"
            raise Failure(400, f"{words} - got {decision.up}, needed at least {request.quorum}")
        base = base_url(asked.environ, self._services.settings["trusted_proxies"])
        return {"id": run_id, "uri": f"{base}/shovey/jobs/{run_id}"}

    def cancel(self, asked: "Asked") -> Dict[str, Any]:
        """Cancel a job on some nodes or all; answers as soon as that is stored."""
        run_id, nodes = read_cancel(asked.body)
        job = self.find(run_id)
        members = () if job.status is JobStatus.QUORUM_FAILED else job.request.nodes
        for name in nodes or job.request.nodes[:1]:
            if name not in members:
                raise Failure(404, f"run {run_id} for node {name} not found")
        ask_cancel(self._services, job, tuple(nodes) or None, asked.caller)
        return self.show(run_id)

    def _request(self, body: StartBody, caller: Caller) -> JobRequest:
        return JobRequest(
            self._org,
            body.command,
            body.nodes,
            body.quorum,
            body.run_timeout,
            caller.name,
            caller.kind,
            capture=True,
            request_key=caller.request_key,
            address=caller.address,
        )

    def _decided(self, job_id: str) -> Decision:
        """What became of a job that this very request started before."""
        job = self.find(job_uuid(job_id))
        up = sum(node.status is NodeStatus.WAS_READY for node in job.nodes.values())
        return Decision(job_id, job.status, up)

    def _submit(self, request: JobRequest) -> Decision:
        if not self._services.engine.accepting:
            raise unavailable("the database does not take new jobs now; try again later")
        job_id = uuid.uuid4().hex
        try:
            decided = ask_engine(
                self._services,
                lambda engine, answer: engine.serf.start_job(job_id, request, answer),
            )
        except OtherRequest:
            raise Failure(409, "this signed request has started another job before") from None
        except StoreError as error:
            raise unavailable(f"the job could not be stored: {error}") from None
        return decided if isinstance(decided, Decision) else self._decided(str(decided))


def find_job(services: Services, org: str, run_id: str) -> JobRecord:
    """The job of a UUID, in this organization. Raises Failure 404."""
    job_id = job_id_of(run_id)
    job = None if job_id is None else services.store.job(org, job_id)
    if job is None:
        raise Failure(404, f"shovey job {run_id} not found")
    return job
