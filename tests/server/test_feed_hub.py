"""What feeds keep and for how long, ids and timestamps, readers that come late: no sockets."""

from __future__ import annotations

import json
import threading
from typing import Any, List, Optional

import pytest
from engine_desk import request

from push_jobs_server.engine.events import Event, rebuilt, start_event
from push_jobs_server.feeds.history import Entry, History
from push_jobs_server.feeds.hub import FeedRules
from push_jobs_server.feeds.readers import Feeds, Reader
from push_jobs_server.feeds.sse import event_text, summary_text, text
from push_jobs_server.records import Busy, JobNode, JobRecord
from push_jobs_wire.states import JobStatus, NodeStatus

NOW = 1_715_678_813.123456
RUN = "1a2b"


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def start(job_id: str = "j1", org: str = "acme") -> Event:
    return start_event(job_id, request(("a",), org=org), NOW)


def told(name: str, job_id: str = "j1", org: str = "acme", at: float = NOW, **data: Any) -> Event:
    return Event(org, job_id, name, at, data)


def open_job(feeds: Feeds, last_id: Optional[str] = None, job_id: str = "j1") -> Reader:
    reader = feeds.open_job("acme", job_id, last_id)
    assert reader is not None
    return reader


def names(entries: Optional[List[Entry]]) -> List[str]:
    assert entries is not None
    return [entry.name for entry in entries]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def feeds(clock: Clock) -> Feeds:
    return one_run(RUN, clock)


def one_run(run: str, clock: Clock) -> Feeds:
    return Feeds(FeedRules(job_linger=5, org_expiration=60), 3, run, clock)


def test_the_text_of_an_event_is_exact() -> None:
    entry = Entry(
        "job-2", 1_715_678_813_123_456, "quorum_vote", {"node": "wéb/1", "status": "success"}
    )
    assert event_text(entry).decode() == (
        "event: quorum_vote\n"
        "id: job-2\n"
        'data: {"timestamp":"2024-05-14 09:26:53.123456Z","node":"wéb/1","status":"success"}\n'
        "\n"
    )
    assert text([entry, entry]) == 2 * event_text(entry)
    assert b'.000000Z"}\n\n' in summary_text({}, 1_000_000)


def test_a_line_break_in_a_value_does_not_break_the_event() -> None:
    entry = Entry("job-1", 0, "start", {"command": "a\ndata: x\r\n\nevent: y\u2028"})
    assert event_text(entry).count(b"\n") == 4 and b"\r" not in event_text(entry)


@pytest.mark.proves("A-17b")
def test_timestamps_increase_even_when_the_clock_stands_still_or_goes_back(feeds: Feeds) -> None:
    feeds.publish([start(), told("x"), told("x", at=NOW - 3600), told("x", at=NOW + 1)])
    taken = open_job(feeds).take(0)
    assert taken is not None
    first = taken[0].at
    assert [entry.at - first for entry in taken] == [0, 1, 2, 1_000_000]
    assert [entry.id for entry in taken] == ["job-1", "job-2", "job-3", "job-4"]


def test_every_reader_sees_everything_and_then_the_end(feeds: Feeds) -> None:
    feeds.publish([start()])
    early = open_job(feeds)
    assert names(early.take(0)) == ["start"]
    assert early.take(0) == []
    feeds.publish([told("rehab"), told("job_complete", status="complete")])
    late = open_job(feeds)
    assert names(early.take(0)) == ["rehab", "job_complete"]
    assert names(late.take(0)) == ["start", "rehab", "job_complete"]
    assert (early.take(0), late.take(9)) == (None, None)


@pytest.mark.parametrize(
    "last_id, first",
    [
        ("job-2", "job-3"),
        ("job-4", None),
        ("job-5", "job-1"),
        ("job-0", "job-1"),
        ("job-02", "job-1"),
        ("job-²", "job-1"),
        ("job-" + "9" * 5000, "job-1"),
        (f"org-{RUN}-2", "job-1"),
        ("nonsense", "job-1"),
        ("", "job-1"),
    ],
)
def test_a_job_goes_on_after_a_known_id_and_begins_anew_after_another(
    feeds: Feeds, last_id: str, first: Optional[str]
) -> None:
    feeds.publish([start(), told("x"), told("x"), told("x")])
    taken = open_job(feeds, last_id).take(0)
    assert taken is not None
    assert (taken[0].id if taken else None) == first


