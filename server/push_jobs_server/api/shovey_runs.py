"""One node's part in a job, shown and reported the Shovey way (shovey 2.5)."""

from __future__ import annotations

from typing import Any, Dict, List

from push_jobs_server.api.rights import WRITE, ruling
from push_jobs_server.api.services import Caller, Failure, Services, ask_engine, unavailable
from push_jobs_server.api.shovey_asked import Asked
from push_jobs_server.api.shovey_body import read_last_chunks, read_report
from push_jobs_server.api.shovey_documents import run_document
from push_jobs_server.api.shovey_jobs import find_job
from push_jobs_server.api.shovey_pieces import ShoveyPieces
from push_jobs_server.records import JobRecord
from push_jobs_server.serf_records import SerfChunk
from push_jobs_server.store import StoreError
from push_jobs_server.store.serf_reads import SerfReads
from push_jobs_wire.messages import STREAMS
from push_jobs_wire.shovey import job_id_of
from push_jobs_wire.states import JobStatus


class ShoveyRuns:
    """``shovey/jobs/ID/NODE``.

    Args:
        org: the organization whose jobs these are.
        pieces: finds the place of output that comes with a report.
    """

    def __init__(self, services: Services, org: str, pieces: ShoveyPieces) -> None:
        self._pieces = pieces
        self._services = services
        self._org = org
        self._reads = SerfReads(services.store)

    def show(self, run_id: str, node: str) -> Dict[str, Any]:
        """What became of a node's part, with its output."""
        job = find_run(self._services, self._org, run_id, node)
        run = self._reads.runs(job.id).get(node)
        stdout, stderr = (self._output(job, node, stream) for stream in STREAMS)
        return run_document(job, node, run, stdout, stderr)

    def report(self, asked: "Asked", run_id: str, node: str) -> Dict[str, str]:
        """Take a node's report; it is stored when this answers."""
        check_reporter(self._org, asked.caller, node)
        job_id = find_serf_run(self._services, self._reads, self._org, run_id, node)
        itself = is_itself(asked.caller, node)
        if itself:
            self._services.refused.forget(self._org, node)
        report, last = read_report(asked.body, job_id, node, itself), read_last_chunks(asked.body)
        with self._pieces.of(job_id, node):
            chunks: List[SerfChunk] = []
            for body in last:
                chunks += self._pieces.placed(job_id, node, body, len(chunks))
            ask_stored(
                self._services, lambda engine, answer: engine.serf.report(report, chunks, answer)
            )
        return {"id": run_id, "node": node, "response": "ok"}

    def _output(self, job: JobRecord, node: str, stream: str) -> str:
        """All that is there up to the first gap; when the part is over, also what is behind it."""
        limit = int(self._services.settings["max_output"])
        args = (self._org, job.id, node, stream, limit)
        found = self._services.store.output(*args, partial=True) or b""
        if job.nodes[node].status.final:
            held = self._reads.held(job.id, node, stream, -1)
            found += b"".join(chunk.data for chunk in held)
        return found.decode("utf-8", "replace")


def find_run(services: Services, org: str, run_id: str, node: str) -> JobRecord:
    """The job of a UUID that has this node. Raises Failure 404."""
    job = find_job(services, org, run_id)
    if node not in job.nodes or job.status is JobStatus.QUORUM_FAILED:
        raise Failure(404, f"run {run_id} for node {node} not found")
    return job


def find_serf_run(services: Services, reads: SerfReads, org: str, run_id: str, node: str) -> str:
    """The id of a job in which this node has a part over Serf. Raises Failure 404.

    Nodes report thousands of times; the job with all its nodes is read only to say what is missing.
    """
    job_id = job_id_of(run_id)
    if job_id is not None and reads.has_run(org, job_id, node):
        return job_id
    find_run(services, org, run_id, node)
    raise Failure(404, f"run {run_id} for node {node} not found")


def is_itself(caller: Caller, node: str) -> bool:
    """True for the node itself."""
    return caller.kind == "client" and caller.name == node


def check_reporter(org: str, caller: Caller, node: str) -> None:
    """Raise Failure 403 unless the caller is the node itself, or may start jobs."""
    if not is_itself(caller, node) and not ruling(org, caller, WRITE).allowed:
        raise Failure(403, "you cannot perform this action")


def ask_stored(services: Services, request: Any) -> Any:
    """The engine's answer, which means that it is stored; raises Failure 503 otherwise."""
    if not services.engine.accepting:
        raise unavailable("the database does not take reports now; send it again later")
    try:
        return ask_engine(services, request)
    except StoreError as error:
        raise unavailable(f"it could not be stored: {error}") from None
