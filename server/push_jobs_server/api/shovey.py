"""The Shovey routes: ``/shovey/...`` and ``/status/...`` at the server's root (shovey 2).

They serve the one organization that ``serf.organization`` names. Shapes of paths, methods and
their answers follow that API, which differs too much from ours for one table of routes; who a
caller is and what he may do is decided as everywhere else.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Callable, Dict, Iterable, List, Optional

from push_jobs_server.api.gate import SignedRequest
from push_jobs_server.api.refused_notes import note_refused
from push_jobs_server.api.rights import ANSWER_ONLY, WRITE, may_see, ruling
from push_jobs_server.api.services import Failure, Services, unavailable
from push_jobs_server.api.shovey_asked import Asked
from push_jobs_server.api.shovey_body import inflated
from push_jobs_server.api.shovey_jobs import ShoveyJobs
from push_jobs_server.api.shovey_output import ShoveyOutput
from push_jobs_server.api.shovey_pieces import ShoveyPieces
from push_jobs_server.api.shovey_runs import ShoveyRuns
from push_jobs_server.api.shovey_status import ShoveyStatus
from push_jobs_server.api.urls import cleaned
from push_jobs_server.store import StoreUnavailable

log = logging.getLogger("push_jobs_server.api")

_WORDS = {
    200: "OK",
    301: "Moved Permanently",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}
_SIGN = {
    "WWW-Authenticate": 'X-Ops-Sign version="1.0" version="1.1" version="1.2" version="1.3"',
}
_ROOTS = ("/shovey", "/status")


class Shovey:
    """A WSGI application for these routes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        org = services.settings["serf.organization"]
        self._org: Optional[str] = None if org is None else str(org)
        self._jobs = ShoveyJobs(services, str(org))
        pieces = ShoveyPieces(services)
        self._runs = ShoveyRuns(services, str(org), pieces)
        self._output = ShoveyOutput(services, str(org), pieces)
        self._status = ShoveyStatus(services, str(org))

    @staticmethod
    def serves(target: str) -> bool:
        """True for the request targets that are meant for this application."""
        path = cleaned(target)
        return any(path == root or path.startswith(root + "/") for root in _ROOTS)

    def __call__(
        self, environ: Dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request; see WSGI."""
        status, headers, content = self._answer(environ)
        if environ["REQUEST_METHOD"] == "HEAD":
            content = b""
        lines = {"Content-Type": "application/json", **headers, "Content-Length": len(content)}
        words = f"{status} {_WORDS.get(status, 'Answer')}"
        start_response(words, [(name, str(value)) for name, value in lines.items()])
        return [content]

    def _answer(self, environ: Dict[str, Any]) -> "tuple[int, Dict[str, str], bytes]":
        path = cleaned(str(environ["REQUEST_URI"]))
        if path in _ROOTS:
            link = f'<a href="{path}/">Moved Permanently</a>.\n\n'
            headers = {"Content-Type": "text/html; charset=utf-8", "Location": path + "/"}
            return 301, headers, link.encode()
        try:
            return 200, {}, encoded(self._serve(environ, path))
        except Failure as failure:
            self._note(environ, path, failure)
            if self._services.refusals is not None:
                self._services.refusals.take(environ, self._org, failure)
            return _refusal(failure)
        except StoreUnavailable as error:
            return _refusal(unavailable(f"the database can't be used now: {error}"))
        except Exception:
            log.exception("defect while answering %s", path)
            return _refusal(Failure(500, "the server failed; its log says why"))

    def _note(self, environ: Dict[str, Any], path: str, failure: Failure) -> None:
        """Remember that a node may not report, for people who ask why its jobs have no end."""
        pieces = path.split("/")
        reports = environ["REQUEST_METHOD"] == "PUT" and len(pieces) == 5
        if reports and self._org is not None and failure.status == 401:
            note_refused(self._services, environ, (self._org, pieces[4]), "report", failure)

    def _serve(self, environ: Dict[str, Any], path: str) -> Any:
        if self._org is None:
            raise Failure(412, "shovey is not enabled")
        if not environ.get("HTTP_X_OPS_USERID"):
            text = "Failed to authenticate as ''. "
            text += "Ensure that your node_name and client key are correct."
            raise Failure(401, text)
        request = SignedRequest(self._services, environ)
        caller = request.authenticate(self._org)
        _, root, *parts = path.split("/")
        body = inflated(environ, request.body, int(self._services.settings["http.max_body_size"]))
        asked = Asked(request.method, parts, body, caller, environ)
        return self._shovey(asked) if root == "shovey" else self._about_nodes(asked)

    def _about_nodes(self, asked: Asked) -> Any:
        if not may_see(str(self._org), asked.caller):
            raise Failure(403, "You must be an admin to do that")
        if asked.method not in ("GET", "HEAD"):
            raise Failure(405, "Method not allowed")
        return None if asked.method == "HEAD" else self._status.show(asked)

    def _shovey(self, asked: Asked) -> Any:
        self._check_role(asked)
        operation, *rest = asked.parts
        if operation == "jobs":
            return self._about_jobs(asked, rest)
        if operation == "stream":
            return self._about_stream(asked, rest)
        raise Failure(400, "Unrecognized operation" if operation else "Bad request")

    def _check_role(self, asked: Asked) -> None:
        """Who reports for a node is known once the path is read; all else is for operators."""
        org, caller = str(self._org), asked.caller
        cancel = asked.method == "PUT" and asked.parts[:2] == ["jobs", "cancel"]
        if asked.method in ANSWER_ONLY and may_see(org, caller):
            return
        if asked.method == "PUT" and not cancel:
            return
        if not ruling(org, caller, WRITE).allowed:
            raise Failure(403, "you cannot perform this action")

    def _about_jobs(self, asked: Asked, rest: List[str]) -> Any:
        if not rest:
            return self._all_jobs(asked)
        if len(rest) == 1:
            return self._one_job(asked, rest[0])
        if len(rest) > 2:
            raise Failure(400, "Bad request")
        if asked.method == "PUT":
            return self._runs.report(asked, *rest)
        if asked.method == "GET":
            return self._runs.show(*rest)
        return self._heads(asked, rest[0])

    def _all_jobs(self, asked: Asked) -> Any:
        if asked.method == "GET":
            return self._jobs.list()
        if asked.method == "POST":
            return self._jobs.start(asked)
        if asked.method == "PUT":
            raise Failure(400, "Bad request")
        return None if asked.method == "HEAD" else _unknown_method()

    def _one_job(self, asked: Asked, job: str) -> Any:
        if asked.method == "PUT" and job == "cancel":
            return self._jobs.cancel(asked)
        if asked.method == "GET":
            return self._jobs.show(job)
        return self._heads(asked, job)

    def _heads(self, asked: Asked, job: str) -> Any:
        if asked.method == "HEAD":
            self._jobs.find(job)
            return None
        if asked.method in ("POST", "PUT"):
            raise Failure(400, "Bad request")
        return _unknown_method()

    def _about_stream(self, asked: Asked, rest: List[str]) -> Any:
        if len(rest) != 2:
            raise Failure(400, "Bad request")
        if asked.method == "PUT":
            return self._output.take(asked, *rest)
        if asked.method == "GET":
            return self._output.show(asked.environ, *rest)
        return None if asked.method == "HEAD" else _unknown_method()


def encoded(value: Any) -> bytes:
    """An answer byte for byte as goiardi writes it (shovey 2.1)."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode("utf-8", "replace") + b"\n"


def _refusal(failure: Failure) -> "tuple[int, Dict[str, str], bytes]":
    headers = {**failure.headers, **(_SIGN if failure.status == 401 else {})}
    return failure.status, headers, encoded({"error": [failure.text]})


def _unknown_method() -> Any:
    raise Failure(405, "Unrecognized method")
