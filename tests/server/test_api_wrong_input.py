"""Wrong input of every field over HTTP: the documented answer, never 500, nothing in the log."""

from __future__ import annotations

import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence
from urllib.parse import quote

import pytest
from api_desk import JOBS, PUSHY, Desk, Reply, open_desk, signed
from databases import sqlite_url
from wrong_jobs import JOB, Body, wrong_jobs

from push_jobs_wire.chef_auth import timestamp
from push_jobs_wire.states import JobStatus

STATES = PUSHY + "/node_states"
BODIES = list(wrong_jobs())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Desk]:
    """One desk for all cases: none of them may change what the next one sees."""
    folder = tmp_path_factory.mktemp("wrong")
    shutil.copy2(sqlite_template, folder)
    with open_desk(sqlite_url(folder), job_linger=0) as made:
        yield made


@pytest.fixture
def desk(shared: Desk, caplog: pytest.LogCaptureFixture) -> Iterator[Desk]:
    """The desk; whatever was asked, no defect may be in the log."""
    yield shared
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


# Bodies


@pytest.mark.parametrize("body", BODIES, ids=[each.name for each in BODIES])
def test_bodies(desk: Desk, body: Body) -> None:
    reply = desk.post(body.raw)
    if body.error is None:
        assert reply.status == 201 or body.name.startswith("raw-"), reply.body
    else:
        assert (reply.status, reply.error) == (400, body.error)


def test_there_are_enough_of_them() -> None:
    assert len([body for body in BODIES if body.error is not None]) >= 150
    assert len({body.name for body in BODIES}) == len(BODIES)


# Headers


class Headers(NamedTuple):
    """Changed headers of a good request; ``error`` None means that it stays a good one."""

    name: str
    changes: Mapping[str, Optional[str]]
    status: int
    error: Optional[str]


MISSING = "missing required authentication header(s) '{}'"
BAD_TIME = "bad header(s) 'X-Ops-Timestamp'"
CLOCK = "Failed to authenticate as alice. Synchronize the clock on your host."
VERSION = "Unsupported authentication protocol version"
INVALID = "Invalid signature for user or client '{}'"
NOBODY = "Failed to authenticate as '{}'. Ensure that your node_name and client key are correct."
REQUIRED = ("X-Ops-UserId", "X-Ops-Timestamp", "X-Ops-Sign", "X-Ops-Content-Hash")
NOW = timestamp(time.time())
TIMES = [
    *("yesterday", "0", " ", "2024", "2024-01-01", "12:00:00", "2024-01-01T00:00", NOW + "0"),
    *(NOW[:-1] + ".0Z", NOW[:-1] + "+00:00", NOW + ", " + NOW, "2024-13-01T00:00:00Z"),
    *("2024-02-30T00:00:00Z", "2024-01-01T25:00:00Z", "2024-01-01T00:00:61Z", "-" * 9000),
    *("0000-01-01T00:00:00Z", "99999-01-01T00:00:00Z", "1e3-01-01T00:00:00Z", "\u0662" * 6),
    "9" * 5000 + "-01-01T00:00:00Z",
]
SIGNS = [
    *(
        "x",
        ";",
        "=",
        "version",
        "version=",
        "version=1.4",
        "version=8.1",
        "version=1",
        "VERSION=1.3",
    ),
    *("version=1.3=1.3", " version=1.3", "algorithm=sha256", "algorithm=sha1;version=1.3"),
    *("algorithm=sha256;version=1.1", "algorithm=;version=1.3", "algorithm=md5;version=1.0"),
    *("version=1.30", "version=\u0661.3", "version=1.3,version=1.3"),
]


STRANGERS = [
    *((name, name) for name in ("eve", "alice, alice", "ALICE", "a" * 60_000, "al\0ice")),
    ("\u00c3\u00a9", "\u00e9"),
    ("' OR 1=1", "' OR 1=1"),
]
LINE: Sequence[Optional[str]] = (None, "", "x", "\u00e9", "=" * 60, "A" * 60, "A" * 9000)
BROKEN: Dict[str, Sequence[Optional[str]]] = {
    "X-Ops-Sign": ("version=1.0", "version=1.1", "version=1.2"),
    "X-Ops-Content-Hash": ("x", "=", "\u00e9", "A" * 28, "A" * 44, "A" * 60_000),
    "X-Ops-Server-API-Version": ("1", "-1", "x", "1.0", "1, 1", "9" * 400, "\u0661"),
    **{f"X-Ops-Authorization-{number}": LINE for number in range(1, 7)},
}


