"""How long the server waits for its Serf agent, and commands for it: single steps of the thread.

The clock is ours.
"""

from __future__ import annotations

import selectors
import socket
import time
from types import SimpleNamespace
from typing import Callable, Iterator, List, Tuple

import msgpack
import pytest
from api_desk import key_of

from push_jobs_server.engine.serf_orders import NodeKind, Order
from push_jobs_server.transports import serf
from push_jobs_server.transports.serf import (
    ANSWER_WITHIN,
    CANCEL_LASTS,
    ENTER_WITHIN,
    SerfPlace,
    SerfThread,
)
from push_jobs_wire.errors import RemoteError


class Talk:
    """A thread that does not run, on one end of a connection whose other end is the agent's."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.refusals: List[Tuple[str, str]] = []
        place = SerfPlace("127.0.0.1", 1, None, 1024)
        self.thread = SerfThread(place, key_of("serf"), self._hear, lambda *_: None)
        self.link = self.thread._link
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.ours, selectors.EVENT_READ)
        self.link.opened()

    def enter(self) -> None:
        """The agent lets us in; numbers of requests go on from 4, of which 3 is for the members."""
        for seq in (1, 2, 3):
            self.answer(seq, {"Members": []} if seq == 3 else None)
            self.turn()
        assert self.link.ready and self.link.due is None

    def answer(self, seq: int, body: object = None) -> None:
        """The agent answers a request."""
        header = msgpack.packb({"Error": "", "Seq": seq})
        self.theirs.sendall(header + (msgpack.packb(body) if body is not None else b""))

    def turn(self) -> None:
        """One turn of the thread, which has something to read or has waited for long enough."""
        self.thread._turn(self.selector, self.ours)

    def _hear(self, news: Callable[..., None]) -> None:
        def refused(order: Order, nodes: Tuple[str, ...], reason: str) -> None:
            assert nodes == order.nodes
            self.refusals.append((nodes[0], reason))

        news(SimpleNamespace(serf=SimpleNamespace(refused=refused)))

    def close(self) -> None:
        """Close all sockets."""
        self.selector.close()
        for each in (self.ours, self.theirs, self.thread._wake_read, self.thread._wake_write):
            each.close()


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Talk]:
    made = Talk()
    clock = SimpleNamespace(monotonic=lambda: made.now, time=time.time)
    monkeypatch.setattr(serf, "time", clock)
    yield made
    made.close()


def test_an_agent_that_lets_nobody_in(talk: Talk) -> None:
    assert talk.thread._patience() == ENTER_WITHIN
    talk.now += ENTER_WITHIN
    with pytest.raises(RemoteError, match="did not answer for 10 s"):
        talk.turn()


def test_an_agent_that_answers_no_more(talk: Talk) -> None:
    talk.enter()
    talk.link.query("q", b"", ["n1"])
    assert talk.thread._patience() == ANSWER_WITHIN
    talk.now += ANSWER_WITHIN
    with pytest.raises(RemoteError, match="did not answer for 5 s"):
        talk.turn()


def test_nobody_waits_when_all_is_answered(talk: Talk) -> None:
    """Acknowledgements may follow the answer to a query, or not: they are no part of it."""
    talk.enter()
    assert talk.thread._patience() is None
    talk.link.query("q", b"", ["n1"], ack=True)
    talk.link.respond(7, b"")
    talk.answer(4)
    talk.turn()
    assert (talk.link.due, talk.thread._patience()) == (5, ANSWER_WITHIN)
    talk.now += ANSWER_WITHIN - 1
    assert talk.thread._patience() == 1.0
    talk.answer(5)
    talk.turn()
    assert talk.thread._patience() is None


def test_an_agent_that_answers_one_after_the_other_has_the_time_for_each(talk: Talk) -> None:
    talk.enter()
    for _ in range(3):
        talk.link.query("q", b"", ["n1"])
    for seq in (4, 5, 6):
        assert talk.thread._patience() == ANSWER_WITHIN
        talk.now += ANSWER_WITHIN - 1
        talk.answer(seq)
        talk.turn()
    assert talk.thread._patience() is None


def test_an_answer_that_came_while_we_were_held_up_counts(talk: Talk) -> None:
    talk.enter()
    talk.link.query("q", b"", ["n1"])
    assert talk.thread._patience() == ANSWER_WITHIN
    talk.answer(4)
    talk.now += 100 * ANSWER_WITHIN
    talk.turn()
    assert talk.thread._patience() is None


def test_an_agent_that_takes_nothing_is_not_one_that_answers(talk: Talk) -> None:
    talk.enter()
    while not talk.thread._flush(talk.ours):
        talk.link.query("q", b"x" * 65536, ["n1"])
    assert talk.thread._patience() == ANSWER_WITHIN
    talk.now += ANSWER_WITHIN
    with pytest.raises(RemoteError, match="did not answer"):
        talk.turn()


def test_a_peer_that_is_gone_without_a_word_is_noticed_by_the_system() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = SerfPlace("127.0.0.1", listener.getsockname()[1], None, 1024)
        thread = SerfThread(place, key_of("serf"), lambda _: None, lambda *_: None)
        with thread._wake_read, thread._wake_write, thread._connect() as connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


# Commands that wait


def order(action: str, node: str) -> Order:
    return Order(action, "0" * 31 + "1", "ls", 300, (node,), NodeKind.OTHER)


def test_a_cancel_waits_for_an_agent_that_is_away_but_not_for_ever(talk: Talk) -> None:
    talk.link.lost("it is away")
    talk.thread.submit(order("cancel", "n1"))
    talk.now += CANCEL_LASTS - 1
    talk.thread._send_orders()
    assert talk.refusals == [] and CANCEL_LASTS <= 60.0
    talk.now += 1
    talk.thread._send_orders()
    assert talk.refusals == [("n1", "it is away")]
    talk.thread._send_orders()
    assert len(talk.refusals) == 1


def test_a_command_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serf, "_MOST_ORDERS", 1)
    talk = Talk()
    for node in ("n1", "n2"):
        talk.thread.submit(order("start", node))
    assert talk.refusals == [("n2", "too many commands wait for the Serf agent")]
    talk.close()
