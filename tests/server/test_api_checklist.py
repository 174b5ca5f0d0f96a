"""The points of the API that are easy to miss, where no other file looks at all routes."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, Iterator

import pytest
from api_desk import JOBS, PUSHY, Desk, open_desk
from stored_jobs import created, job_id

from push_jobs_server.records import NodeChanged, OutputStored
from push_jobs_wire.states import NodeStatus

UNKNOWN = "0" * 32
JOB: Dict[str, Any] = {"command": "chef-client", "nodes": ["web01"]}

ROUTES = {
    "/pushy/_status": 200,
    PUSHY + "/config/web01": 400,  # no key was given
    PUSHY + "/connect/web01": 400,
    JOBS: 200,
    f"{JOBS}/{UNKNOWN}": 404,
    f"{JOBS}/{UNKNOWN}/output/web01/stdout": 404,
    f"{JOBS}/{UNKNOWN}/output/web01/stderr": 404,
    PUSHY + "/node_states": 200,
    PUSHY + "/node_states/web01": 200,
    f"{PUSHY}/job_status_feed/{UNKNOWN}": 404,
    PUSHY + "/v1/jobs": 200,
    f"{PUSHY}/v1/jobs/{UNKNOWN}": 404,
    f"{PUSHY}/v1/jobs/{UNKNOWN}/output_feed": 404,
    PUSHY + "/v1/nodes": 200,
    PUSHY + "/v1/nodes/web01": 200,
    PUSHY + "/v1/whoami": 200,
}
"""The answer to a good GET of each route; the feed of an organization would not end."""


@pytest.fixture
def desk(sqlite_store_url: str) -> Iterator[Desk]:
    with open_desk(sqlite_store_url) as made:
        made.store.write([created(7, ["web01"])])
        yield made


@pytest.mark.proves("A-1")
@pytest.mark.parametrize("path", ROUTES)
def test_slashes_mean_nothing_on_any_route(desk: Desk, path: str) -> None:
    plain = desk.get(path)
    assert plain.status == ROUTES[path]
    doubled = path.replace("/", "//")
    for form in (path + "/", path + "//", doubled, doubled + "/"):
        reply = desk.get(form)
        assert (reply.status, reply.body) == (plain.status, plain.body), form


@pytest.mark.proves("A-1")
def test_a_job_may_be_posted_with_slashes(desk: Desk) -> None:
    body = b'{"command":"c","nodes":["n"]}'
    for path in (JOBS + "/", JOBS.replace("/", "//")):
        assert desk.call("POST", path, body=body).status == 201


@pytest.mark.proves("A-6")
@pytest.mark.parametrize("path", [path for path in ROUTES if path.startswith(PUSHY)])
def test_an_unknown_organization_is_404_on_each_route(desk: Desk, path: str) -> None:
    elsewhere = path.replace("/acme/", "/none/")
    key = "?ccpk=" + "a" * 40 if ROUTES[path] == 400 else ""
    for user in ("alice", "web01", "eve"):
        reply = desk.get(elsewhere + key, user)
        assert (reply.status, reply.error) == (404, ["organization 'none' does not exist."])


IDS = ["0", "none", UNKNOWN, "0" * 33, "%00", "a%2Fb", "..", "%c3%a4", "x" * 5000, "'", "%ff"]


@pytest.mark.proves("A-15a")
@pytest.mark.parametrize("number", IDS, ids=range(len(IDS)))
def test_an_id_of_no_job_is_404_whatever_it_is(desk: Desk, number: str) -> None:
    feed = {"Accept": "text/event-stream"}
    assert desk.get(f"{JOBS}/{number}").status == 404
    assert desk.get(f"{JOBS}/{number}/output/web01/stdout").status == 404
    assert desk.get(f"{PUSHY}/job_status_feed/{number}", headers=feed).status == 404


@pytest.mark.proves("A-16a", "A-16b")
def test_the_checks_of_a_feed_come_in_their_order(desk: Desk) -> None:
    feed = f"{PUSHY}/job_status_feed/{UNKNOWN}"
    as_json = {"Accept": "application/json"}
    assert desk.get(feed, "eve", headers=as_json).status == 401
    assert desk.get(feed, headers=as_json).status == 406
    assert desk.get(f"{PUSHY}/job_status_feed/{job_id(7)}", headers=as_json).status == 406
    assert desk.get(feed, "eve").status == 401
    assert desk.get(feed).status == 404


@pytest.mark.proves("A-13")
def test_times_are_those_of_http_and_in_their_order(desk: Desk) -> None:
    number = desk.post(JOB).json["uri"][-32:]
    shown = desk.get(f"{JOBS}/{number}").json
    made, changed = (_moment(shown[name]) for name in ("created_at", "updated_at"))
    assert made <= changed
    assert abs((datetime.now(timezone.utc) - made).total_seconds()) < 60


def _moment(text: str) -> datetime:
    found = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT")
    return found.replace(tzinfo=timezone.utc)


@pytest.mark.proves("A-15b")
def test_empty_output_is_there_and_missing_output_is_not(desk: Desk) -> None:
    path = f"{JOBS}/{job_id(7)}/output/web01/"
    assert [desk.get(path + name).status for name in ("stdout", "stderr")] == [404, 404]
    ended = NodeChanged(job_id(7), "web01", NodeStatus.SUCCEEDED)
    desk.store.write([ended, OutputStored(job_id(7), "web01", b"", b"")])
    replies = [desk.get(path + name) for name in ("stdout", "stderr")]
    assert [(reply.status, reply.body) for reply in replies] == [(200, b"")] * 2


@pytest.mark.proves("A-21")
@pytest.mark.parametrize(
    "quorum, status", [(0, "complete"), (1, "quorum_failed"), (7, "quorum_failed")]
)
def test_a_quorum_is_a_number_that_may_be_too_large(desk: Desk, quorum: int, status: str) -> None:
    number = desk.post({**JOB, "quorum": quorum}).json["uri"][-32:]
    desk.wait_for_writer()
    assert desk.get(f"{JOBS}/{number}").json["status"] == status