def test_a_job_is_kept_for_a_while_after_its_end(feeds: Feeds, clock: Clock) -> None:
    feeds.publish([start(), told("job_complete", status="complete")])
    clock.now += 4.9
    reader = open_job(feeds)
    clock.now += 0.2
    assert feeds.open_job("acme", "j1", None) is None
    assert names(reader.take(0)) == ["start", "job_complete"]


def test_jobs_of_other_organizations_are_unknown(feeds: Feeds) -> None:
    feeds.publish([start()])
    assert feeds.open_job("other", "j1", None) is None


def test_an_organization_sees_starts_and_ends_from_now_on(feeds: Feeds) -> None:
    feeds.publish([start("old")])
    reader = feeds.open_org("acme", None)
    elsewhere = feeds.open_org("other", None)
    feeds.publish([start(), told("rehab"), told("job_complete", status="crashed")])
    taken = reader.take(0)
    assert taken is not None
    assert [(entry.id, entry.name) for entry in taken] == [
        (f"org-{RUN}-2", "start"),
        (f"org-{RUN}-3", "job_complete"),
    ]
    assert list(taken[1].data.items()) == [("job", "j1"), ("status", "crashed")]
    assert elsewhere.take(0) == []


def test_an_organization_goes_on_after_a_known_id(feeds: Feeds) -> None:
    feeds.publish([start("j1"), start("j2"), start("j3")])
    taken = feeds.open_org("acme", f"org-{RUN}-1").take(0)
    assert taken is not None
    assert [entry.data["job"] for entry in taken] == ["j2", "j3"]


def test_after_an_unknown_id_an_organization_tells_where_its_history_starts(
    feeds: Feeds, clock: Clock
) -> None:
    feeds.publish([start("j1")])
    clock.now += 61
    feeds.publish([start("j2")._replace(at=clock.now)])
    taken = feeds.open_org("acme", f"org-{RUN}-1").take(0)
    assert taken is not None
    assert [(entry.id, entry.name) for entry in taken] == [
        ("start_id", "start_of_history"),
        (f"org-{RUN}-2", "start"),
    ]
    assert taken[0].at == round((NOW + 1) * 1_000_000) and taken[0].data == {}


@pytest.mark.parametrize("form", ["org-{}-2", "org-2"])  # the second is that of older servers
def test_an_id_of_the_run_before_is_not_one_of_this_run(clock: Clock, form: str) -> None:
    before, now = one_run("1a2b", clock), one_run("3c4d", clock)
    for feeds in (before, now):
        feeds.publish([start("j1"), start("j2"), start("j3")])
    last_id = form.format("1a2b")
    assert names(now.open_org("acme", last_id).take(0)) == ["start_of_history", *["start"] * 3]
    assert names(before.open_org("acme", "org-1a2b-2").take(0)) == ["start"]


def test_a_reader_that_is_too_slow_is_told_what_it_missed(feeds: Feeds, clock: Clock) -> None:
    reader = feeds.open_org("acme", None)
    feeds.publish([start("j1"), start("j2")])
    clock.now += 61
    feeds.publish([start("j3")._replace(at=clock.now)])
    taken = reader.take(0)
    assert taken is not None
    assert names(taken) == ["start_of_history", "start"]
    assert taken[0].at == round(NOW * 1_000_000) + 1 < taken[1].at
    assert reader.take(0) == []


def test_a_history_is_bounded() -> None:
    history = History("job-", 20)
    for number in range(1000):
        history.add("x", NOW, {"number": number})
    assert history.next - history.first <= 20
    first, second = history.read(1, 1)
    assert first.name == "start_of_history" and second.id == f"job-{history.first}"
    assert first.at == second.at - 1


