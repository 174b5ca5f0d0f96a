"""Cancelling jobs: v1/jobs/ID/cancel, for whoever may start them."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from push_jobs_server.api.cancel_body import CancelBody, read_cancel
from push_jobs_server.api.common import find_job
from push_jobs_server.api.gate import SignedRequest
from push_jobs_server.api.rights import WRITE, authorize
from push_jobs_server.api.services import Caller, Failure, Services, ask_engine, unavailable
from push_jobs_server.api.status import Accepts
from push_jobs_server.engine.cancels import CancelRequest
from push_jobs_server.records import Cancelled, JobRecord
from push_jobs_server.store import StoreError
from push_jobs_wire.states import CancelEffect

_NAMES_SHOWN = 10


class Cancels:
    """``v1/jobs/ID/cancel``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def cancel(
        self, environ: Dict[str, Any], accept: Accepts, org: str, job: str
    ) -> Dict[str, Any]:
        """Cancel a job on some nodes or all; the same again is no error, nor is an ended job."""
        request = SignedRequest(self._services, environ)
        caller = request.authenticate(org)
        authorize(org, caller, WRITE)
        body = read_cancel(request.body)
        accept.check()
        kind = str(environ.get("CONTENT_TYPE", "")).split(";")[0].strip().lower()
        if request.body and kind != "application/json":
            raise Failure(415, ["the body has to be application/json"])
        record = find_job(self._services, org, job)
        _check_members(record, body)
        result = None if record.status.final else self._ask(record, body, caller)
        if result is None:
            # It left the engine's memory meanwhile, which only ended jobs do.
            record = find_job(self._services, org, job)
            names = body.nodes or record.request.nodes
            ended = {name: (CancelEffect.ENDED, record.nodes[name].status) for name in names}
            result = Cancelled(record.status, ended)
        return cancelled_document(job, result)

    def _ask(self, job: JobRecord, body: CancelBody, caller: Caller) -> Optional[Cancelled]:
        return ask_cancel(self._services, job, body.nodes, caller, body.grace, body.reason)


def ask_cancel(
    services: Services,
    job: JobRecord,
    nodes: Optional[Tuple[str, ...]],
    caller: Caller,
    grace: Optional[float] = None,
    reason: Optional[str] = None,
) -> Optional[Cancelled]:
    """Cancel a job on some of its nodes, or on all (None); returns once that is stored.

    None comes back for a job that is not in the engine's memory: it has ended. Raises Failure.
    """
    if not services.engine.accepting:
        raise unavailable("the database does not take the cancel now; try again later")
    request = CancelRequest(
        job.request.org, job.id, caller.name, caller.kind, nodes, grace, reason, caller.address
    )
    try:
        result: Optional[Cancelled] = ask_engine(
            services, lambda engine, answer: engine.cancels.ask(request, answer)
        )
    except StoreError as error:
        raise Failure(500, [f"the cancel could not be stored: {error}"]) from None
    return result


def _check_members(job: JobRecord, body: CancelBody) -> None:
    strangers = [name for name in body.nodes or () if name not in job.nodes]
    if strangers:
        more = ", ..." if len(strangers) > _NAMES_SHOWN else ""
        raise Failure(400, f"not part of this job: {', '.join(strangers[:_NAMES_SHOWN])}{more}")


def cancelled_document(job_id: str, result: Cancelled) -> Dict[str, Any]:
    """The answer to a cancel."""
    return {
        "id": job_id,
        "status": result.status.value,
        "nodes": [
            {"name": name, "cancel": effect.value, "status": status.value}
            for name, (effect, status) in sorted(result.nodes.items())
        ],
    }
