"""Heartbeats over Serf: whose they are, and what they say that the node can do."""

from __future__ import annotations

import json
from typing import Any, Callable, Iterator, List, Tuple

import pytest
from waiting import wait_until

from push_jobs_server.identity.base import Principal
from push_jobs_server.serf_heartbeats import Heartbeats


class Known:
    """Identities that know one node."""

    def for_request(self) -> Known:
        return self

    def principals(self, org: str, name: str) -> List[Principal]:
        return [Principal(name, "client", True, "key")] if (org, name) == ("acme", "n1") else []


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
    identity: Any = Known()
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
