"""Starting jobs and looking at them (pushy-api 4.3 to 4.6), and our detailed views of them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Dict, List, Optional, Tuple
from urllib.parse import parse_qs

import bottle

from push_jobs_server.api.common import admit_reader, find_job
from push_jobs_server.api.documents import job_detail, job_document, job_summary, job_with_nodes
from push_jobs_server.api.gate import SignedRequest
from push_jobs_server.api.job_body import read_job
from push_jobs_server.api.job_query import cursor_after, read_query, with_cursor
from push_jobs_server.api.repeats import check_same, id_of, other_request, read_key
from push_jobs_server.api.rights import WRITE, authorize
from push_jobs_server.api.services import Caller, Failure, Services, or_busy, unavailable
from push_jobs_server.api.status import Accepts
from push_jobs_server.api.urls import base_url
from push_jobs_server.records import Busy, JobFilter, JobRecord, JobRequest, OtherRequest
from push_jobs_server.store import StoreError

LONGEST_WAIT = 60.0
"""Seconds that a caller may wait for the end of a job in one request."""


class Jobs:
    """``jobs``, ``jobs/ID``, their output, ``v1/jobs`` and ``v1/jobs/ID``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def start(self, environ: Dict[str, Any], accept: Accepts, org: str) -> Dict[str, str]:
        """Store a job and start it; answers only once it is stored.

        A start that came before is answered with its job. Nothing may fail after the job is stored.
        """
        request = SignedRequest(self._services, environ)
        caller = request.authenticate(org)
        authorize(org, caller, WRITE)
        key = read_key(environ)
        asked, timeout_was_given = self._read(request.body, org, caller)
        accept.check()
        kind = str(environ.get("CONTENT_TYPE", "")).split(";")[0].strip().lower()
        if kind != "application/json":
            raise Failure(415, ["the body has to be application/json"])
        base = base_url(environ, self._services.settings["trusted_proxies"])
        job_id = id_of(org, caller, key)
        first = self._first_job(asked)
        if first is None and key is not None:
            first = self._job_of_key(asked, job_id, timeout_was_given)
        job_id = first or self._submit(asked, job_id)
        url = f"{base}/organizations/{org}/pushy/jobs/{job_id}"
        bottle.response.status = 201
        bottle.response.set_header("Location", url)
        return {"uri": url}

    def _read(self, raw: bytes, org: str, caller: Caller) -> Tuple[JobRequest, bool]:
        """What is asked for, and whether the body says how long it may take."""
        settings = self._services.settings
        body = read_job(raw, int(settings["max_job_file"]))
        timeout = body.run_timeout
        if timeout is None:
            timeout = int(settings["default_run_timeout"])
        asked = JobRequest(
            org,
            body.command,
            body.nodes,
            body.quorum,
            timeout,
            caller.name,
            caller.kind,
            user=body.user,
            dir=body.dir,
            env=body.env,
            file=body.file,
            capture=body.capture,
            request_key=caller.request_key,
            address=caller.address,
        )
        return asked, body.run_timeout is not None

    def _job_of_key(self, asked: JobRequest, job_id: str, timeout_was_given: bool) -> Optional[str]:
        """The id that an idempotency key makes, if there is such a job."""
        known = self._services.store.job(asked.org, job_id)
        if known is None:
            return None
        check_same(known.request, asked, timeout_was_given)
        return job_id

    def _submit(self, asked: JobRequest, job_id: str) -> str:
        engine = self._services.engine
        if not engine.accepting:
            raise unavailable("the database does not take new jobs now; try again later")
        try:
            answer = engine.ask(lambda engine, answer: engine.starts.ask(job_id, asked, answer))
        except Busy as busy:
            raise unavailable(str(busy)) from None
        except OtherRequest:
            raise other_request() from None
        except StoreError as error:
            first = self._first_job(asked)  # which may have ended and left the engine meanwhile
            if first is None:
                raise Failure(500, [f"the job could not be stored: {error}"]) from None
            return first
        return str(answer)

    def _first_job(self, asked: JobRequest) -> Optional[str]:
        """The job that this very request started before, if it did (architecture 3)."""
        return self._services.store.job_for_request(asked.org, str(asked.request_key))

    def list(self, environ: Dict[str, Any], accept: Accepts, org: str) -> List[Dict[str, Any]]:
        """All jobs of the organization, newest last; with a query of ours a page, newest first."""
        admit_reader(self._services, environ, accept, org)
        asked = read_query(_query(environ))
        if asked is None:
            return [job_document(job) for job in self._services.store.jobs(org)]
        return [job_document(job) for job in self._page(environ, org, asked)[0]]

    def page(self, environ: Dict[str, Any], accept: Accepts, org: str) -> Dict[str, Any]:
        """A page of jobs with who started them, newest first, and what leads to the next page."""
        admit_reader(self._services, environ, accept, org)
        asked = read_query(_query(environ)) or JobFilter()
        found, cursor = self._page(environ, org, asked)
        return {"jobs": [job_summary(job) for job in found], "next": cursor}

    def _page(
        self, environ: Dict[str, Any], org: str, asked: JobFilter
    ) -> Tuple[List[JobRecord], Optional[str]]:
        """A page and the cursor of the next one, which a Link header names, too."""
        found = self._services.store.find_jobs(org, replace(asked, limit=asked.limit + 1))
        if len(found) <= asked.limit:
            return found, None
        found = found[: asked.limit]
        cursor = cursor_after(found[-1])
        base = base_url(environ, self._services.settings["trusted_proxies"])
        path = str(environ["REQUEST_URI"]).split("?", 1)[0]
        url = f"{base}{path}?{with_cursor(_query(environ), cursor)}"
        bottle.response.set_header("Link", f'<{url}>; rel="next"')
        return found, cursor

    def show(self, environ: Dict[str, Any], accept: Accepts, org: str, job: str) -> Dict[str, Any]:
        """A job with its nodes by status, as old clients know it."""
        admit_reader(self._services, environ, accept, org)
        query = parse_qs(_query(environ))
        return job_with_nodes(
            find_job(self._services, org, job), query.get("include_file") == ["true"]
        )

    def detail(
        self, environ: Dict[str, Any], accept: Accepts, org: str, job: str
    ) -> Dict[str, Any]:
        """A job with everything that is known of each node.

        ``?wait=SECONDS`` answers when the job has ended, at the latest after so many seconds.
        """
        admit_reader(self._services, environ, accept, org)
        wait = parse_qs(_query(environ)).get("wait", ["0"])[-1]
        self._wait(org, job, _seconds(wait))
        return job_detail(find_job(self._services, org, job))

    def _wait(self, org: str, job_id: str, seconds: float) -> None:
        """Hold this thread until the job has ended; it counts as an open feed."""
        if not seconds:
            return
        reader = or_busy(lambda: self._services.feeds.open_output(org, job_id))
        if reader is None:
            return
        until = time.monotonic() + seconds
        try:
            left = seconds
            while left > 0 and reader.take(left) is not None:
                left = until - time.monotonic()
        finally:
            reader.close()

    def output(
        self, environ: Dict[str, Any], accept: Accepts, org: str, job: str, node: str
    ) -> bytes:
        """What a node's command printed on the channel that the path names.

        ``?partial=true`` (ours): also what a command that still runs has printed so far.
        """
        admit_reader(self._services, environ, accept, org)
        channel = str(environ["PATH_INFO"]).rsplit("/", 1)[1]
        query = parse_qs(_query(environ))
        limit = int(self._services.settings["max_output"])
        partial = query.get("partial") == ["true"]
        found = self._services.store.output(org, job, node, channel, limit, partial)
        if found is None:
            raise Failure(404, ["no output of this node and job is stored"])
        return found


def _query(environ: Dict[str, Any]) -> str:
    return str(environ.get("QUERY_STRING", ""))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_WAIT:
        raise Failure(400, [f"wait is {text!r}, expected 0 to {LONGEST_WAIT:.0f} seconds"])
    return seconds