def test_a_long_history_is_read_in_pieces_without_a_gap(feeds: Feeds) -> None:
    feeds.publish([start(), *(told("x") for _ in range(999)), told("job_complete")])
    reader, ids = open_job(feeds), []
    taken = reader.take(0)
    while taken is not None:
        assert 0 < len(taken) <= 200
        ids += [entry.id for entry in taken]
        taken = reader.take(0)
    assert ids == [f"job-{number}" for number in range(1, 1002)]


def test_only_so_many_feeds_may_be_open(feeds: Feeds) -> None:
    feeds.publish([start()])
    readers = [open_job(feeds), open_job(feeds), feeds.open_org("acme", None)]
    with pytest.raises(Busy, match="3 event feeds are open"):
        feeds.open_org("acme", None)
    with pytest.raises(Busy, match="3 event feeds are open"):
        open_job(feeds)
    readers[0].close()
    readers[0].close()
    open_job(feeds)
    with pytest.raises(Busy):
        open_job(feeds)


def test_events_that_can_not_be_stored_end_the_feed_unseen(feeds: Feeds) -> None:
    feeds.publish([start()])
    reader = open_job(feeds)
    feeds.break_off([told("job_complete")])
    assert names(reader.take(0)) == ["start"]
    assert reader.take(9) is None
    assert feeds.open_job("acme", "j1", None) is None
    feeds.publish([told("job_complete")])
    assert feeds.open_job("acme", "j1", None) is None


def test_a_waiting_reader_is_woken_by_events_and_by_the_stop(feeds: Feeds) -> None:
    feeds.publish([start()])
    reader = open_job(feeds, "job-1")
    seen: List[Optional[List[str]]] = []

    def read() -> None:
        taken = reader.take(30)
        while taken is not None:
            seen.append(names(taken))
            taken = reader.take(30)
        seen.append(None)

    thread = threading.Thread(target=read)
    thread.start()
    feeds.publish([told("rehab")])
    feeds.close()
    thread.join(20)
    assert not thread.is_alive() and seen[-1] is None
    with pytest.raises(Busy, match="stopping"):
        feeds.open_org("acme", None)


def test_after_a_restart_a_job_begins_with_what_is_stored(feeds: Feeds) -> None:
    nodes = {
        "a": JobNode(NodeStatus.RUNNING),
        "b": JobNode(NodeStatus.SUCCEEDED),
        "c": JobNode(NodeStatus.NACKED),
        "d": JobNode(NodeStatus.CRASHED),
    }
    asked = request(tuple(nodes), user="deploy", env={"A": "1"}, file="raw:secret")
    job = JobRecord("j1", asked, JobStatus.RUNNING, NOW, NOW + 1, NOW + 60, nodes=nodes)
    feeds.restore(rebuilt(job))
    feeds.publish([told("job_complete", at=NOW + 2, status="complete")])
    taken = open_job(feeds, "job-2").take(0)
    assert taken is not None
    shown = [
        " ".join([e.name, *(str(e.data[k]) for k in ("node", "status") if k in e.data)])
        for e in taken
    ]
    assert shown == [
        "start",
        "quorum_vote a success",
        "quorum_vote b success",
        "quorum_vote c failure",
        "quorum_vote d success",
        "quorum_succeeded",
        "run_start a",
        "run_start b",
        "run_complete b success",
        "run_complete d crashed",
        "job_complete complete",
    ]
    assert taken[0].id == f"job-{RUN}-1"
    assert list(taken[0].data) == [
        *("command", "run_timeout", "quorum", "node_count", "user"),
        *("job_user", "env", "file_specified", "capture"),
    ]
    assert "secret" not in json.dumps(taken[0].data)


def test_a_voting_job_after_a_restart() -> None:
    nodes = {"a": JobNode(), "b": JobNode(NodeStatus.READY), "c": JobNode(NodeStatus.UNAVAILABLE)}
    job = JobRecord("j1", request(tuple(nodes)), JobStatus.VOTING, NOW, NOW, NOW + 60, nodes=nodes)
    assert [(event.name, event.data.get("status")) for event in rebuilt(job)] == [
        ("start", None),
        ("quorum_vote", "success"),
        ("quorum_vote", "down"),
    ]
