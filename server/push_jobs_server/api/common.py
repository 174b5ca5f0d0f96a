"""What many routes do alike: let a reader in, find a job, answer with a stream."""

from __future__ import annotations

from typing import Any, Dict

import bottle

from push_jobs_server.api.gate import SignedRequest
from push_jobs_server.api.rights import READ, authorize
from push_jobs_server.api.services import Caller, Failure, Services
from push_jobs_server.api.status import Accepts
from push_jobs_server.records import JobRecord


def admit_reader(services: Services, environ: Dict[str, Any], accept: Accepts, org: str) -> Caller:
    """Steps 4 to 16 of a GET: who asks, whether he may read, whether he takes what comes."""
    caller = SignedRequest(services, environ).authenticate(org)
    authorize(org, caller, READ)
    accept.check()
    return caller


def find_job(services: Services, org: str, job_id: str) -> JobRecord:
    """A job of this organization with its nodes; raises Failure 404."""
    job = services.store.job(org, job_id)
    if job is None:
        raise Failure(404, ["there is no such job in this organization"])
    return job


def set_stream_headers() -> None:
    """Headers of an answer that comes in pieces: nobody may keep or collect them on the way."""
    bottle.response.set_header("Cache-Control", "no-cache")
    bottle.response.set_header("X-Accel-Buffering", "no")
