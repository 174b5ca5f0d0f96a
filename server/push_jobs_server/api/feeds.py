"""Event feeds of a job and of an organization: what happens, when it happens (pushy-api 4.8).

Each open feed holds one thread. A reader that does not read is waited for by that thread alone.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, Optional, Union

from push_jobs_server.api.common import admit_reader, find_job, set_stream_headers
from push_jobs_server.api.documents import job_with_nodes
from push_jobs_server.api.services import Services, or_busy
from push_jobs_server.api.status import Accepts
from push_jobs_server.feeds import sse
from push_jobs_server.feeds.history import MICROSECONDS
from push_jobs_server.feeds.readers import Reader


class EventFeeds:
    """``job_status_feed`` and ``job_status_feed/ID``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def organization(self, environ: Dict[str, Any], accept: Accepts, org: str) -> Iterator[bytes]:
        """Starts and ends of all jobs of the organization."""
        admit_reader(self._services, environ, accept, org)
        last_id = _last_id(environ)
        return self._stream(or_busy(lambda: self._services.feeds.open_org(org, last_id)))

    def job(
        self, environ: Dict[str, Any], accept: Accepts, org: str, job: str
    ) -> Union[Iterator[bytes], bytes]:
        """All events of a job to its end; of one that ended a while ago, how it ended."""
        admit_reader(self._services, environ, accept, org)
        last_id = _last_id(environ)
        reader = or_busy(lambda: self._services.feeds.open_job(org, job, last_id))
        return self._summary(org, job) if reader is None else self._stream(reader)

    def _summary(self, org: str, job_id: str) -> bytes:
        job = find_job(self._services, org, job_id)
        set_stream_headers()
        document = job_with_nodes(job, include_file=False)
        return sse.summary_text(document, round(job.updated_at * MICROSECONDS))

    def _stream(self, reader: Reader) -> Iterator[bytes]:
        set_stream_headers()
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
