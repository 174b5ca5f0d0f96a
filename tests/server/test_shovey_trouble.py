"""The Shovey API when the database fails, and in other cases that are rare."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Dict, Iterator, List, Tuple
from uuid import UUID

import pytest
from api_desk import Reply
from shovey_desk import JOBS, NODE, ShoveyDesk, open_shovey_desk
from stored_jobs import created, job_id

from push_jobs_server.api import shovey_jobs
from push_jobs_server.records import JobChanged, NodeChanged, OutputStored
from push_jobs_server.store import StoreError, StoreUnavailable
from push_jobs_wire.shovey import job_uuid
from push_jobs_wire.states import JobStatus, NodeStatus

BODY = {"command": "ls", "nodes": [NODE]}
PIECE: Dict[str, Any] = {"seq": 0, "output": "x", "output_type": "stdout", "is_last": True}
RUN, STREAM = JOBS + "/{job}/" + NODE, "/shovey/stream/{job}/" + NODE
CHANGES: List[Tuple[str, str, str, Dict[str, Any]]] = [
    ("POST", JOBS, "alice", BODY),
    ("PUT", RUN, NODE, {"status": "succeeded"}),
    ("PUT", STREAM, NODE, PIECE),
]
each_change = pytest.mark.parametrize("method, path, user, body", CHANGES)


@pytest.fixture
def desk(store_url: str) -> Iterator[ShoveyDesk]:
    with open_shovey_desk(store_url) as made:
        made.beat(NODE)
        yield made


def refused(reply: Reply, words: str) -> None:
    """It is 503 with these words, and may be tried again."""
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    assert words in reply.error[0]


def state(desk: ShoveyDesk, job: str) -> List[Any]:
    """All that a change could have changed."""
    return [desk.get(JOBS), desk.run(job), list(desk.orders.taken)]


@each_change
def test_nothing_is_taken_while_the_writer_can_not_write(
    desk: ShoveyDesk, method: str, path: str, user: str, body: Dict[str, Any]
) -> None:
    job = desk.start(NODE)
    before = state(desk, job)
    desk.desk.writer.failing = True
    refused(desk.call(method, path.format(job=job), body, user), "the database does not take")
    assert state(desk, job) == before
    desk.desk.writer.failing = False
    assert desk.call(method, path.format(job=job), {**body, "again": 1}, user).status == 200


@each_change
def test_what_can_not_be_stored_is_not_taken(
    desk: ShoveyDesk,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    user: str,
    body: Dict[str, Any],
) -> None:
    job = desk.start(NODE)
    before = state(desk, job)

    def fail(changes: object) -> None:
        raise StoreError("it does not fit")

    with monkeypatch.context() as patched:
        patched.setattr(desk.desk.store, "write", fail)
        reply = desk.call(method, path.format(job=job), body, user)
    refused(reply, "could not be stored: it does not fit")
    assert state(desk, job) == before


def test_a_database_that_does_not_answer_is_told(
    desk: ShoveyDesk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(org: str) -> None:
        raise StoreUnavailable("gone fishing")

    monkeypatch.setattr(desk.desk.store, "jobs", fail)
    refused(desk.call("GET", JOBS), "the database can't be used now: gone fishing")
    assert "defect" not in caplog.text


def test_a_job_id_that_another_request_has_is_a_conflict(
    desk: ShoveyDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shovey_jobs, "uuid", SimpleNamespace(uuid4=lambda: UUID(int=7)))
    assert desk.start(NODE) == str(UUID(int=7))
    reply = desk.call("POST", JOBS, {**BODY, "command": "other"})
    assert reply.status == 409 and "another job" in reply.error[0]
    assert desk.get(JOBS) == [str(UUID(int=7))] and len(desk.orders.taken) == 1


@pytest.mark.parametrize("path, body", [(RUN, {"status": "succeeded"}), (STREAM, PIECE)])
@pytest.mark.parametrize("user", [NODE, "alice"])
def test_nobody_reports_about_a_job_that_missed_its_quorum(
    desk: ShoveyDesk, path: str, body: Dict[str, Any], user: str
) -> None:
    assert desk.call("POST", JOBS, {**BODY, "nodes": [NODE, "away"]}).status == 400
    (job,) = desk.get(JOBS)
    reply = desk.call("PUT", path.format(job=job), body, user)
    assert (reply.status, reply.error) == (404, [f"run {job} for node {NODE} not found"])
    shown = desk.get(f"{JOBS}/{job}")
    assert (shown["status"], shown["nodes"]) == ("quorum_failed", {})


# Readers


def test_the_output_of_a_node_that_does_not_come_over_serf(desk: ShoveyDesk) -> None:
    one = job_id(1)
    desk.desk.store.write(
        [
            created(1, ("web01",)),
            NodeChanged(one, "web01", NodeStatus.SUCCEEDED),
            OutputStored(one, "web01", b"out ", b"err"),
            JobChanged(one, JobStatus.COMPLETE, 2000.0),
        ]
    )
    for kind, output in (("stdout", "out "), ("stderr", "err"), ("both", "out err")):
        shown = desk.stream(job_uuid(one), f"?output_type={kind}", "web01")
        assert (shown["output"], shown["is_last"], shown["output_type"]) == (output, True, kind)


def test_a_reader_does_not_wait_where_too_many_do(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    waiting = [desk.desk.feeds.open_output("acme", job.replace("-", "")) for _ in range(4)]
    shown = desk.stream(job, "?wait=20")
    assert (shown["output"], shown["is_last"]) == ("", False)
    for reader in waiting:
        assert reader is not None
        reader.close()
