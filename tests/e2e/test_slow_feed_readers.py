"""Readers of an organization's feed that do not keep up, over TLS sockets of a real server."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path
from typing import List, Tuple

import pytest
from feed_reader import FeedEvent, FeedReader, open_in_time
from house import House, open_house
from waiting import wait_until

pytestmark = pytest.mark.e2e

FEED = "/pushy/job_status_feed"
MISSED = "start_of_history"
SOON = 2.0
"""After so many seconds events are forgotten, where the test wants that."""
LARGE = "x" * 800_000
JOBS = 12
"""So many jobs with so large an environment are more than sockets hold."""
CUTS_OFF = {"http.max_feeds": 1, "http.request_timeout": 1.0}


def limit_buffer(feed: FeedReader) -> None:
    """The kernel keeps little of what nobody reads, but more than one packet: else it is slow."""
    feed.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)


def run_jobs(house: House, count: int = JOBS, large: str = LARGE) -> List[Tuple[str, str]]:
    """Jobs that end at once, as they have no node that exists: their events as readers see them."""
    seen = []
    with house.client() as client:
        for _ in range(count):
            job_id = client.start_job("none", ["nobody"], env={"LARGE": large})
            assert client.wait(job_id, timeout=20).ended
            seen += [("start", job_id), ("job_complete", job_id)]
    return seen


def shown(events: List[FeedEvent]) -> List[Tuple[str, str]]:
    return [(event.name, event.data.get("job", "")) for event in events]


def can_open(house: House) -> bool:
    with FeedReader(house, FEED) as feed:
        return feed.status == 200


@pytest.mark.parametrize("stopping", [False, True])
def test_a_reader_that_does_not_read(tmp_path: Path, stopping: bool) -> None:
    settings = {"http.max_feeds": 1, "http.request_timeout": 20.0 if stopping else 1.0}
    with open_house(tmp_path, **settings) as house, FeedReader(house, FEED) as stuck:
        limit_buffer(stuck)
        run_jobs(house)
        if stopping:
            asked = time.monotonic()
            house.signal_server(signal.SIGTERM)
            assert house.server is not None and house.server.wait(20) == 0
            assert time.monotonic() - asked < 10
        else:
            wait_until(lambda: can_open(house), "the place of the reader to be free")


def cut_off(house: House) -> Tuple[FeedReader, List[Tuple[str, str]]]:
    """A reader that saw one event, got stuck and was cut off comes back; the events it missed."""
    with FeedReader(house, FEED) as stuck:
        first = run_jobs(house, 1, "")
        seen = stuck.some(1)
        limit_buffer(stuck)
        missed = run_jobs(house)
        time.sleep(SOON)
        back = open_in_time(house, FEED, seen[0].id)  # there is one place
    assert shown(seen) == first[:1]
    return back, first[1:] + missed


def test_a_stuck_reader_that_comes_back_in_time_loses_nothing(tmp_path: Path) -> None:
    with open_house(tmp_path, **CUTS_OFF) as house:
        back, missed = cut_off(house)
        with back:
            assert shown(back.some(len(missed))) == missed
            assert shown_live(house, back)


def test_a_stuck_reader_that_comes_back_too_late_is_told_so(tmp_path: Path) -> None:
    with open_house(tmp_path, **CUTS_OFF, org_feed_expiration=SOON) as house:
        back, _ = cut_off(house)
        with back:
            assert shown(back.some(1)) == [(MISSED, "")]
            assert shown_live(house, back)


def shown_live(house: House, feed: FeedReader) -> bool:
    """Whether the next events are those of the next job."""
    expected = run_jobs(house, 1, "")
    return shown(feed.some(2)) == expected


def test_a_reader_that_falls_behind_is_told_where_it_missed_something(tmp_path: Path) -> None:
    settings = {"http.request_timeout": 20.0, "org_feed_expiration": SOON}
    with open_house(tmp_path, **settings) as house, FeedReader(house, FEED) as slow:
        limit_buffer(slow)
        happened = run_jobs(house)
        time.sleep(SOON)
        happened += run_jobs(house, 1, "")  # with these two the others are forgotten
        events = until(slow, happened[-1])
    seen = shown(events)
    gap = seen.index((MISSED, ""))
    assert 0 < gap < len(happened) - 2
    assert seen == happened[:gap] + [(MISSED, "")] + happened[-2:]
    stamps = [event.data["timestamp"] for event in events]
    assert stamps == sorted(set(stamps))


def until(feed: FeedReader, last: Tuple[str, str]) -> List[FeedEvent]:
    """The next events, up to this one."""
    events = feed.some(1)
    while shown(events[-1:]) != [last]:
        events += feed.some(1)
    return events