def _wrong_times_and_versions() -> Iterator[Headers]:
    for number, value in enumerate(TIMES):
        yield Headers(f"time-{number}", {"X-Ops-Timestamp": value}, 401, BAD_TIME)
    for year in ("0001", "1970", "2000", "9999"):
        stamp = f"{year}-01-01T00:00:00Z"
        yield Headers(f"time-{year}", {"X-Ops-Timestamp": stamp}, 401, CLOCK)
    for number, value in enumerate(SIGNS):
        yield Headers(f"sign-{number}", {"X-Ops-Sign": value}, 400, VERSION)


def _wrong_names() -> Iterator[Headers]:
    for number, (name, shown) in enumerate(STRANGERS):
        yield Headers(f"user-{number}", {"X-Ops-UserId": name}, 401, NOBODY.format(shown))
    for name in ("bob", "web01"):
        yield Headers(f"user-{name}", {"X-Ops-UserId": name}, 401, INVALID.format(name))
    for name in REQUIRED:
        for value in (None, ""):
            yield Headers(f"no-{name}-{value}", {name: value}, 400, MISSING.format(name))


def _broken_signatures() -> Iterator[Headers]:
    for name, values in BROKEN.items():
        for number, value in enumerate(values):
            yield Headers(f"{name}-{number}", {name: value}, 401, INVALID.format("alice"))
    for number, value in enumerate(("x", "AAAA", "\u00e9", "=" * 24)):
        changes = {"Content-MD5": value}
        yield Headers(f"md5-{number}", changes, 400, "Content-MD5 does not match the body")


HEADERS = [*_wrong_times_and_versions(), *_wrong_names(), *_broken_signatures()]


@pytest.mark.parametrize("case", HEADERS, ids=[case.name for case in HEADERS])
def test_headers(desk: Desk, case: Headers) -> None:
    sent: Dict[str, Optional[str]] = {}
    for name, value in signed("GET", STATES).items():
        sent["X-Ops-UserId" if name == "X-Ops-Userid" else name] = value
    sent.update(case.changes)
    reply = desk.send("GET", STATES, b"", {k: v for k, v in sent.items() if v is not None})
    assert (reply.status, reply.error) == (case.status, [case.error])


@pytest.mark.parametrize(
    "kind",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json"]
    + ["text/json", "application/json, application/json", "multipart/form-data", "\u00e9", ";"],
)
def test_content_types(desk: Desk, kind: Optional[str]) -> None:
    reply = desk.post(JOB, headers={"Content-Type": kind})
    assert (reply.status, reply.error) == (415, ["the body has to be application/json"])


# Routes


class Route(NamedTuple):
    """A route with the methods that it takes and the kind of its answers."""

    path: str
    allowed: str
    kind: str = "application/json"


BYTES = "application/octet-stream"
OUTPUT = JOBS + "/x/output/web01/"
ROUTES = [
    Route("/pushy/_status", "GET"),
    Route("/pushy/v1/ca", "GET", "application/x-pem-file"),
    Route(PUSHY + "/config/web01", "GET"),
    Route(PUSHY + "/connect/web01", "GET"),
    Route(JOBS, "POST, GET"),
    Route(JOBS + "/x", "GET"),
    Route(OUTPUT + "stdout", "GET", BYTES),
    Route(OUTPUT + "stderr", "GET", BYTES),
    Route(PUSHY + "/v1/jobs", "GET"),
    Route(STATES, "GET"),
    Route(STATES + "/web01", "GET"),
    Route(PUSHY + "/v1/jobs/x", "GET"),
    Route(PUSHY + "/v1/jobs/x/cancel", "POST"),
    Route(PUSHY + "/v1/whoami", "GET"),
    Route(PUSHY + "/v1/nodes", "GET"),
    Route(PUSHY + "/v1/nodes/x", "GET"),
]
FEEDS = [
    Route(PUSHY + "/job_status_feed", "GET", "text/event-stream"),
    Route(PUSHY + "/job_status_feed/x", "GET", "text/event-stream"),
    Route(PUSHY + "/v1/jobs/x/output_feed", "GET", "text/event-stream"),
]
METHODS = "GET POST HEAD PUT DELETE PATCH OPTIONS TRACE CONNECT".split()
NOT_ALLOWED = "this method is not allowed here"
UNKNOWN_METHODS = ["FOO", "get", "G\u00cbT", "PROPFIND", "POSTS"]
METHOD_CASES = [
    (route, method) for route in ROUTES + FEEDS for method in METHODS if method not in route.allowed
]


