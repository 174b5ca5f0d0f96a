"""POST v1/jobs/ID/cancel: who may, what is refused, what is answered, what is shown afterwards."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from api_desk import JOBS, PEER, PUSHY, Desk, Reply, open_desk
from stored_jobs import job, job_id

from push_jobs_server.records import JobChanged, JobCreated, JobNode, NodeChanged, Outcome
from push_jobs_server.store.audit import entries
from push_jobs_wire.states import JobStatus, NodeStatus

RUNNING, VOTING, ENDED, FOREIGN = (job_id(number) for number in range(1, 5))
NO_JOB = ["there is no such job in this organization"]


def path(job: str = RUNNING, org: str = "acme") -> str:
    return f"/organizations/{org}/pushy/v1/jobs/{job}/cancel"


def detail(desk: Desk, job: str = RUNNING) -> Dict[str, Any]:
    shown: Dict[str, Any] = desk.get(f"{PUSHY}/v1/jobs/{job}").json
    return shown


def cancel(desk: Desk, body: Any = None, job: str = RUNNING, user: str = "alice") -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    return desk.call("POST", path(job), user, body=raw)


def stored_jobs() -> List[JobCreated]:
    now = time.time()

    def made(number: int, status: JobStatus, node: NodeStatus, **details: Any) -> JobCreated:
        record = job(number, ("a", "b"), status=status, created_at=now, **details)
        deadline = now + 600 if status is JobStatus.RUNNING else None
        nodes = {name: JobNode(node) for name in ("a", "b")}
        return JobCreated(replace(record, run_deadline=deadline, nodes=nodes))

    return [
        made(1, JobStatus.RUNNING, NodeStatus.RUNNING),
        made(2, JobStatus.VOTING, NodeStatus.NEW),
        made(3, JobStatus.COMPLETE, NodeStatus.SUCCEEDED),
        made(4, JobStatus.RUNNING, NodeStatus.RUNNING, org="other"),
    ]


@pytest.fixture
def desk(sqlite_store_url: str) -> Iterator[Desk]:
    with open_desk(sqlite_store_url, stored=stored_jobs()) as made:
        yield made


def test_a_cancel_of_some_nodes_is_answered_stored_and_shown(desk: Desk) -> None:
    reply = cancel(desk, {"nodes": ["a", "a"], "grace": 2.5, "reason": " wrong release "})
    assert reply.status == 200
    nodes = [{"name": "a", "cancel": "requested", "status": "running"}]
    assert reply.json == {"id": RUNNING, "status": "running", "nodes": nodes}
    [shown] = detail(desk)["cancels"]
    assert shown.pop("at").endswith("Z")
    assert shown == {
        "requestor": "alice",
        "requestor_kind": "user",
        "grace": 2.5,
        "reason": "wrong release",
        "nodes": ["a"],
    }


@pytest.mark.parametrize("body", [b"", b"{}", b'{"nodes": ["b", "a"]}'])
def test_all_nodes(desk: Desk, body: bytes) -> None:
    reply = cancel(desk, body)
    assert [node["name"] for node in reply.json["nodes"]] == ["a", "b"]
    assert [shown["nodes"] for shown in detail(desk)["cancels"]] == [["a", "b"]]


def test_a_vote_ends_at_once(desk: Desk) -> None:
    reply = cancel(desk, job=VOTING)
    assert reply.json["status"] == "aborted"
    assert {(node["cancel"], node["status"]) for node in reply.json["nodes"]} == {
        ("released", "unavailable")
    }
    shown = detail(desk, VOTING)
    assert shown["status"] == "aborted"
    assert shown["nodes"][0]["reason"] == "no answer before it was cancelled by alice"
    assert desk.get(f"{JOBS}/{VOTING}").json["status"] == "aborted"


def test_the_same_again_is_no_error(desk: Desk) -> None:
    first, second = cancel(desk), cancel(desk)
    assert (first.status, first.json) == (second.status, second.json)
    assert len(detail(desk)["cancels"]) == 1


def test_an_ended_job_stays_as_it_is(desk: Desk) -> None:
    reply = cancel(desk, {"nodes": ["a"]}, ENDED)
    nodes = [{"name": "a", "cancel": "ended", "status": "succeeded"}]
    assert (reply.status, reply.json) == (
        200,
        {"id": ENDED, "status": "complete", "nodes": nodes},
    )
    assert detail(desk, ENDED)["cancels"] == []


def test_a_job_that_ended_while_it_was_asked_about(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = [NodeChanged(RUNNING, name, NodeStatus.FAILED, Outcome()) for name in ("a", "b")]

    def ended(*_: Any) -> None:
        desk.store.write([*end, JobChanged(RUNNING, JobStatus.COMPLETE, time.time())])

    monkeypatch.setattr(desk.engine, "ask", ended)
    reply = cancel(desk)
    assert reply.json["status"] == "complete"
    assert {node["cancel"] for node in reply.json["nodes"]} == {"ended"}


@pytest.mark.parametrize("user", ["bob", "mallory", "web01"])
def test_who_may_not(desk: Desk, user: str) -> None:
    assert cancel(desk, user=user).status == 403
    assert detail(desk)["cancels"] == []


def test_a_reader_may_not_and_a_writer_may(desk: Desk) -> None:
    for group in ("pushy_job_readers", "pushy_job_writers"):
        desk.identity.create_group("acme", group)
    desk.identity.add_to_group("acme", "pushy_job_readers", "user", "bob")
    assert cancel(desk, user="bob").status == 403
    assert desk.call("POST", path("nothing"), "bob", body=b"not json").status == 403
    desk.identity.add_to_group("acme", "pushy_job_writers", "user", "bob")
    assert cancel(desk, user="bob").status == 200
    shown = desk.get(f"{PUSHY}/v1/jobs/{RUNNING}", "bob").json
    assert [each["requestor"] for each in shown["cancels"]] == ["bob"]


def test_nobody_in_particular_may_not(desk: Desk) -> None:
    assert desk.call("POST", path(), None).status == 400
    assert desk.call("POST", path(), "alice", key="bob").status == 401
    assert detail(desk)["cancels"] == []


@pytest.mark.parametrize("job", ["nothing", "0" * 32, "%2e%2e", FOREIGN])
def test_no_such_job_here(desk: Desk, job: str) -> None:
    reply = cancel(desk, job=job)
    assert (reply.status, reply.error) == (404, NO_JOB)
    assert desk.get(f"/organizations/other/pushy/v1/jobs/{FOREIGN}").json["cancels"] == []


def test_nodes_that_are_not_in_the_job_are_named(desk: Desk) -> None:
    reply = cancel(desk, {"nodes": ["a", "x", "y"]})
    assert (reply.status, reply.error) == (400, "not part of this job: x, y")
    many = cancel(desk, {"nodes": [f"n{number:02}" for number in range(30)]})
    assert many.error.endswith("n09, ...")
    assert detail(desk)["cancels"] == []


NODES = "invalid nodes (expected a list with at least one name)"
GRACE = "invalid grace (expected 0 to 600 seconds)"
REASON = "invalid reason (expected text of at most 300 characters)"
OBJECT = "invalid body (expected a JSON object)"
WRONG: List[Tuple[bytes, str]] = [
    (b"{", "invalid JSON"),
    (b"\xff", "invalid JSON"),
    (b"[" * 100_000, "invalid JSON"),
    *((raw, OBJECT) for raw in (b"[]", b"null", b"1", b'"all"')),
    (b'{"node": ["a"]}', "invalid key supplied (expected only grace, nodes, reason)"),
    *((b'{"nodes": %s}' % v, NODES) for v in (b"[]", b"null", b'"a"', b"[1]", b"{}", b"true")),
    *((b'{"grace": %s}' % v, GRACE) for v in (b"-1", b"601", b'"10"', b"null", b"true", b"[]")),
    *((b'{"grace": %s}' % v, GRACE) for v in (b"NaN", b"Infinity", b"1e999", b"9" * 400)),
    *((b'{"reason": %s}' % v, REASON) for v in (b"1", b"null", b"[]", b'"\\u0000"')),
    *((b'{"reason": "%s"}' % v, REASON) for v in (b"x" * 301, b"\\ud800")),
]


@pytest.mark.parametrize("raw, text", WRONG, ids=map(str, range(len(WRONG))))
def test_wrong_bodies(desk: Desk, raw: bytes, text: str) -> None:
    reply = cancel(desk, raw)
    assert (reply.status, reply.error) == (400, text)
    assert detail(desk)["cancels"] == []


def test_a_body_has_to_be_json_by_its_type(desk: Desk) -> None:
    headers = {"Content-Type": "text/plain"}
    assert desk.call("POST", path(), body=b"{}", headers=headers).status == 415
    assert desk.call("POST", path(), headers={"Accept": "text/html"}).status == 406
    assert detail(desk)["cancels"] == []


def test_nothing_is_cancelled_while_nothing_can_be_stored(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.writer, "failing", True)
    reply = cancel(desk)
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    assert cancel(desk, job=ENDED).status == 200


def test_cancels_done_and_refused_are_in_the_audit_trail(desk: Desk) -> None:
    cancel(desk, {"nodes": ["a"], "grace": 2.5, "reason": "wrong release"})
    cancel(desk, user="bob")
    desk.wait_for_writer()
    done, refused = entries(desk.store)
    assert (done.action, done.result, done.target) == ("job.cancel", "done", RUNNING)
    assert (done.actor, done.actor_kind, done.address) == ("alice", "user", PEER)
    assert done.details == {
        "nodes": ["a"], "node_count": 1, "grace": 2.5, "reason": "wrong release",
    }  # fmt: skip
    assert (refused.action, refused.result, refused.actor) == ("job.cancel", "refused", "bob")
