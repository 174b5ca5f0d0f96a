"""Which heartbeats count: those of registered nodes, which the engine hears of and which get an
answer; nothing else."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, Callable, Iterator, List, Tuple

import pytest
from waiting import PATIENCE, wait_until

from push_jobs_server.serf_heartbeats import Heartbeats

ORG = "acme"


class Registry:
    """Knows the client ``n1`` and the user ``alice``."""

    def for_request(self) -> "Registry":
        return self

    def principals(self, org: str, name: str) -> List[Any]:
        assert org == ORG
        kinds = {"n1": ["client"], "alice": ["user"]}.get(name, [])
        return [SimpleNamespace(kind=kind) for kind in kinds]


class Desk:
    """The thread, what the engine heard, and the numbers of those that were answered."""

    def __init__(self) -> None:
        self.heard: List[Tuple[Any, ...]] = []
        self.answered: List[int] = []
        registry: Any = Registry()
        self.thread = Heartbeats(ORG, registry, self._tell)
        self.thread.start()

    def _tell(self, news: Callable[[Any], None]) -> None:
        news(SimpleNamespace(serf=SimpleNamespace(heartbeat=lambda *said: self.heard.append(said))))

    def take(self, number: int, payload: bytes) -> None:
        self.thread.take(payload, lambda: self.answered.append(number))


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.thread.stop()
    made.thread.join(PATIENCE)


def beat(node: str, status: str = "up", **more: str) -> bytes:
    return json.dumps({"node": node, "status": status, **more}).encode()


def test_only_those_of_registered_nodes_count_and_are_answered(desk: Desk) -> None:
    strange = [b"", b"[]", b'{"node": 1}', beat("n2"), beat("alice"), beat(""), beat("n1\0")]
    for number, payload in enumerate([*strange, beat("n1", "dancing")]):
        desk.take(number, payload)
    desk.take(100, beat("n1"))
    desk.take(101, beat("n1", extensions="1"))
    wait_until(lambda: 101 in desk.answered, "the answer to the last one")
    assert desk.answered == [100, 101]
    assert desk.heard == [("n1", "up", False), ("n1", "up", True)]
