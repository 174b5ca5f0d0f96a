"""The Bottle application: which path leads where, and what every answer has in common.

Paths are matched on the raw request target, because clients double and append slashes and because
signatures cover the undecoded path (pushy-api 1.2). Every error is JSON.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple
from urllib.parse import unquote

import bottle

from push_jobs_server.api.all_nodes import AllNodes
from push_jobs_server.api.cancels import Cancels
from push_jobs_server.api.config import Config
from push_jobs_server.api.feeds import EventFeeds
from push_jobs_server.api.jobs import Jobs
from push_jobs_server.api.nodes import Nodes
from push_jobs_server.api.output_feed import OutputFeeds
from push_jobs_server.api.services import Failure, Services, unavailable
from push_jobs_server.api.shovey import Shovey
from push_jobs_server.api.status import Status
from push_jobs_server.api.urls import segments
from push_jobs_server.api.whoami import WhoAmI
from push_jobs_server.store import StoreUnavailable

log = logging.getLogger("push_jobs_server.api")

JSON = "application/json"
_EVENTS = "text/event-stream"
_OLD_NAMES = {_EVENTS: "application/event-stream"}
"""The draft documents call the events so; what is answered is always the other name."""
_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT", "OPTIONS", "PATCH"}
_ORG = "/organizations/<org>/pushy"

Handler = Callable[..., Any]
Wsgi = Callable[[Dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def build(services: Services) -> Wsgi:
    """The WSGI application of a server."""
    app = bottle.Bottle()
    app.default_error_handler = _error
    status, config = Status(services), Config(services)
    jobs, nodes, feeds = Jobs(services), Nodes(services), EventFeeds(services)
    all_nodes = AllNodes(services)
    routes: List[Tuple[str, str, Handler, str]] = [
        ("GET", "/pushy/_status", status.show, JSON),
        ("GET", "/pushy/v1/ca", status.certificate, "application/x-pem-file"),
        ("GET", _ORG + "/config/<node>", config.show, JSON),
        ("GET", _ORG + "/connect/<node>", config.show, JSON),
        ("POST", _ORG + "/jobs", jobs.start, JSON),
        ("GET", _ORG + "/jobs", jobs.list, JSON),
        ("GET", _ORG + "/jobs/<job>", jobs.show, JSON),
        ("GET", _ORG + "/v1/jobs", jobs.page, JSON),
        ("GET", _ORG + "/v1/jobs/<job>", jobs.detail, JSON),
        ("GET", _ORG + "/v1/jobs/<job>/output_feed", OutputFeeds(services).job, _EVENTS),
        ("GET", _ORG + "/job_status_feed", feeds.organization, _EVENTS),
        ("GET", _ORG + "/job_status_feed/<job>", feeds.job, _EVENTS),
        ("POST", _ORG + "/v1/jobs/<job>/cancel", Cancels(services).cancel, JSON),
        ("GET", _ORG + "/v1/whoami", WhoAmI(services).show, JSON),
        ("GET", _ORG + "/v1/nodes", all_nodes.list, JSON),
        ("GET", _ORG + "/v1/nodes/<node>", all_nodes.show, JSON),
        ("GET", _ORG + "/node_states", nodes.list, JSON),
        ("GET", _ORG + "/node_states/<node>", nodes.show, JSON),
    ]
    for channel in ("stdout", "stderr"):
        path = f"{_ORG}/jobs/<job>/output/<node>/{channel}"
        routes.append(("GET", path, jobs.output, "application/octet-stream"))
    for method, path, handler, kind in routes:
        app.route(path, method=method, callback=_endpoint(services, handler, method, kind))
    return _with_raw_path(app, Shovey(services))


def _with_raw_path(app: bottle.Bottle, shovey: Shovey) -> Wsgi:
    def call(environ: Dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["PATH_INFO"] = segments(str(environ["REQUEST_URI"]))
        if shovey.serves(str(environ["REQUEST_URI"])):
            return shovey(environ, start_response)
        answer: Iterable[bytes] = app.wsgi(environ, start_response)
        return answer

    return call


def _endpoint(services: Services, handler: Handler, method: str, kind: str) -> Handler:
    """Wrap a handler: exact method, decoded segments, Accept, answers and errors."""

    def call(**pieces: str) -> Any:
        environ = bottle.request.environ
        if environ["REQUEST_METHOD"] != method:  # Bottle answers HEAD by GET
            raise bottle.HTTPError(405)
        accept = environ.get("HTTP_ACCEPT")
        try:
            names = {key: _name(value) for key, value in pieces.items()}
            return _answer(handler(environ, Accept(accept, kind), **names), kind)
        except Failure as failure:
            if services.refusals is not None:
                services.refusals.take(environ, pieces.get("org"), failure)
            return _failure(failure)
        except StoreUnavailable as error:
            return _failure(unavailable(f"the database can't be used now: {error}"))

    return call


def _name(piece: str) -> str:
    """A decoded segment of a path; what no name can be is not there (HTTPError 404)."""
    try:
        name = unquote(piece, errors="strict")
    except UnicodeDecodeError:
        raise bottle.HTTPError(404) from None
    if "\0" in name:  # PostgreSQL could not even be asked for it
        raise bottle.HTTPError(404)
    return name


class Accept:
    """Step 16: whether the caller takes what the route has (pushy-api 1.5)."""

    def __init__(self, header: Optional[str], kind: str) -> None:
        self._header = header
        self._kind = kind

    def check(self) -> None:
        """Raise Failure 406 unless one range fits; parameters are ignored."""
        if not self._header:
            return
        ranges = {part.split(";")[0].strip().lower() for part in self._header.split(",")}
        kinds = {self._kind, _OLD_NAMES.get(self._kind, self._kind)}
        if not ranges & {"*/*", "*", self._kind.split("/")[0] + "/*", *kinds}:
            raise Failure(406, [f"this address answers {self._kind} only"])


def _answer(result: Any, kind: str) -> Any:
    bottle.response.content_type = kind
    if isinstance(result, (bytes, Iterator)):  # an iterator is sent piece by piece
        return result
    return json.dumps(result, ensure_ascii=False).encode("utf-8", "replace")


def _failure(failure: Failure) -> Any:
    bottle.response.status = failure.status
    for name, value in failure.headers.items():
        bottle.response.set_header(name, value)
    return _answer({"error": failure.error}, JSON)


def _error(error: bottle.HTTPError) -> str:
    """Errors of Bottle's own: no such route, wrong method, and defects of ours."""
    status = int(error.status_code)
    if status == 405:
        status = _wrong_method(error)
    if status >= 500 and error.exception is not None:
        where = bottle.request.environ.get("REQUEST_URI")
        log.error("defect while answering %s", where, exc_info=error.exception)
    bottle.response.status = status  # Bottle has copied the one of the error before
    error.content_type = JSON
    return json.dumps({"error": [_TEXTS.get(status, "the server failed; its log says why")]})


_TEXTS = {
    400: "bad request",
    404: "there is nothing at this address",
    405: "this method is not allowed here",
    501: "this method is not known",
}


def _wrong_method(error: bottle.HTTPError) -> int:
    environ = bottle.request.environ
    if environ["REQUEST_METHOD"] not in _METHODS:
        return 501
    path = str(environ["PATH_INFO"])
    allowed = "POST, GET" if path.endswith("/pushy/jobs") else "GET"
    if path.endswith("/cancel") and path.split("/")[-4:-2] == ["v1", "jobs"]:
        allowed = "POST"
    error.set_header("Allow", allowed)
    return 405
