"""Refused requests for the audit trail: which of them get a row, so that a flood fills no disk.

In each window of a minute an address gets a few rows; what is beyond is counted, and the counts
become one row per address when the window is over. Addresses beyond a number, and rows beyond one
for all addresses together, are counted as those of "others". Nothing here waits for the database.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import threading
import uuid
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional, Protocol, Tuple

from push_jobs_server import audit
from push_jobs_server.api.services import Failure
from push_jobs_server.api.urls import cleaned, client_address
from push_jobs_server.records import Audited, AuditEntry, Change
from push_jobs_server.store.errors import StoreError

log = logging.getLogger("push_jobs_server.audit")

WINDOW = 60.0
"""Seconds."""
ROWS_OF_ADDRESS = 10
ROWS = 200
ADDRESSES = 100
OTHERS = "others"

REQUEST = "push_jobs.signed_request"
"""Where in a WSGI environment the signed request is found, once its headers are read."""
_NOT_REFUSED = (404, 406)
"""What is not there, and what the caller does not take; no right was missing."""


@dataclass
class Count:
    """Refusals of one source in a window: how many, and how many of them got a row."""

    all: int = 0
    rows: int = 0

    @property
    def without_row(self) -> int:
        """How many were only counted."""
        return self.all - self.rows


class Limiter:
    """Decides which refusals get a row. Pure; for one thread at a time."""

    def __init__(self) -> None:
        self._since = 0.0
        self._counts: Dict[str, Count] = {}
        self._rows = 0

    def admit(self, source: str, now: float, possible: bool = True) -> bool:
        """Count a refusal; True when it gets a row, never when that is not ``possible``."""
        if not self._counts:
            self._since = now
        if source not in self._counts and len(self._counts) >= ADDRESSES:
            source = OTHERS
        count = self._counts.setdefault(source, Count())
        count.all += 1
        if not possible or count.rows >= ROWS_OF_ADDRESS or self._rows >= ROWS:
            return False
        count.rows += 1
        self._rows += 1
        return True

    def end_window(self, now: float, force: bool = False) -> Tuple[float, Dict[str, Count]]:
        """The counts of a window that is over, with its beginning; none while it lasts."""
        # A clock that was set back must not make a window last for ever.
        over = not self._since <= now < self._since + WINDOW
        if not self._counts or not (over or force):
            return self._since, {}
        counts, self._counts, self._rows = self._counts, {}, 0
        return self._since, counts


class AuditWriter(Protocol):
    """What the log needs of the store's writer."""

    failing: bool
    behind: bool

    def submit(self, token: None, changes: List[Change]) -> None:
        """Store the changes soon; nobody waits for it."""


class RefusalLog:
    """Takes refused requests from any thread.

    Args:
        writer: stores the rows.
        trusted_proxies: whose word on the caller's address counts.
        clock: gives seconds since the epoch.
    """

    def __init__(
        self, writer: AuditWriter, trusted_proxies: Tuple[str, ...], clock: Callable[[], float]
    ) -> None:
        self._writer = writer
        self._proxies = trusted_proxies
        self._clock = clock
        self._lock = threading.Lock()
        self._limiter = Limiter()

    def take(self, environ: Dict[str, Any], org: Optional[str], failure: Failure) -> None:
        """Record that a request was answered with ``failure``, if that was a refusal."""
        if not _is_refusal(environ, failure):
            return
        now = self._clock()
        address = client_address(environ, self._proxies)
        self.flush()
        with self._lock:
            possible = not (self._writer.failing or self._writer.behind)
            admitted = self._limiter.admit(_source(address), now, possible)
        if admitted:
            self._submit([_entry(environ, org, failure, address, now)])

    def flush(self, force: bool = False) -> None:
        """Store the counts of a window that is over, or of the current one with ``force``."""
        now = self._clock()
        with self._lock:
            since, counts = self._limiter.end_window(now, force)
        self._submit(list(_summaries(since, now, counts)))

    def _submit(self, entries: List[AuditEntry]) -> None:
        if not entries:
            return
        for entry in entries:
            _say(entry)
        try:
            self._writer.submit(None, [Audited(entry) for entry in entries])
        except StoreError as error:
            log.warning("a refused request is missing in the audit trail: %s", error)