@pytest.mark.parametrize("route, method", METHOD_CASES, ids=lambda each: str(each)[:60])
def test_methods(desk: Desk, route: Route, method: str) -> None:
    for path in (route.path, route.path + "/", "/" + route.path.replace("/", "//")):
        reply = desk.call(method, path, None)
        assert (reply.status, reply.headers["allow"]) == (405, route.allowed)
        assert reply.body == b"" if method == "HEAD" else reply.error == [NOT_ALLOWED]


@pytest.mark.parametrize("method", UNKNOWN_METHODS)
@pytest.mark.parametrize("route", ROUTES + FEEDS, ids=lambda route: str(route.path))
def test_unknown_methods(desk: Desk, route: Route, method: str) -> None:
    reply = desk.call(method, route.path, None)
    assert (reply.status, reply.error) == (501, ["this method is not known"])


WRONG_ACCEPT = [
    *("text/html", "application/xml", "text/event-stream", "text/*", "application/jsonx", "json"),
    *(",", ";", "application", "/", "*/json", "\u00e9", "x" * 9000, "text/html;application/json"),
]


def accepting(desk: Desk, route: Route, accept: str) -> Reply:
    method = "POST" if route.allowed == "POST" else "GET"
    target = route.path
    if "/config/" in target or "/connect/" in target:
        target += "?ccpk=" + "a" * 40
    return desk.call(method, target, headers={"Accept": accept})


@pytest.mark.parametrize("accept", WRONG_ACCEPT, ids=lambda text: ascii(text[:20]))
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: str(route.path))
def test_unacceptable(desk: Desk, route: Route, accept: str) -> None:
    reply = accepting(desk, route, accept)
    assert (reply.status, reply.error) == (406, [f"this address answers {route.kind} only"])


@pytest.mark.parametrize("route", FEEDS, ids=lambda route: str(route.path))
def test_feeds_are_events_only(desk: Desk, route: Route) -> None:
    for accept in ("application/json", "*/html", "text/plain", "text/event-streams", ","):
        reply = accepting(desk, route, accept)
        assert (reply.status, reply.error) == (406, [f"this address answers {route.kind} only"])


WRONG_QUERIES = ["x", "-1", "1.5", "9" * 400, "%00", "%FF", "%ED%A0%80", "nan", "inf", "\u0661"]


TIME = "expected a time such as 2024-05-14T09:26:53Z, or seconds since 1970"
FILTERS = {
    "limit": "expected 1 to 1000",
    "status": f"expected one of {', '.join(status.value for status in JobStatus)}",
    "since": TIME,
    "until": TIME,
    "requestor": None,
    "node": None,
    "command": None,
}
"""What is expected of each filter; None: any text is looked for."""


def refusal(name: str, value: str) -> Optional[str]:
    """What is said about a value of a filter; None when it is a good one."""
    if value in ("%FF", "%ED%A0%80"):
        return "the query is not form-encoded UTF-8"
    why = "a NUL character" if value == "%00" else FILTERS[name]
    if why is None or (why is TIME and value == "1.5"):
        return None
    return f"invalid value for {name} ({why})"


@pytest.mark.parametrize("name", FILTERS)
def test_wrong_filters(desk: Desk, name: str) -> None:
    for value in WRONG_QUERIES:
        said = refusal(name, value)
        for path in (JOBS, PUSHY + "/v1/jobs"):
            reply = desk.get(path + quote(f"?{name}={value}", safe="?=%"))
            assert reply.status == (200 if said is None else 400), value
            assert said is None or reply.error == [said]


def test_wrong_waits(desk: Desk) -> None:
    job = desk.post(JOB).json["uri"][-32:]
    for value in WRONG_QUERIES:
        if value in ("1.5", "\u0661"):  # these are numbers
            continue
        reply = desk.get(f"{PUSHY}/v1/jobs/{job}{quote(f'?wait={value}', safe='?=%')}")
        assert reply.status == 400, value
        assert reply.error[0].startswith("wait is '")
        assert reply.error[0].endswith("', expected 0 to 60 seconds")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: str(route.path))
def test_acceptable(desk: Desk, route: Route) -> None:
    main = route.kind.split("/")[0]
    for accept in ("", "*", "*/*", route.kind.upper(), main + "/*", f"a/b;q=1, {route.kind};x=y"):
        assert accepting(desk, route, accept).status in (200, 201, 404)


# Paths and queries


