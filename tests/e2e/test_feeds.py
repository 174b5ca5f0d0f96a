"""Event feeds of a real server with a real agent, read over TLS sockets."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Iterator, List

import pytest
from feed_reader import KEEP_ALIVE, FeedEvent, FeedReader, open_in_time
from house import House, open_house
from waiting import wait_until

pytestmark = pytest.mark.e2e

FEED = "/pushy/job_status_feed"
LINGER = 3.0
KEEP_ALIVE_TIME = 0.3
MAX_FEEDS = 4
ONE_NODE = [
    "start",
    "quorum_vote web1 success",
    "quorum_succeeded",
    "run_start web1",
    "run_complete web1 success",
    "job_complete complete",
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server with one agent, shared by the tests of this file."""
    settings = {
        "heartbeat_interval": 2.0,  # nodes get seven of them to come back after a restart
        "job_linger": LINGER,
        "keep_alive_time": KEEP_ALIVE_TIME,
        "http.max_feeds": MAX_FEEDS,
    }
    with open_house(tmp_path_factory.mktemp("house"), **settings) as house:
        # A port that was taken as a free one can't be bound again soon; a chosen one can.
        restart(house)
        house.add_agent("web1", whitelist(house))
        house.admin("org", "create", "other")
        bob = str(house.folder / "bob.pem")
        house.admin("user", "create", "bob", "--org", "acme", "--key-out", bob)
        house.admin("org", "add-user", "other", "admin")
        house.admin("group", "create", "pushy_job_readers", "--org", "acme")
        house.admin("group", "add", "pushy_job_readers", "--org", "acme", "--user", "admin")
        yield house


def whitelist(house: House) -> "dict[str, list[str]]":
    gate = house.folder / "gate"
    return {
        "hello": ["echo", "hello"],
        "wait": ["sh", "-c", f"until [ -e {gate} ]; do sleep 0.05; done"],
    }


@pytest.fixture(autouse=True)
def ready(house: House) -> None:
    """Each test finds the node available, and no feed open."""
    (house.folder / "gate").unlink(missing_ok=True)
    house.wait_available("web1")


def gists(events: List[FeedEvent]) -> List[str]:
    return [event.gist for event in events]


@pytest.mark.proves("A-17b", "A-17c", "A-18b")
def test_a_job_from_its_first_event_to_its_last(house: House) -> None:
    words = ["hello", "web1", "--capture", "--env", "A=ä", "--dir", "/", "--timeout", "9"]
    job_id = house.start_job(*words)
    with FeedReader(house, f"{FEED}/{job_id}") as feed:
        assert feed.status == 200
        headers = {name.lower(): value for name, value in feed.answer.getheaders()}
        events = feed.rest()
    expected = {
        "content-type": "text/event-stream",
        "transfer-encoding": "chunked",
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
    }
    assert {name: headers.get(name) for name in expected} == expected
    assert gists(events) == ONE_NODE
    assert [event.id for event in events] == [f"job-{number}" for number in range(1, 7)]
    stamps = [event.data.pop("timestamp") for event in events]
    assert stamps == sorted(set(stamps)) and all(len(stamp) == 27 for stamp in stamps)
    assert list(events[0].data.items()) == [
        ("command", "hello"),
        ("run_timeout", 9),
        ("quorum", 1),
        ("node_count", 1),
        ("user", "admin"),
        ("dir", "/"),
        ("env", {"A": "ä"}),
        ("capture", True),
    ]


@pytest.mark.proves("A-18a")
def test_events_arrive_when_they_happen(house: House) -> None:
    job_id = house.start_job("wait", "web1")
    with FeedReader(house, f"{FEED}/{job_id}") as feed:
        assert gists(feed.some(4)) == ONE_NODE[:4]
        assert house.job(job_id)["status"] == "running"
        assert feed.line() == KEEP_ALIVE
        (house.folder / "gate").touch()
        assert gists(feed.rest()) == ONE_NODE[4:]
        assert house.job(job_id)["status"] == "complete"


def test_reading_on_after_the_last_id_loses_and_repeats_nothing(house: House) -> None:
    job_id = house.start_job("wait", "web1")
    with FeedReader(house, f"{FEED}/{job_id}") as feed:
        events = feed.some(2)
    with FeedReader(house, f"{FEED}/{job_id}", events[-1].id) as feed:
        events += feed.some(2)
    with FeedReader(house, f"{FEED}/{job_id}", events[-1].id) as feed:
        assert feed.line() == KEEP_ALIVE
        (house.folder / "gate").touch()
        events += feed.some(1)
    house.wait_job(job_id)
    with FeedReader(house, f"{FEED}/{job_id}", events[-1].id) as feed:
        events += feed.rest()
    assert gists(events) == ONE_NODE
    with FeedReader(house, f"{FEED}/{job_id}", "job-77") as feed:
        assert feed.rest() == events


