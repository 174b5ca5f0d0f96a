"""Event feeds of a job and of an organization: what happens, when it happens (pushy-api 4.8).

Each open feed holds one thread. A reader that does not read is waited for by that thread alone.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, Optional, Union

import bottle

from push_jobs_server.api.documents import job_with_nodes
from push_jobs_server.api.gate import SignedRequest
from push_jobs_server.api.rights import READ, authorize
from push_jobs_server.api.services import Failure, Services, unavailable
from push_jobs_server.api.status import Accepts
from push_jobs_server.feeds import sse
from push_jobs_server.feeds.history import MICROSECONDS
from push_jobs_server.feeds.readers import Reader
from push_jobs_server.records import Busy


class EventFeeds:
    """``job_status_feed`` and ``job_status_feed/ID``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def organization(self, environ: Dict[str, Any], accept: Accepts, org: str) -> Iterator[bytes]:
        """Starts and ends of all jobs of the organization."""
        self._admit(environ, accept, org)
        try:
            return self._stream(self._services.feeds.open_org(org, _last_id(environ)))
        except Busy as busy:
            raise unavailable(str(busy)) from None

    def job(
        self, environ: Dict[str, Any], accept: Accepts, org: str, job: str
    ) -> Union[Iterator[bytes], bytes]:
        """All events of a job to its end; of one that ended a while ago, how it ended."""
        self._admit(environ, accept, org)
        try:
            reader = self._services.feeds.open_job(org, job, _last_id(environ))
        except Busy as busy:
            raise unavailable(str(busy)) from None
        return self._summary(org, job) if reader is None else self._stream(reader)

    def _admit(self, environ: Dict[str, Any], accept: Accepts, org: str) -> None:
        caller = SignedRequest(self._services, environ).authenticate(org)
        authorize(self._services, org, caller, READ)
        accept.check()

    def _summary(self, org: str, job_id: str) -> bytes:
        job = self._services.store.job(org, job_id)
        if job is None:
            raise Failure(404, ["there is no such job in this organization"])
        _set_headers()
        document = job_with_nodes(job, include_file=False)
        return sse.summary_text(document, round(job.updated_at * MICROSECONDS))

    def _stream(self, reader: Reader) -> Iterator[bytes]:
        _set_headers()
        return _pieces(reader, float(self._services.settings["keep_alive_time"]))


def _pieces(reader: Reader, keep_alive: float) -> Iterator[bytes]:
    """What there is, at once: the headers leave with the first piece. Then what comes."""
    try:
        entries = reader.take(0)
        while entries is not None:
            yield sse.text(entries) or sse.KEEP_ALIVE
            entries = reader.take(keep_alive)
    finally:
        reader.close()


def _last_id(environ: Dict[str, Any]) -> Optional[str]:
    last_id = environ.get("HTTP_LAST_EVENT_ID")
    return None if last_id is None else str(last_id)


def _set_headers() -> None:
    bottle.response.set_header("Cache-Control", "no-cache")
    bottle.response.set_header("X-Accel-Buffering", "no")
