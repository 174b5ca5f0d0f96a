"""The thread that talks with the Serf agent, with an agent that says what the test wants."""

from __future__ import annotations

import socket
from contextlib import closing
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import msgpack
import pytest
from api_desk import key_of
from waiting import PATIENCE, wait_until

from push_jobs_server.engine.serf_orders import NodeKind, Order
from push_jobs_server.transports.serf import CANCEL_ATTEMPTS, SerfPlace, SerfThread
from push_jobs_wire import shovey
from push_jobs_wire.serf_query import query_size

JOB = "0" * 31 + "1"
LIMIT = 1024
LONGEST = "x" * 64


class Agent:
    """A Serf agent with one client at a time, which answers when the test says so."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.port = int(self.listener.getsockname()[1])
        self.seq = 0

    def accept(self, *members: str) -> None:
        """Let the next client in, and tell it of these members."""
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(PATIENCE)
        self._unpacker = msgpack.Unpacker(raw=False)
        for command in ("handshake", "stream"):
            self.body = self.request(command)
        self.stream = self.seq
        assert self._next()["Command"] == "members"
        found = [{"Name": name} for name in members]
        self.say({"Error": "", "Seq": self.seq}, {"Members": found})

    def request(self, command: str, error: str = "") -> Dict[str, Any]:
        """The body of the next request, which is this command and is taken, or refused."""
        assert self._next()["Command"] == command
        body = self._next()
        self.say({"Error": error, "Seq": self.seq})
        return body

    def query(self, error: str = "") -> Dict[str, Any]:
        """The body of the next query, which is taken, or refused with ``error``."""
        return self.request("query", error)

    def event(self, kind: str, **body: Any) -> None:
        """Something happened that the client has asked for."""
        assert kind in str(self.body["Type"])
        self.say({"Error": "", "Seq": self.stream}, {"Event": kind.split(":")[0], **body})

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
        self.listener.close()


@pytest.fixture
def agent() -> Iterator[Agent]:
    with closing(Agent()) as agent:
        yield agent


class Heard:
    """What the engine is told, in the place of ``engine.serf``."""

    def __init__(self, news: List[Callable[..., None]]) -> None:
        self.problem: Optional[str] = None
        self.gone_nodes: List[Tuple[str, str]] = []
        self.refusals: List[Tuple[str, Tuple[str, ...], str]] = []
        for each in news:
            each(SimpleNamespace(serf=self))

    def gone(self, name: str, reason: str) -> None:
        self.gone_nodes.append((name, reason))

    def refused(self, order: Order, nodes: Tuple[str, ...], reason: str) -> None:
        self.refusals.append((order.action, nodes, reason))

    def acked(self, job_id: str, node: str) -> None:
        """Not looked at."""


@pytest.fixture
def news() -> List[Callable[..., None]]:
    """What the engine is told."""
    return []


Beats = List[Tuple[bytes, Callable[[], None]]]


@pytest.fixture
def beats() -> Beats:
    """The heartbeats that came, and what to call when they count."""
    return []


@pytest.fixture
def members() -> Tuple[str, ...]:
    """The names that the agent gives when it is asked for the members."""
    return ()


@pytest.fixture
def thread(
    agent: Agent, news: List[Callable[..., None]], beats: Beats, members: Tuple[str, ...]
) -> Iterator[SerfThread]:
    """The thread, which the agent has let in."""

    def take(payload: bytes, counts: Callable[[], None]) -> None:
        beats.append((payload, counts))

    place = SerfPlace("127.0.0.1", agent.port, None, LIMIT)
    thread = SerfThread(place, key_of("serf"), news.append, take)
    thread.start()
    try:
        agent.accept(*members)
        # Orders wait for nobody: what comes before the agent is ready would be refused.
        wait_until(lambda: news, "the engine to hear that the agent is there")
        yield thread
    finally:
        thread.stop()
        thread.join(PATIENCE)


def test_an_agent_that_says_nothing_is_tried_again(
    agent: Agent, news: List[Callable[..., None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("push_jobs_server.transports.serf.ENTER_WITHIN", 0.1)
    place = SerfPlace("127.0.0.1", agent.port, None, LIMIT)
    thread = SerfThread(place, key_of("serf"), news.append, lambda payload, counts: None)
    thread.start()
    try:
        with closing(agent.listener.accept()[0]):
            wait_until(lambda: news, "the engine to hear that the agent is not there")
            assert "did not answer" in str(Heard(news).problem)
            agent.accept()
            wait_until(lambda: Heard(news).problem is None, "the engine to hear that it is there")
    finally:
        thread.stop()
        thread.join(PATIENCE)


def test_an_agent_that_answers_no_more_is_away(
    agent: Agent,
    thread: SerfThread,
    news: List[Callable[..., None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Heard(news).problem is None
    monkeypatch.setattr("push_jobs_server.transports.serf.ANSWER_WITHIN", 0.1)
    with closing(agent.connection):
        thread.submit(order("start", "n1"))
        thread.submit(order("cancel", "n2"))
        wait_until(lambda: Heard(news).problem, "the engine to hear that the agent is away")
        assert "is away: it did not answer" in str(Heard(news).problem)
        monkeypatch.setattr("push_jobs_server.transports.serf.ANSWER_WITHIN", PATIENCE)
        agent.accept()
    assert agent.query()["FilterNodes"] == ["n2"]
    assert Heard(news).problem is None


def test_a_defect_of_ours_is_told_and_survived(
    agent: Agent,
    thread: SerfThread,
    news: List[Callable[..., None]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(payload: bytes, counts: Callable[[], None]) -> None:
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patched, closing(agent.connection):
        patched.setattr(thread, "_take_beat", fail)
        agent.event(f"query:{shovey.HEARTBEAT}", Name=shovey.HEARTBEAT, ID=7, Payload=b"{}")
        wait_until(lambda: Heard(news).problem, "the engine to hear of it")
        assert "a defect of this server" in str(Heard(news).problem)
        assert "ZeroDivisionError" in caplog.text
        agent.accept()
    wait_until(lambda: Heard(news).problem is None, "the engine to hear that the agent is there")


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


def test_a_start_is_sent_once_and_the_engine_hears_who_did_not_hear_it(
    agent: Agent, thread: SerfThread, news: List[Callable[..., None]]
) -> None:
    thread.submit(order("start", "n1", "n2", "n3"))
    assert action_of(agent.query()) == "start"
    told = len(news)
    agent.tell("ack", "n1")
    agent.tell("done")
    wait_until(lambda: len(news) == told + 2, "the acknowledgement and the end to be told")
    heard: List[Any] = []
    serf = SimpleNamespace(acked=lambda *given: heard.append(given), unheard=heard.append)
    for tell in news[told:]:
        tell(SimpleNamespace(serf=serf))
    assert heard == [(JOB, "n1"), order("start", "n2", "n3")]
    thread.submit(order("cancel", "n2"))
    assert action_of(agent.query()) == "cancel"


def test_a_start_that_all_have_heard_is_nothing_to_tell(
    agent: Agent, thread: SerfThread, news: List[Callable[..., None]]
) -> None:
    thread.submit(order("start", "n1"))
    agent.query()
    told = len(news)
    agent.tell("ack", "n1")
    agent.tell("done")
    agent.event("member-failed", Members=[{"Name": "n9"}])
    wait_until(lambda: len(news) >= told + 2, "what comes after the end to be told")
    heard: List[Any] = []
    serf = SimpleNamespace(acked=lambda *given: heard.append(given), gone=lambda *_: None)
    for tell in news[told:]:
        tell(SimpleNamespace(serf=serf))
    assert heard == [(JOB, "n1")]


def test_a_cancel_survives_a_broken_connection(
    agent: Agent, thread: SerfThread, news: List[Callable[..., None]]
) -> None:
    thread.submit(order("start", "n1"))
    agent.query()
    thread.submit(order("cancel", "n1", "n2"))
    agent.query()
    agent.tell("ack", "n1")
    agent.connection.close()
    agent.accept()
    again = agent.query()
    assert (again["FilterNodes"], action_of(again)) == (["n2"], "cancel")
    # The start may have arrived: it is neither sent again nor refused.
    assert Heard(news).refusals == []


def test_what_was_given_before_the_end_is_sent(agent: Agent, thread: SerfThread) -> None:
    """Its answer may have been given: the job is cancelled."""
    for number in range(20):
        thread.submit(order("cancel", f"n{number}"))
    thread.stop()
    for number in range(20):
        assert agent.query()["FilterNodes"] == [f"n{number}"]


def test_a_query_that_the_agent_does_not_take_is_that_of_its_own_nodes(
    agent: Agent, thread: SerfThread, news: List[Callable[..., None]]
) -> None:
    names = tuple(f"n{number:02d}" for number in range(99))
    thread.submit(order("start", *names))
    first = agent.query()["FilterNodes"]
    second = agent.query("too large")["FilterNodes"]
    assert first and second and not set(first) & set(second)
    (refusal,) = wait_until(lambda: Heard(news).refusals, "the refusal")
    assert refusal[:2] == ("start", tuple(second)) and "too large" in refusal[2]


@pytest.mark.parametrize("kind, word", [("member-failed", "failed"), ("member-leave", "left")])
def test_members_that_are_gone_are_told(
    agent: Agent, thread: SerfThread, news: List[Callable[..., None]], kind: str, word: str
) -> None:
    told = len(news)
    agent.event(kind, Members=[{"Name": "n1"}, {"Name": "n2"}])
    wait_until(lambda: len(news) == told + 2, "the engine to hear of both")
    assert Heard(news).gone_nodes == [(node, f"its Serf agent {word}") for node in ("n1", "n2")]


def test_a_heartbeat_is_answered_once_it_counts(
    agent: Agent, thread: SerfThread, beats: Beats
) -> None:
    for number in (7, 8):
        name = shovey.HEARTBEAT
        agent.event(f"query:{name}", Name=name, ID=number, LTime=1, Payload=b"{%d}" % number)
    wait_until(lambda: len(beats) == 2, "the heartbeats")
    assert [payload for payload, _ in beats] == [b"{7}", b"{8}"]
    beats[1][1]()
    # The first one counts for nobody: it has no answer.
    body = agent.request("respond")
    assert (body["ID"], body["Payload"]) in [(8, '{"response":"ok"}'), (8, b'{"response":"ok"}')]


@pytest.mark.parametrize(
    "members, origin", [((), LONGEST), (("n1", "server" * 18, "n2"), "server" * 18)]
)
def test_every_query_fits_with_the_name_of_our_agent_in_it(
    agent: Agent, thread: SerfThread, origin: str
) -> None:
    names = [f"n{number:02d}" for number in range(99)]
    thread.submit(order("start", *names))
    asked: List[str] = []
    while len(asked) < len(names):
        query = agent.query()
        assert query["FilterNodes"]
        content = query["Payload"]
        content = content.encode() if isinstance(content, str) else content
        assert query_size(origin, shovey.QUERY, content, query["FilterNodes"]) <= LIMIT
        asked += query["FilterNodes"]
    assert asked == names


def test_a_start_is_refused_at_once_while_the_agent_is_away_and_a_cancel_is_not(
    agent: Agent, thread: SerfThread, news: List[Callable[..., None]]
) -> None:
    agent.close()
    wait_until(lambda: Heard(news).problem, "the engine to hear that the agent is away")
    thread.submit(order("cancel", "n1"))
    thread.submit(order("start", "n1", "n2"))
    (refusal,) = wait_until(lambda: Heard(news).refusals, "the refusal", patience=3.0)
    assert refusal[:2] == ("start", ("n1", "n2")) and "is away" in refusal[2]