ODD = {
    "nul": "%00",
    "broken": "%FF",
    "half": "%ED%A0%80",
    "slash": "a%2Fb",
    "dots": "%2e%2e",
    "percent": "%",
    "double": "%2520",
    "long": "x" * 20_000,
    "emoji": "%F0%9F%98%80",
    "control": "a%0d%0aSet-Cookie:%20x",
    "quote": "'%3B%20DROP%20TABLE%20jobs%3B--",
    "id": "0" * 32,
}
JOB_PATHS = [
    "/job_status_feed/{}",
    "/v1/jobs/{}/output_feed",
    "/jobs/{}",
    "/jobs/{}/output/web01/stdout",
    "/jobs/{}/output/{}/stderr",
    "/v1/jobs/{}",
]


@pytest.mark.parametrize("odd", list(ODD.values()), ids=list(ODD))
def test_odd_names(desk: Desk, odd: str) -> None:
    for path in JOB_PATHS:
        reply = desk.get(PUSHY + path.format(odd, odd))
        assert reply.status == 404
        assert reply.error
    assert desk.call("POST", f"{PUSHY}/v1/jobs/{odd}/cancel").status == 404
    assert desk.get(f"/organizations/{odd}/pushy/jobs").status == 404
    state = desk.get(f"{STATES}/{odd}")
    if odd in ("%00", "%FF", "%ED%A0%80"):
        assert state.status == 404
    else:
        assert (state.status, state.json["status"]) == (200, "offline")
    assert desk.get(f"{PUSHY}/config/{odd}?ccpk={'~' * 40}", "web01").status in (403, 404)


CCPK = [
    *("", "ccpk", "ccpk=", "CCPK=" + "a" * 40, "x=1", "&&&", "=", "%", "ccpk=%"),
    *("ccpk=" + "a" * 39, "ccpk=" + "a" * 41, "ccpk=" + "a" * 60_000, "ccpk=" + "%FF" * 40),
    *("ccpk=" + "%00" * 40, "ccpk=" + "~" * 40, "ccpk=" + "+" * 40, "ccpk=" + "%C3%A9" * 40),
    *("ccpk=" + "%23" * 40, "ccpk=x&ccpk=" + "a" * 40, "ccpk[]=" + "a" * 40),
]


@pytest.mark.parametrize("query", CCPK, ids=lambda text: text[:12] or "none")
@pytest.mark.parametrize("path", ["config", "connect"])
def test_wrong_curve_keys(desk: Desk, path: str, query: str) -> None:
    reply = desk.get(f"{PUSHY}/{path}/web01?{query}", "web01")
    missing = "ccpk" not in query.split("=")[0].split("&") and "ccpk=" not in query
    missing = missing or query == "ccpk[]=" + "a" * 40
    expected = (400, ["Missing ccpk"]) if missing else (401, ["Bad ccpk"])
    assert (reply.status, reply.error) == expected


@pytest.mark.parametrize("query", ["1", "True", "TRUE", "", "yes", "true%20", "%FF"])
def test_wrong_include_file(desk: Desk, query: str) -> None:
    job = desk.post({**JOB, "file": "raw:secret"}).json["uri"][-32:]
    for separator in ("?include_file=", "?INCLUDE_FILE=", "?x=", "?&&"):
        shown = desk.get(f"{JOBS}/{job}{separator}{query}").json
        assert shown["file_specified"] is True and "file" not in shown


# Cancels


WRONG_CANCELS: List[Any] = [
    *([], "x", 1, None, True, {"x": 1}, {"nodes": []}, {"nodes": "x"}, {"nodes": None}),
    *({"nodes": [1]}, {"nodes": [None]}, {"nodes": {}}, {"nodes": ["stranger"]}, {"nodes": ["\0"]}),
    *({"grace": "1"}, {"grace": None}, {"grace": True}, {"grace": []}, {"grace": -1}),
    *({"grace": 601}, {"grace": float("nan")}, {"grace": float("inf")}, {"grace": 10**400}),
    *({"reason": 1}, {"reason": None}, {"reason": []}, {"reason": {}}, {"reason": True}),
    *({"reason": "x" * 301}, {"reason": "a\0"}, {"reason": "\ud800"}),
    *(b"{", b"\xff", b"[" * 100_000, b" "),
]


@pytest.mark.parametrize("body", WRONG_CANCELS, ids=lambda body: ascii(body)[:30])
def test_wrong_cancels(desk: Desk, body: Any) -> None:
    job = desk.post(JOB).json["uri"][-32:]
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = desk.call("POST", f"{PUSHY}/v1/jobs/{job}/cancel", body=raw)
    assert reply.status == 400
    assert isinstance(reply.error, str) and reply.error
