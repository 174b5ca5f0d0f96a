"""The thread that talks with the Serf agent, with an agent that says what the test wants."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any, Callable, Dict, Iterator, List

import msgpack
import pytest
from api_desk import key_of
from waiting import PATIENCE, wait_until

from push_jobs_server.engine.serf import NodeKind, Order
from push_jobs_server.transports.serf import CANCEL_ATTEMPTS, SerfPlace, SerfThread
from push_jobs_wire import shovey

JOB = "0" * 31 + "1"


class Agent:
    """A Serf agent with one client at a time, which answers when the test says so."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.port = int(self._listener.getsockname()[1])
        self.seq = 0

    def accept(self) -> None:
        """Let the next client in."""
        self.connection, _ = self._listener.accept()
        self.connection.settimeout(PATIENCE)
        self._unpacker = msgpack.Unpacker(raw=False)
        for command in ("handshake", "stream"):
            assert self._next()["Command"] == command
            self._next()
            self.say({"Error": "", "Seq": self.seq})
        assert self._next()["Command"] == "members"
        self.say({"Error": "", "Seq": self.seq}, {"Members": []})

    def query(self) -> Dict[str, Any]:
        """The body of the next query, which is taken."""
        assert self._next()["Command"] == "query"
        body = self._next()
        self.say({"Error": "", "Seq": self.seq})
        return body

    def tell(self, kind: str, node: str = "") -> None:
        """A record of the last query."""
        self.say({"Error": "", "Seq": self.seq}, {"Type": kind, "From": node, "Payload": None})

    def say(self, *items: Any) -> None:
        """Send objects."""
        self.connection.sendall(b"".join(map(bytes, map(msgpack.packb, items))))

    def _next(self) -> Dict[str, Any]:
        for item in self._unpacker:
            self.seq = int(item.get("Seq", self.seq))
            return dict(item)
        data = self.connection.recv(65536)
        assert data, "the server hung up"
        self._unpacker.feed(data)
        return self._next()

    def close(self) -> None:
        """Hang up and listen no more."""
        self.connection.close()
        self._listener.close()


@pytest.fixture
def agent() -> Iterator[Agent]:
    with closing(Agent()) as agent:
        yield agent


@pytest.fixture
def news() -> List[Callable[..., None]]:
    """What the engine is told."""
    return []


@pytest.fixture
def thread(agent: Agent, news: List[Callable[..., None]]) -> Iterator[SerfThread]:
    """The thread, which the agent has let in."""
    place = SerfPlace("127.0.0.1", agent.port, None, 1024)
    thread = SerfThread(place, key_of("serf"), news.append, lambda payload, counts: None)
    thread.start()
    try:
        agent.accept()
        # Orders wait for nobody: what comes before the agent is ready would be refused.
        wait_until(lambda: news, "the engine to hear that the agent is there")
        yield thread
    finally:
        thread.stop()
        thread.join(PATIENCE)


def order(action: str, *nodes: str) -> Order:
    return Order(action, JOB, "ls", 300, nodes, NodeKind.OTHER)


def action_of(query: Dict[str, Any]) -> str:
    return shovey.decode(query["Payload"])["action"]


def test_a_cancel_that_nobody_acknowledges_is_repeated(agent: Agent, thread: SerfThread) -> None:
    thread.submit(order("cancel", "n1", "n2", "n3"))
    assert agent.query()["FilterNodes"] == ["n1", "n2", "n3"]
    agent.tell("ack", "n2")
    agent.tell("ack")
    agent.tell("done")
    for _ in range(CANCEL_ATTEMPTS - 1):
        again = agent.query()
        assert (again["FilterNodes"], action_of(again)) == (["n1", "n3"], "cancel")
        agent.tell("done")
    # Not a fourth time: the next query is another one.
    thread.submit(order("cancel", "n4"))
    assert agent.query()["FilterNodes"] == ["n4"]


def test_a_start_is_sent_once(
    agent: Agent, thread: SerfThread, news: List[Callable[..., None]]
) -> None:
    thread.submit(order("start", "n1", "n2"))
    assert action_of(agent.query()) == "start"
    told = len(news)
    agent.tell("ack", "n1")
    agent.tell("done")
    wait_until(lambda: len(news) == told + 1, "the acknowledgement to be told")
    thread.submit(order("cancel", "n2"))
    assert action_of(agent.query()) == "cancel"


def test_a_cancel_survives_a_broken_connection(agent: Agent, thread: SerfThread) -> None:
    thread.submit(order("start", "n1"))
    agent.query()
    thread.submit(order("cancel", "n1", "n2"))
    agent.query()
    agent.tell("ack", "n1")
    agent.connection.close()
    agent.accept()
    again = agent.query()
    assert (again["FilterNodes"], action_of(again)) == (["n2"], "cancel")
