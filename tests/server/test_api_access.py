"""Who gets which answer: routes, methods, signatures, groups, and the order of the checks."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Tuple

import pytest
from api_desk import JOBS, PUSHY, Desk, open_desk

STATES = PUSHY + "/node_states"
JOB = {"command": "chef-client", "nodes": ["web01"]}
WWW = 'X-Ops-Sign version="1.0" version="1.1"'


@pytest.fixture
def desk(sqlite_store_url: str) -> Iterator[Desk]:
    with open_desk(sqlite_store_url) as made:
        yield made


def no_access(name: str) -> List[str]:
    return [f"User or client '{name}' does not have access to that action on this server."]


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3"])
def test_signed_get_and_post(desk: Desk, version: str) -> None:
    assert desk.get(STATES, version=version).json == []
    assert desk.post(JOB, version=version).status == 201


@pytest.mark.proves("A-2b")
@pytest.mark.parametrize("path", ["/", "/_status", PUSHY, PUSHY + "/config", PUSHY + "/config/"])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_unknown_path_is_404_for_anybody(desk: Desk, path: str, method: str) -> None:
    assert desk.call(method, path, None).status == 404
    assert desk.call(method, path, None).error


@pytest.mark.proves("A-2a")
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
def test_wrong_method_is_405_for_anybody(desk: Desk, method: str) -> None:
    pages = ((JOBS + "/", "POST, GET"), (STATES, "GET"), ("/pushy/_status", "GET"))
    for path, allow in (*pages, (PUSHY + "/v1/jobs/1/cancel", "POST")):
        reply = desk.call(method, path, None)
        assert (reply.status, reply.headers["allow"]) == (405, allow)


def test_unknown_method_is_501(desk: Desk) -> None:
    assert desk.call("FOO", STATES, None).status == 501
    assert desk.call("FOO", "/nothing", None).status == 404


def test_status_page_ignores_signing_headers(desk: Desk) -> None:
    reply = desk.call("GET", "//pushy//_status/", None, headers={"X-Ops-Sign": "nonsense"})
    assert reply.json == {
        "status": "it's alive",
        "incarnation_id": "incarnation",
        "node_fsm_count": 0,
        "job_processes": [],
    }


MISSING = "missing required authentication header(s) "
BEFORE_LOOKUP: List[Tuple[Dict[str, Any], int, str]] = [
    ({"X-Ops-Userid": None, "X-Ops-Sign": ""}, 400, MISSING + "'X-Ops-UserId', 'X-Ops-Sign'"),
    ({"X-Ops-Timestamp": "yesterday"}, 401, "bad header(s) 'X-Ops-Timestamp'"),
    ({"X-Ops-Sign": "version=8.1"}, 400, "Unsupported authentication protocol version"),
    (
        {"X-Ops-Sign": "algorithm=sha256;version=1.1"},
        400,
        "Unsupported authentication protocol version",
    ),
    ({"Content-MD5": "AAAA"}, 400, "Content-MD5 does not match the body"),
]


@pytest.mark.proves("A-3a", "A-3b", "A-4")
@pytest.mark.parametrize("headers, status, text", BEFORE_LOOKUP)
def test_headers_before_lookup(desk: Desk, headers: Any, status: int, text: str) -> None:
    reply = desk.get(STATES, headers=headers)
    assert (reply.status, reply.error) == (status, [text])
    assert "www-authenticate" not in reply.headers


@pytest.mark.proves("A-3b")
@pytest.mark.parametrize("age", [-910, 905])
def test_skewed_clock(desk: Desk, age: float) -> None:
    reply = desk.get(STATES, age=age)
    text = "Failed to authenticate as alice. Synchronize the clock on your host."
    assert (reply.status, reply.error) == (401, [text])
    assert "www-authenticate" not in reply.headers


def test_unknown_organization(desk: Desk) -> None:
    reply = desk.get("/organizations/none/pushy/jobs")
    assert (reply.status, reply.error) == (404, ["organization 'none' does not exist."])


def test_unknown_user_and_bad_signature_ask_for_signing(desk: Desk) -> None:
    text = "Failed to authenticate as 'eve'. Ensure that your node_name and client key are correct."
    reply = desk.get(STATES, "eve")
    assert (reply.status, reply.error) == (401, [text])
    assert reply.headers["www-authenticate"] == WWW
    reply = desk.get(STATES, "alice", key="bob")
    text = "Invalid signature for user or client 'alice'"
    assert (reply.status, reply.error) == (401, [text])
    assert reply.headers["www-authenticate"] == WWW


def test_outsider_is_403_even_in_a_group(desk: Desk) -> None:
    desk.identity.create_group("acme", "pushy_job_readers")
    reply = desk.get(STATES, "mallory", key="bob")
    text = "'mallory' is not associated with organization 'acme'"
    assert (reply.status, reply.error) == (403, [text])
    assert "www-authenticate" not in reply.headers


def test_without_groups_all_read_and_admins_write(desk: Desk) -> None:
    for name in ("alice", "bob", "web01"):
        assert desk.get(STATES, name).status == 200
    assert desk.post(JOB, "alice").status == 201
    for name in ("bob", "web01"):
        reply = desk.post(JOB, name)
        assert (reply.status, reply.error) == (403, no_access(name))


@pytest.mark.proves("A-8a", "A-8b")
def test_groups_are_independent_nested_and_read_anew(desk: Desk) -> None:
    identity = desk.identity
    for group in ("pushy_job_readers", "pushy_job_writers", "inner"):
        identity.create_group("acme", group)
    assert desk.get(STATES, "alice").error == no_access("alice")
    assert desk.post(JOB, "alice").error == no_access("alice")
    identity.add_to_group("acme", "pushy_job_writers", "group", "inner")
    identity.add_to_group("acme", "inner", "user", "bob")
    assert desk.post(JOB, "bob").status == 201
    assert desk.get(STATES, "bob").status == 403
    identity.add_to_group("acme", "pushy_job_readers", "client", "web01")
    assert desk.get(STATES, "web01").status == 200
    assert desk.post(JOB, "web01").status == 403


def test_nobody_writes_without_admins(desk: Desk) -> None:
    desk.identity.delete_group("acme", "admins")
    assert desk.post(JOB, "alice").error == no_access("alice")


NONE = "/organizations/none/pushy/jobs"
ORDER: List[Tuple[str, str, str, Dict[str, Any], int]] = [
    ("route before method", "FOO", "/x", {}, 404),
    (
        "MD5 before headers",
        "GET",
        STATES,
        {"headers": {"Content-MD5": "A", "X-Ops-Sign": None}},
        400,
    ),
    ("headers before clock", "GET", STATES, {"headers": {"X-Ops-Sign": None}, "age": 5000}, 400),
    ("clock before version", "GET", STATES, {"headers": {"X-Ops-Sign": "x=y"}, "age": 5000}, 401),
    (
        "version before size",
        "POST",
        JOBS,
        {"headers": {"X-Ops-Sign": "x=y"}, "body": b" " * 1_000_001},
        400,
    ),
    ("size before organization", "POST", NONE, {"body": b" " * 1_000_001}, 413),
    ("organization before user", "GET", NONE, {"user": "eve"}, 404),
    ("ccpk before organization", "GET", "/organizations/none/pushy/config/web01", {}, 400),
    ("membership before signature", "GET", STATES, {"user": "mallory", "key": "bob"}, 403),
    ("signature before rights", "POST", JOBS, {"user": "bob", "key": "alice"}, 401),
    ("rights before body", "POST", JOBS, {"user": "bob", "body": b"{"}, 403),
    ("rights before Accept", "POST", JOBS, {"user": "bob", "headers": {"Accept": "a/b"}}, 403),
    ("Accept before existence", "GET", JOBS + "/no", {"headers": {"Accept": "a/b"}}, 406),
    ("body before type", "POST", JOBS, {"body": b"{", "headers": {"Content-Type": "a/b"}}, 400),
]


@pytest.mark.parametrize("name, method, target, options, status", ORDER)
def test_order_of_checks(
    desk: Desk, name: str, method: str, target: str, options: Dict[str, Any], status: int
) -> None:
    assert desk.call(method, target, **options).status == status


@pytest.mark.proves("A-14a")
def test_size_error_is_a_plain_string(desk: Desk) -> None:
    reply = desk.post(b" " * 1_000_001)
    assert (reply.status, reply.error) == (413, "JSON must be no more than 1000000 bytes.")


@pytest.mark.parametrize(
    "accept, status",
    [
        ("*/*", 200),
        ("*", 200),
        ("application/*", 200),
        ("text/html, application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("text/event-stream", 406),
    ],
)
def test_accept(desk: Desk, accept: str, status: int) -> None:
    assert desk.get(STATES, headers={"Accept": accept}).status == status


@pytest.mark.proves("A-11c", "A-19")
def test_any_node_has_a_state(desk: Desk) -> None:
    found = desk.get(STATES + "/never%20seen").json
    assert found == {
        "node_name": "never seen",
        "status": "offline",
        "availability": "unavailable",
    }


READS = [
    "/jobs",
    "/jobs/{job}",
    "/jobs/{job}/output/web01/stdout",
    "/jobs/{job}/output/web01/stderr",
    "/v1/jobs",
    "/v1/jobs/{job}",
    "/v1/jobs/{job}/output_feed",
    "/v1/nodes",
    "/v1/nodes/web01",
    "/node_states",
    "/node_states/web01",
    "/job_status_feed",
    "/job_status_feed/{job}",
]
FEEDS = [route for route in READS if "feed" in route]


@pytest.mark.parametrize("route", READS)
def test_only_readers_may_read(desk: Desk, route: str) -> None:
    job = desk.post({**JOB, "capture_output": True}).json["uri"].rpartition("/")[2]
    path = PUSHY + route.format(job=job)
    accept = "text/event-stream" if route in FEEDS else "*/*"
    desk.identity.create_group("acme", "pushy_job_readers")
    refused = desk.call("GET", path, "bob", headers={"Accept": accept})
    assert (refused.status, refused.error) == (403, no_access("bob"))
    desk.identity.add_to_group("acme", "pushy_job_readers", "user", "bob")
    if route not in FEEDS:  # one that may be read goes on until the job ends
        allowed = desk.call("GET", path, "bob", headers={"Accept": accept}).status
        assert allowed == (404 if "output" in route else 200)