@pytest.mark.proves("A-17a")
def test_a_while_after_its_end_a_job_has_a_summary(house: House) -> None:
    job_id = house.start_job("hello", "web1")
    house.wait_job(job_id)
    with FeedReader(house, f"{FEED}/{job_id}") as feed:
        assert gists(feed.rest()) == ONE_NODE

    found: List[FeedEvent] = []

    def over() -> bool:
        with FeedReader(house, f"{FEED}/{job_id}", "job-3") as feed:
            found[:] = feed.rest()
            if feed.answer.getheader("Content-Length") is None:
                assert gists(found) == ONE_NODE[3:]
                return False
            return feed.answer.getheader("Transfer-Encoding") is None

    wait_until(over, "the summary")
    (event,) = found
    assert (event.name, event.id) == ("summary", "job-1")
    assert event.data["id"] == job_id and event.data["nodes"] == {"succeeded": ["web1"]}
    assert event.data["status"] == "complete"


def test_an_organization_sees_starts_and_ends_of_all_jobs(house: House) -> None:
    with FeedReader(house, FEED) as feed:
        assert feed.line() == KEEP_ALIVE
        jobs = [house.start_job("hello", node) for node in ("nowhere", "web1")]
        seen = feed.some(4)
    ends = {("start", job) for job in jobs} | {("job_complete", job) for job in jobs}
    assert {(event.name, event.data["job"]) for event in seen} == ends
    assert list(seen[0].data)[:3] == ["timestamp", "job", "command"]
    with FeedReader(house, FEED, seen[1].id) as feed:
        assert feed.some(2) == seen[2:]
    with FeedReader(house, FEED, "org-9999") as feed:
        first, *others = feed.some(5)
    assert (first.name, first.id, list(first.data)) == (
        "start_of_history",
        "start_id",
        ["timestamp"],
    )
    assert first.data["timestamp"] < others[0].data["timestamp"]


@pytest.mark.proves("A-16b")
def test_who_may_not_read_and_what_is_not_there(house: House) -> None:
    job_id = house.start_job("hello", "web1")
    house.wait_job(job_id)
    refused = {
        (f"{FEED}/{'0' * 32}", "admin", "acme", "GET"): 404,
        (f"{FEED}/{job_id}", "admin", "other", "GET"): 404,
        (f"{FEED}/{job_id}", "bob", "acme", "GET"): 403,
        (FEED, "bob", "acme", "GET"): 403,
        (FEED, "bob", "other", "GET"): 403,
        (FEED, "admin", "nowhere", "GET"): 404,
        ("/pushy/jobs_status_feed", "admin", "acme", "GET"): 404,
        **{
            (path, "admin", "acme", method): 405
            for path in (FEED, f"{FEED}/{job_id}")
            for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS")
        },
    }
    found = {}
    for path, user, org, method in refused:
        with FeedReader(house, path, user=user, org=org, method=method) as feed:
            found[path, user, org, method] = feed.status
            if feed.status == 405:
                assert feed.answer.getheader("Allow") == "GET"
            if method != "HEAD":
                assert list(feed.body()) == ["error"]
    assert found == refused


@pytest.mark.proves("A-16a")
@pytest.mark.parametrize(
    "accept, status",
    [
        ("application/json", 406),
        ("text/html, application/json", 406),
        ("text/*", 200),
        ("*/*", 200),
        ("application/event-stream", 200),
        ("text/event-stream; charset=utf-8", 200),
    ],
)
def test_what_the_reader_accepts(house: House, accept: str, status: int) -> None:
    with FeedReader(house, FEED, Accept=accept) as feed:
        assert feed.status == status
        kind = "text/event-stream" if status == 200 else "application/json"
        assert feed.answer.getheader("Content-Type") == kind
    unknown = FEED + "/" + "0" * 32
    with FeedReader(house, unknown, Accept=accept) as feed:
        assert feed.status == (404 if status == 200 else 406)


def test_the_workstation_follows_a_job(house: House) -> None:
    job_id = house.start_job("wait", "web1")
    with house.client() as client:
        events = client.follow(job_id)
        assert [next(events).name for _ in range(4)] == [gist.split()[0] for gist in ONE_NODE[:4]]
        (house.folder / "gate").touch()
        assert [event.status for event in events] == ["success", "complete"]
    done = house.push_jobs("job", "watch", job_id, "--format", "jsonl")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["event"] for line in lines] in (
        [gist.split()[0] for gist in ONE_NODE],
        ["summary"],
    )


