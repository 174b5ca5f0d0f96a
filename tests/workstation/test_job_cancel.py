"""``push-jobs job cancel`` and ``Client.cancel``: what is sent, what is shown, how it ends."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Dict, List

import pytest
from command_run import Run
from pushy_stub import Answer, PushyStub, Record, ran

from push_jobs import Client
from push_jobs.errors import NotPermitted, UnknownJob, UsageError
from push_jobs.models import CancelledNode, JobCancel
from push_jobs_wire.states import CancelEffect, JobStatus, NodeStatus

ID = "ab" * 16
ABORTED: Record = {"status": "aborted", "signal": 15, "reason": "cancelled by alice"}


@pytest.fixture
def job_id(stub: PushyStub) -> str:
    """A job that runs on two nodes and has ended on a third."""
    stub.will_be(ID)
    stub.plays["sleep"] = [("running", {})]
    stub.add_job("sleep", ("web1", "web2", "web3"))
    for node in stub.jobs[0]["nodes"]:
        node.update(ran(0) if node["name"] == "web3" else {"status": "running"})
    stub.jobs[0]["status"] = "running"
    stub.after_cancel = [
        ("running", {}),
        ("running", {"web1": ABORTED}),
        ("aborted", {"web2": ABORTED}),
    ]
    return ID


def sent(stub: PushyStub) -> List[Record]:
    """The bodies of all cancels."""
    return [json.loads(seen.body) for seen in stub.seen if seen.path.endswith("/cancel")]


def test_a_cancel_waits_until_the_nodes_have_stopped(
    stub: PushyStub, run: Run, job_id: str
) -> None:
    code, out, err = run("job", "cancel", job_id)
    assert code == 0
    assert out.splitlines() == [
        "NODE  STATUS     EXIT     TIME   REASON",
        "web1  aborted    SIGTERM  -      cancelled by alice",
        "web2  aborted    SIGTERM  -      cancelled by alice",
        "web3  succeeded  0        2.0 s  -",
    ]
    assert err.splitlines() == [
        f"cancelling job {ID}: of 3 nodes 2 told to stop; 1 ended before",
        "stopping: 0 of 2 nodes have stopped",
        "aborted: 1 of 3 nodes succeeded; 2 aborted",
    ]
    assert sent(stub) == [{}]


def test_some_nodes_with_grace_and_reason(stub: PushyStub, run: Run, job_id: str) -> None:
    stub.after_cancel = [("running", {"web1": ABORTED})]
    words = ["job", "cancel", "abab", "web1", "--grace", "1m", "--reason", "wrong release"]
    code, out, err = run(*words)
    assert code == 0 and "web1  aborted" in out and "web2" not in out
    assert sent(stub) == [{"nodes": ["web1"], "grace": 60, "reason": "wrong release"}]


@pytest.mark.parametrize("text, seconds", [("0", 0), ("0s", 0), ("10s", 10), ("10m", 600)])
def test_forms_of_grace(stub: PushyStub, run: Run, job_id: str, text: str, seconds: int) -> None:
    assert run("job", "cancel", job_id, "--grace", text, "--no-wait")[0] == 0
    assert sent(stub) == [{"grace": seconds}]


@pytest.mark.parametrize("text", ["11m", "601", "-1", "soon", "1.5"])
def test_wrong_forms_of_grace_are_exit_2_and_nothing_is_sent(
    stub: PushyStub, run: Run, text: str
) -> None:
    code, out, err = run("job", "cancel", ID, "--grace", text)
    assert code == 2 and out == "" and "--grace" in err
    assert stub.seen == []


def test_without_waiting(stub: PushyStub, run: Run, job_id: str) -> None:
    code, out, _ = run("job", "cancel", job_id, "--no-wait")
    assert code == 0
    assert out.splitlines()[:2] == ["NODE  CANCEL     STATUS", "web1  requested  running"]
    assert not [seen for seen in stub.seen if seen.method == "GET"]


def test_json_is_the_job_or_the_answer(stub: PushyStub, run: Run, job_id: str) -> None:
    _, out, _ = run("job", "cancel", job_id, "--no-wait", "--format", "json")
    answer = json.loads(out)
    assert (answer["kind"], answer["version"], answer["job_id"]) == ("cancel", 1, ID)
    assert answer["nodes"][2] == {"name": "web3", "cancel": "ended", "status": "succeeded"}
    code, out, _ = run("job", "cancel", job_id, "--format", "json")
    assert code == 0 and json.loads(out)["status"] == "aborted"


def test_json_lines(run: Run, job_id: str) -> None:
    _, out, _ = run("job", "cancel", job_id, "web1", "--format", "jsonl")
    documents: List[Dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert [document["kind"] for document in documents] == ["cancel", "result", "job"]


def test_a_node_that_was_lost_is_exit_3(stub: PushyStub, run: Run, job_id: str) -> None:
    stub.after_cancel = [("aborted", {"web1": ABORTED, "web2": {"status": "crashed"}})]
    assert run("job", "cancel", job_id)[0] == 3


def test_a_node_that_ended_by_itself_has_stopped_too(
    stub: PushyStub, run: Run, job_id: str
) -> None:
    stub.after_cancel = [("complete", {"web1": ran(0), "web2": ran(1)})]
    assert run("job", "cancel", job_id)[0] == 0


def test_an_ended_job_is_no_error(stub: PushyStub, run: Run, job_id: str) -> None:
    for node in stub.jobs[0]["nodes"]:
        node.update(ran(1))
    stub.after_cancel = [("complete", {})]
    code, _, err = run("job", "cancel", job_id)
    assert code == 0 and "of 3 nodes 3 ended before" in err


@pytest.mark.parametrize(
    "status, body, code, text",
    [
        (400, b'{"error":"not part of this job: web9"}', 2, "not part of this job: web9"),
        (403, b'{"error":["no access"]}', 7, "403: no access"),
        (404, b'{"error":["no such job"]}', 1, f"there is no job {ID} in organization 'acme'"),
        (503, b'{"error":["the database does not take it"]}', 1, "503: the database"),
    ],
)
def test_refusals(
    stub: PushyStub, run: Run, job_id: str, status: int, body: bytes, code: int, text: str
) -> None:
    stub.next_answers = [Answer(status, body)]
    found, out, err = run("job", "cancel", job_id)
    assert (found, out) == (code, "") and text in err


def test_who_may_not_look_learns_that_the_cancel_stands(
    stub: PushyStub, run: Run, job_id: str
) -> None:
    answer = json.dumps(stub.cancel(job_id, {})).encode()
    stub.next_answers = [Answer(200, answer), Answer(403)]
    code, _, err = run("job", "cancel", job_id)
    assert code == 7
    assert f"job {ID} stays cancelled; see how far it is with: push-jobs job show {ID}" in err


def test_cancels_are_shown_with_the_job(stub: PushyStub, run: Run, job_id: str) -> None:
    cancel: Record = {
        "requestor": "bob",
        "requestor_kind": "user",
        "at": "2024-05-14T09:28:00Z",
        "grace": 2,
        "reason": "wrong\x1b release",
        "nodes": ["web1", "web2"],
    }
    stub.jobs[0]["cancels"] = [cancel, {**cancel, "reason": None, "nodes": ["a", "b", "c"]}]
    _, out, _ = run("job", "show", job_id)
    lines = [line for line in out.splitlines() if line.startswith("cancelled")]
    assert lines[0].endswith("2024-05-14 09:28:00Z by bob (user) on web1, web2: wrong\\x1b release")
    assert lines[1].endswith("2024-05-14 09:28:00Z by bob (user)")
    _, out, _ = run("job", "show", job_id, "--format", "json")
    assert json.loads(out)["cancels"][0] == {**cancel, "grace": 2.0}


# The library


def test_the_client_returns_what_it_means(stub: PushyStub, client: Client, job_id: str) -> None:
    answer = client.cancel(job_id, ["web1"], grace=0.5, reason="x")
    assert sent(stub) == [{"nodes": ["web1"], "grace": 0.5, "reason": "x"}]
    assert (answer.job_id, answer.status) == (ID, JobStatus.RUNNING)
    assert answer.nodes == (CancelledNode("web1", CancelEffect.REQUESTED, NodeStatus.RUNNING),)
    assert client.wait(job_id).status is JobStatus.ABORTED


def test_the_client_reads_cancels(stub: PushyStub, client: Client, job_id: str) -> None:
    assert client.job(job_id).cancels == ()
    stub.jobs[0]["cancels"] = [
        {
            "requestor": "bob",
            "requestor_kind": "client",
            "at": "2024-05-14T09:28:00.250Z",
            "grace": None,
            "reason": None,
            "nodes": ["web1"],
        }
    ]
    at = datetime(2024, 5, 14, 9, 28, 0, 250000, tzinfo=timezone.utc)
    assert client.job(job_id).cancels == (JobCancel("bob", "client", at, None, None, ("web1",)),)


def test_an_empty_list_never_means_all_nodes(stub: PushyStub, client: Client) -> None:
    with pytest.raises(UsageError, match="empty list"):
        client.cancel(ID, [])
    assert stub.seen == []


def test_errors_of_the_client(stub: PushyStub, client: Client) -> None:
    with pytest.raises(UnknownJob):
        client.cancel("0" * 32)
    stub.next_answers = [Answer(400, b'{"error":"not part of this job: x"}'), Answer(403)]
    with pytest.raises(UsageError, match="not part of this job: x"):
        client.cancel(ID, ["x"])
    with pytest.raises(NotPermitted):
        client.cancel(ID)