def _say(entry: AuditEntry) -> None:
    """One line in the log for each row; a flood gets as few of them."""
    if "more" in entry.details:
        log.info("refused %d more requests of %s", entry.details["more"], entry.address)
        return
    what, where = entry.details["method"], entry.details["path"]
    why = f"{entry.details['status']} {entry.details['error']}"
    log.info("refused %s %s of %s (%s): %s", what, where, entry.actor, entry.address, why)


def _is_refusal(environ: Dict[str, Any], failure: Failure) -> bool:
    """Also an organization that does not exist: strangers find out with it which do."""
    if not 400 <= failure.status < 500:
        return False
    if failure.status in _NOT_REFUSED and _caller(environ) is not None:
        return _tells_of_nothing(environ, failure)
    return True


def _tells_of_nothing(environ: Dict[str, Any], failure: Failure) -> bool:
    """True for a report or cancel over Shovey about a run that is not there."""
    shovey = cleaned(str(environ["PATH_INFO"])).startswith("/shovey/")
    return failure.status == 404 and shovey and environ["REQUEST_METHOD"] == "PUT"


def _caller(environ: Dict[str, Any]) -> Any:
    return getattr(environ.get(REQUEST), "caller", None)


def _source(address: str) -> str:
    """What shares one limit: an IPv4 address, or the network of 64 bits that one host may use."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed.packed[:8] + bytes(8), 64)))


def _entry(
    environ: Dict[str, Any], org: Optional[str], failure: Failure, address: str, now: float
) -> AuditEntry:
    method = str(environ["REQUEST_METHOD"])
    path = str(environ["PATH_INFO"])
    shovey = cleaned(path)
    below = shovey if shovey.startswith("/shovey/") else path.partition("/pushy")[2]
    caller = _caller(environ)
    details = {
        "status": failure.status,
        "error": audit.cut(failure.text),
        "method": method,
        "path": audit.cut(path),
        **({} if caller is None else _asked_for(environ[REQUEST].body)),
    }
    return audit.made(
        now,
        uuid.uuid4().hex,
        _action(method, below),
        org=org,
        actor=environ.get("HTTP_X_OPS_USERID"),
        actor_kind=None if caller is None else caller.kind,
        address=address,
        result=audit.REFUSED,
        details=details,
    )


def _action(method: str, path: str) -> str:
    """What was asked for at an address below ``/pushy``, or at one of the Shovey routes."""
    if method == "POST" and path in ("/jobs", "/shovey/jobs"):
        return "job.start"
    cancel = method == "POST" and path.startswith("/v1/jobs/") and path.endswith("/cancel")
    cancel = cancel or (method == "PUT" and path == "/shovey/jobs/cancel")
    return "job.cancel" if cancel else "request"


def _asked_for(body: bytes) -> Dict[str, Any]:
    """Of a body that may be no job at all: what was to run, and where."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(asked, dict) or not isinstance(asked.get("command"), str):
        return {}
    nodes = asked.get("nodes")
    names = nodes if isinstance(nodes, list) else []
    return audit.command_and_nodes(
        asked["command"], [name for name in names if isinstance(name, str)]
    )


def _summaries(since: float, now: float, counts: Dict[str, Count]) -> Iterator[AuditEntry]:
    for source, count in counts.items():
        if count.without_row:
            yield audit.made(
                now,
                uuid.uuid4().hex,
                "request",
                address=source,
                result=audit.REFUSED,
                details={"more": count.without_row, "seconds": round(now - since, 3)},
            )
