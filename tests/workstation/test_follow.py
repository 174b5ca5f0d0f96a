"""Following a job: by its feed, over broken feeds and restarts, and where there is no feed."""

from __future__ import annotations

import json
import threading
from typing import Any, List

import pytest
from command_run import Run
from pushy_stub import Answer, Feed, Frame, PushyStub, ran

from push_jobs import Client
from push_jobs.errors import BadAnswer, NotPermitted, PushJobsClientError, UnknownJob
from push_jobs.event_stream import EventParser, JobEvent


def event(name: str, number: int, **data: Any) -> bytes:
    body = json.dumps({"timestamp": "2024-05-14 09:26:53.123456Z", **data})
    return f"event: {name}\nid: job-{number}\ndata: {body}\n\n".encode()


START = event("start", 1, command="true", user="alice")
VOTE = event("quorum_vote", 2, node="web1", status="success")
QUORUM = event("quorum_succeeded", 3)
RUN = event("run_start", 4, node="web1")
DONE = event("run_complete", 5, node="web1", status="success")
END = event("job_complete", 6, status="complete")
ALL: Feed = [START, VOTE, QUORUM, RUN, DONE, END]
NAMES = ["start", "quorum_vote", "quorum_succeeded", "run_start", "run_complete", "job_complete"]


def names(events: List[JobEvent]) -> List[str]:
    return [event.name for event in events]


def follow(stub: PushyStub, client: Client, *feeds: Feed) -> List[JobEvent]:
    job_id = stub.add_job()
    stub.feeds[job_id] = list(feeds)
    return list(client.follow(job_id))


def test_a_whole_feed(stub: PushyStub, client: Client) -> None:
    events = follow(stub, client, ALL)
    assert names(events) == NAMES
    assert (events[1].node, events[1].status, events[1].id) == ("web1", "success", "job-2")
    assert events[0].timestamp.isoformat() == "2024-05-14T09:26:53.123456+00:00"
    assert events[0].data == {"command": "true", "user": "alice"}
    assert stub.seen == [], "no request but that of the feed"


def test_events_come_when_they_happen(stub: PushyStub, client: Client) -> None:
    gate, job_id = threading.Event(), stub.add_job()
    stub.feeds[job_id] = [[START, b":keepalive\n", gate, VOTE, END]]
    events = client.follow(job_id)
    assert next(events).name == "start"
    gate.set()
    assert names(list(events)) == ["quorum_vote", "job_complete"]


def test_a_feed_that_breaks_is_read_on_where_it_was(stub: PushyStub, client: Client) -> None:
    cut = RUN[:-9]
    events = follow(stub, client, [START, VOTE], [QUORUM, cut], [RUN, DONE, END])
    assert names(events) == NAMES
    assert stub.feed_ids == [None, "job-2", "job-3"]


def test_after_a_restart_nothing_is_told_twice(stub: PushyStub, client: Client) -> None:
    again = [
        piece.replace(b"id: job-", b"id: job-77-") for piece in ALL if isinstance(piece, bytes)
    ]
    assert names(follow(stub, client, [START, VOTE, QUORUM], list(again))) == NAMES


def test_a_summary_is_the_end(stub: PushyStub, client: Client) -> None:
    events = follow(stub, client, [START], [event("summary", 1, status="complete", nodes={})])
    assert names(events) == ["start", "summary"] and events[1].final


@pytest.mark.parametrize(
    "feeds",
    [
        [],
        [[START, VOTE]],
        [[START, event("summary", 1, status="running")]],
        [[START, b"event: x\ndata: no json\n\n"]],
        [[START, b"event: x\ndata: []\n\n"]],
    ],
)
def test_without_a_feed_events_are_concluded_from_the_state(
    stub: PushyStub, client: Client, feeds: List[Feed]
) -> None:
    stub.plays["true"] = [
        ("voting", {}),
        ("running", {"web1": {"status": "running"}}),
        ("complete", {"web1": ran(0)}),
    ]
    events = follow(stub, client, *feeds)
    assert names(events) == NAMES
    assert events[-1].id == "" and events[-1].status == "complete"


