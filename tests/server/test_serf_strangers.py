"""Heartbeats over Serf, which anybody can send: which count, and what is logged of the others."""

from __future__ import annotations

import logging
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from api_desk import public_pem
from engine_desk import EngineDesk
from shovey_desk import NODE, ShoveyDesk, open_shovey_desk
from waiting import PATIENCE, wait_until

from push_jobs_server.engine.serf_orders import NodeKind, Order, SerfKnown
from push_jobs_server.identity.base import IdentityUnavailable
from push_jobs_server.serf_heartbeats import Heartbeats
from push_jobs_wire import shovey

Events = List[Tuple[str, Dict[str, object]]]


@pytest.fixture
def desk(sqlite_store_url: str) -> Iterator[ShoveyDesk]:
    with open_shovey_desk(sqlite_store_url) as made:
        made.desk.identity.create_client("other", "abroad", public_pem("abroad"))
        yield made


@pytest.fixture
def beats(desk: ShoveyDesk) -> Iterator[Heartbeats]:
    thread = Heartbeats("acme", desk.desk.identity, desk.desk.engine.tell)
    thread.start()
    yield thread
    thread.stop()
    thread.join(PATIENCE)


def heard_of(desk: ShoveyDesk, beats: Heartbeats, *payloads: bytes) -> List[str]:
    """The nodes that the engine has heard of once these heartbeats, and one of a node, are read."""
    counted: List[bytes] = []
    last = shovey.encode({"node": NODE, "status": "up"})
    for payload in (*payloads, last):
        beats.take(payload, lambda payload=payload: counted.append(payload))  # type: ignore[misc]
    wait_until(lambda: last in counted, "the heartbeat of a node to count")
    assert counted == [last]
    found: List[str] = []
    desk.tell(lambda engine: found.extend(engine.serf.names("acme")))
    return found


@pytest.mark.parametrize("name", ["stranger", "alice", "abroad", "", "a\0b"])
def test_a_heartbeat_of_no_registered_client_counts_for_nothing_and_is_logged(
    desk: ShoveyDesk, beats: Heartbeats, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Also that of a user, and of a client of another organization."""
    with caplog.at_level(logging.DEBUG, "push_jobs_server.serf"):
        assert heard_of(desk, beats, shovey.encode({"node": name, "status": "up"})) == [NODE]
    assert caplog.messages == [f"heartbeat of {name!r}, status 'up': ignored"]
    assert [each["node_name"] for each in desk.get("/status/all/nodes") if "url" in each] == [NODE]


@pytest.mark.parametrize(
    "payload, words",
    [
        (shovey.encode({"node": NODE, "status": "well"}), "status 'well': ignored"),
        (shovey.encode({"node": NODE}), "status '': ignored"),
        (b"no heartbeat", "a heartbeat that is none"),
    ],
)
def test_what_is_no_heartbeat_is_logged(
    desk: ShoveyDesk,
    beats: Heartbeats,
    caplog: pytest.LogCaptureFixture,
    payload: bytes,
    words: str,
) -> None:
    with caplog.at_level(logging.DEBUG, "push_jobs_server.serf"):
        assert heard_of(desk, beats, payload) == [NODE]
    (message,) = caplog.messages
    assert words in message


class Silent:
    """An identity source that does not answer."""

    def for_request(self) -> Any:
        """See Identity."""
        raise IdentityUnavailable("it is away")


def test_nobody_counts_while_nobody_says_who_is_registered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: List[Any] = []
    identity: Any = Silent()
    beats = Heartbeats("acme", identity, told.append)
    beats._read(shovey.encode({"node": NODE, "status": "up"}), lambda: told.append(NODE))
    assert told == []
    assert "nobody says whether it is registered: it is away" in caplog.text


# What the engine logs


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Tuple[EngineDesk, Events]:
    """An engine for nodes over Serf, and what it logs from now on."""
    desk, logged = EngineDesk(serf=SerfKnown("acme")), []  # type: Tuple[EngineDesk, Events]
    monkeypatch.setattr(desk.engine, "log", lambda *event: logged.append(event))
    return desk, logged


def test_a_heartbeat_that_says_down_is_logged(events: Tuple[EngineDesk, Events]) -> None:
    desk, logged = events
    desk.engine.serf.heartbeat("s1", "down", False)
    assert logged == [("heartbeat ignored", {"node": "s1", "status": "down"})]
    assert desk.engine.serf.names("acme") == []


@pytest.mark.parametrize("action", [shovey.START, shovey.CANCEL])
def test_a_query_that_the_serf_agent_refused_is_logged(
    events: Tuple[EngineDesk, Events], action: str
) -> None:
    desk, logged = events
    order = Order(action, "j1", "ls", 300, ("s1",), NodeKind.OTHER)
    desk.engine.serf.refused(order, ("s1",), "query exceeds limit")
    details = {"job": "j1", "action": action, "reason": "query exceeds limit"}
    assert logged == [("the Serf agent refused a query", details)]
