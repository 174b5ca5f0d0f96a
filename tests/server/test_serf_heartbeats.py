"""Heartbeats over Serf: whose they are, and what they say that the node can do."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from typing import Any, Callable, Iterator, List, Set, Tuple

import pytest
from waiting import PATIENCE, wait_until

from push_jobs_server import serf_heartbeats
from push_jobs_server.identity.base import Principal
from push_jobs_server.serf_heartbeats import KNOWN_FOR, Heartbeats


class Known:
    """Identities that know these nodes; ``asked`` counts questions."""

    def __init__(self, *names: str) -> None:
        self.names: Set[str] = set(names)
        self.asked = 0

    def for_request(self) -> Known:
        return self

    def principals(self, org: str, name: str) -> List[Principal]:
        self.asked += 1
        known = org == "acme" and name in self.names
        return [Principal(name, "client", True, "key")] if known else []


class Told:
    """What an engine was told."""

    def __init__(self) -> None:
        self.serf = self
        self.beats: List[Tuple[Any, ...]] = []

    def heartbeat(self, *beat: Any) -> None:
        self.beats.append(beat)


Beat = Callable[..., List[Tuple[Any, ...]]]


@pytest.fixture
def beat() -> Iterator[Beat]:
    """Sends a heartbeat; what the engine was told of it."""
    told = Told()
    identity: Any = Known("n1")
    thread = Heartbeats("acme", identity, lambda news: news(told))  # type: ignore[arg-type]

    def send(**fields: str) -> List[Tuple[Any, ...]]:
        told.beats.clear()
        answered: List[bool] = []
        thread.take(json.dumps(fields).encode(), lambda: answered.append(True))
        # The next one is read after it.
        thread.take(b'{"node":"n1","status":"new"}', lambda: answered.append(False))
        wait_until(lambda: False in answered, "the heartbeats to be read")
        assert (True in answered) == (len(told.beats) == 2)
        return told.beats[:-1]

    thread.start()
    yield send
    thread.stop()
    thread.join(5.0)


def test_what_a_node_can_do(beat: Beat) -> None:
    up = {"node": "n1", "status": "up"}
    assert beat(**up) == [("n1", "up", False)]
    assert beat(**up, extensions="1") == [("n1", "up", True)]
    assert beat(**up, extensions="x", more="x") == [("n1", "up", False)]


def test_heartbeats_of_nobody_and_with_other_words(beat: Beat) -> None:
    assert beat(node="n2", status="up") == []
    assert beat(node="n1", status="asleep") == []
    assert beat(status="up") == []


# For how long an answer counts


class Beats:
    """A thread that does not run: heartbeats are read at once, with a clock of ours."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.known = Known()
        self.told = Told()
        identity: Any = self.known
        tell: Any = lambda news: news(self.told)
        self.thread = Heartbeats("acme", identity, tell)

    def counts(self, name: str) -> bool:
        """Whether a heartbeat of this node counts now."""
        self.told.beats.clear()
        answered: List[bool] = []
        self.thread._read(
            json.dumps({"node": name, "status": "up"}).encode(), lambda: answered.append(True)
        )
        assert len(answered) == len(self.told.beats)
        return bool(answered)


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> Beats:
    made = Beats()
    monkeypatch.setattr(serf_heartbeats, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def test_a_node_that_is_registered_later_is_seen_soon(beats: Beats) -> None:
    """With its next heartbeat, 30 s later; a flood of strangers asks for each one now and then."""
    assert not beats.counts("n1")
    beats.known.names.add("n1")
    beats.now += 1.0
    assert not beats.counts("n1") and beats.known.asked == 1
    beats.now += 29.0
    assert beats.counts("n1") and beats.known.asked == 2


def test_a_node_that_is_removed_is_seen_no_more_after_a_while(beats: Beats) -> None:
    beats.known.names.add("n1")
    assert beats.counts("n1")
    beats.known.names.clear()
    beats.now += 300.0
    assert beats.counts("n1") and beats.known.asked == 1
    beats.now += 301.0
    assert not beats.counts("n1")
    assert KNOWN_FOR <= 600.0


def test_heartbeats_that_are_too_many_are_lost_and_nobody_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serf_heartbeats, "_MOST_WAITING", 2)
    thread = Beats().thread

    def flood() -> None:
        for _ in range(3):
            thread.take(b"{}", lambda: None)

    sender = threading.Thread(target=flood, daemon=True)
    sender.start()
    sender.join(PATIENCE)
    assert not sender.is_alive()
    assert len(caplog.messages) == 1 and "a heartbeat was lost" in caplog.text