def test_how_states_become_events(stub: PushyStub, client: Client) -> None:
    nodes = ("a", "b", "c", "d", "e")
    job_id = stub.add_job("true", nodes)
    words = ("nacked", "unavailable", "failed", "crashed", "timed_out")
    stub._frames[job_id] = [("timed_out", {n: {"status": w} for n, w in zip(nodes, words)})]
    assert [(e.name, e.node, e.status) for e in client.follow(job_id)] == [
        ("start", None, None),
        ("quorum_vote", "a", "failure"),
        ("quorum_vote", "b", "down"),
        ("quorum_vote", "c", "success"),
        ("quorum_vote", "d", "success"),
        ("quorum_vote", "e", "success"),
        ("quorum_succeeded", None, None),
        ("run_start", "c", None),
        ("run_complete", "c", "failure"),
        ("run_complete", "d", "crashed"),
        ("job_complete", None, "timed_out"),
    ]


def test_an_unknown_job(client: Client) -> None:
    with pytest.raises(UnknownJob):
        list(client.follow("0" * 32))


def test_a_reader_who_may_not(stub: PushyStub) -> None:
    job_id = stub.add_job()
    with Client(stub.url, "mallory", stub.key, ca=stub.ca) as client:
        with pytest.raises(NotPermitted):
            list(client.follow(job_id))


def test_a_server_that_is_away(stub: PushyStub, client: Client) -> None:
    job_id = stub.add_job()
    stub.feeds[job_id] = [[START]]
    troubles: List[PushJobsClientError] = []
    events = client.follow(job_id, on_trouble=troubles.append)
    assert next(events).name == "start"
    stub.next_answers = [Answer(503, b"{}"), Answer(503, b"{}")]
    assert names(list(events))[-1] == "job_complete"
    assert len(troubles) == 2


def test_waiting_looks_only_when_the_feed_has_news(stub: PushyStub, client: Client) -> None:
    """Without a feed, the same time takes many looks."""
    gate, job_id = threading.Event(), stub.add_job()
    frames: List[Frame] = [("voting", {})] * 4
    stub._frames[job_id] = [*frames, ("complete", {"web1": ran(0)})]
    stub.feeds[job_id] = [[START, gate, END]]
    states: List[str] = []

    def look(job: Any) -> None:
        states.append(job.status.value)

    timer = threading.Timer(1.5, gate.set)
    timer.start()
    job = client.wait(job_id, look, timeout=20)
    timer.join()
    assert job.ended and states == ["voting", "complete"]
    assert len(stub.seen) <= 5


def test_the_parser_takes_what_the_format_allows() -> None:
    text = (
        (START + VOTE).replace(b"\n", b"\r\n") + b"retry: 10\n\n: comment\nid: 7\n\nunknown\n" + END
    )
    parser, found = EventParser(), []
    for at in range(len(text)):
        found += list(parser.take(text[at : at + 1]))
    assert names(found) == ["start", "quorum_vote", "job_complete"]


@pytest.mark.parametrize(
    "data", [b"{}", b'{"timestamp": 1}', b'{"timestamp": "today"}', b"[", b"7", b"[" * 100_000]
)
def test_the_parser_refuses_nonsense(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        list(EventParser().take(b"event: x\ndata: " + data + b"\n\n"))


def test_watch_prints_the_result(stub: PushyStub, run: Run) -> None:
    stub.plays["true"] = [
        ("running", {"web1": {"status": "running"}}),
        ("running", {"web1": {"status": "running"}}),
        ("complete", {"web1": ran(3)}),
    ]
    job_id = stub.add_job()
    code, out, err = run("job", "watch", job_id[:8])
    assert code == 3
    assert out.splitlines()[1].split() == ["web1", "failed", "3", "2.0", "s", "-"]
    assert err.splitlines()[-1] == "complete: 0 of 1 node succeeded; 1 failed"
    assert "running: 0 of 1 done" in err.splitlines()


def test_watch_prints_events_as_json_lines(stub: PushyStub, run: Run) -> None:
    job_id = stub.add_job()
    stub.feeds[job_id] = [ALL]
    code, out, err = run("job", "watch", job_id, "--format", "jsonl")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [line["event"] for line in lines] == NAMES
    assert lines[1] == {
        "kind": "event",
        "version": 1,
        "job_id": job_id,
        "event": "quorum_vote",
        "id": "job-2",
        "timestamp": "2024-05-14T09:26:53.123456Z",
        "data": {"node": "web1", "status": "success"},
    }
    assert err.endswith("complete: 1 of 1 node succeeded\n")


@pytest.mark.parametrize("format_", ["table", "json", "jsonl"])
def test_watching_an_unknown_job(run: Run, format_: str) -> None:
    code, out, err = run("job", "watch", "0" * 32, "--format", format_)
    assert (code, out) == (1, "") and err.startswith("Error: there is no job 0000")
    assert "goes on" not in err