def test_without_a_place_the_workstation_follows_by_the_state(house: House) -> None:
    feeds = all_places(house)
    done = house.push_jobs("job", "start", "hello", "web1", "--format", "json")
    assert done.code == 0, done.err
    job_id = json.loads(done.out)["id"]
    with house.client() as client:
        events = list(client.follow(job_id))
    assert {event.id for event in events} == {""}
    assert [event.name for event in events] == [gist.split()[0] for gist in ONE_NODE]
    for feed in feeds:
        feed.close()


def all_places(house: House) -> List[FeedReader]:
    """Feeds that take all places, as those of earlier readers get free."""
    return [open_in_time(house, FEED) for _ in range(MAX_FEEDS)]


def test_past_the_cap_a_reader_is_told_to_come_again(house: House) -> None:
    feeds = all_places(house)
    with FeedReader(house, FEED) as beyond:
        assert beyond.status == 503
        assert beyond.answer.getheader("Retry-After") == "5"
        assert "http.max_feeds" in beyond.body()["error"][0]
    assert house.job(house.start_job("hello", "web1"))["command"] == "hello"
    feeds.pop().close()  # it vanishes, and that is noticed at the next keep-alive
    feeds.append(open_in_time(house, FEED))
    for feed in feeds:
        feed.close()


def test_a_stop_ends_feeds_at_once_and_a_job_is_read_on_afterwards(house: House) -> None:
    job_id = house.start_job("wait", "web1")
    with FeedReader(house, FEED) as org, FeedReader(house, f"{FEED}/{job_id}") as feed:
        assert org.line() == KEEP_ALIVE
        before = feed.some(4)
        asked = time.monotonic()
        assert house.stop_server() == 0
        assert feed.rest() == [] and org.rest() == []
        assert time.monotonic() - asked < 5
    house.start_server()
    with FeedReader(house, f"{FEED}/{job_id}", before[-1].id) as feed:
        assert gists(feed.some(4)) == ONE_NODE[:4]
        wait_until(lambda: node_is_back(house), "the agent to come back")
        (house.folder / "gate").touch()
        assert gists(feed.rest()) == ONE_NODE[4:]


def test_an_id_of_before_a_restart_tells_that_events_may_be_missing(house: House) -> None:
    restart(house)  # so that there are few events before, and as many afterwards
    with FeedReader(house, FEED) as feed:
        seen = run_nowhere(house, feed)
        last_id = seen[-1].id
        run_nowhere(house, feed)  # our reader does not get these
        assert house.stop_server() == 0
        assert feed.rest() == []
    house.start_server()
    with FeedReader(house, FEED) as feed:
        after = run_nowhere(house, feed) + run_nowhere(house, feed)
    assert not {event.id for event in after} & {event.id for event in seen}
    with FeedReader(house, FEED, last_id) as feed:
        first, *others = feed.some(5)
    assert (first.name, first.id) == ("start_of_history", "start_id")
    assert others == after
    with FeedReader(house, FEED, after[1].id) as feed:
        assert feed.some(2) == after[2:]


def restart(house: House) -> None:
    assert house.stop_server() == 0
    house.start_server()


def run_nowhere(house: House, feed: FeedReader) -> List[FeedEvent]:
    """Both events of a job that ends at once, as its node does not exist."""
    job_id = house.start_job("hello", "nowhere")
    events = feed.some(2)
    assert [(event.name, event.data["job"]) for event in events] == [
        ("start", job_id),
        ("job_complete", job_id),
    ]
    return events


def test_the_workstation_follows_through_a_restart(house: House) -> None:
    job_id = house.start_job("wait", "web1")
    with house.client() as client:
        events = client.follow(job_id)
        seen = [next(events) for _ in range(4)]
        restart(house)
        wait_until(lambda: node_is_back(house), "the agent to come back")
        (house.folder / "gate").touch()
        seen += list(events)
    assert [event.name for event in seen] == [gist.split()[0] for gist in ONE_NODE]
    assert all(event.id for event in seen)


def node_is_back(house: House) -> bool:
    with house.client() as client:
        return client.node("web1").online


def test_no_feed_at_all(tmp_path: Path) -> None:
    with open_house(tmp_path, **{"http.max_feeds": 0}) as house:
        with FeedReader(house, FEED) as feed:
            assert feed.status == 503
        with house.client() as client:
            assert client.jobs() == []
