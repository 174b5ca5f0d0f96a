"""The engine's thread over real CURVE sockets: a job, refused keys, bad frames, a port in use."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Deque, Dict, Iterator, List, Sequence, Tuple

import pytest
import zmq
from engine_desk import KEYS
from engine_run import KEY, finish, frames, run_a_job, thread_of
from engine_sockets import LARGEST, Node, open_transport
from waiting import wait_until

from push_jobs_server.engine.access import Access
from push_jobs_server.records import Grant
from push_jobs_server.transports.zeromq import TransportError, ZeroMQTransport
from push_jobs_wire.messages import Heartbeat

CUT_OFF = 2**20
"""Bytes of a frame past which the connection itself ends, for messages of up to ``LARGEST``."""


class Scene:
    """A running engine that admits the nodes a and b of acme, and nobody else."""

    def __init__(self) -> None:
        self.pairs = {name: zmq.curve_keypair() for name in ("a", "b", "stranger")}
        grants = [
            Grant(self.pairs[name][0].decode(), "acme", name, time.time() + 600)
            for name in ("a", "b")
        ]
        access = Access(KEYS, grants)
        self.logged: Deque[Dict[str, object]] = deque()
        self.transport, self._public = open_transport(access)
        self.thread = thread_of(self.transport, access, self._log)
        self._context = zmq.Context()
        self._nodes: List[Node] = []

    def _log(self, event: str, details: Dict[str, object]) -> None:
        if event == "message dropped":
            self.logged.append(details)

    def connect(self, name: str, events: int = zmq.EVENT_HANDSHAKE_FAILED_AUTH) -> Node:
        """A new connection with the CURVE pair of this name, which watches for these events."""
        socket = self._context.socket(zmq.DEALER)
        socket.curve_publickey, socket.curve_secretkey = self.pairs[name]
        socket.curve_serverkey = self._public
        node = Node(socket, socket.get_monitor_socket(events))
        self._nodes.append(node)
        socket.connect(f"tcp://127.0.0.1:{self.transport.command_port}")
        return node

    def dropped(self) -> Dict[str, int]:
        """How many messages were dropped, by reason."""
        found: Any = self.thread.ask(lambda engine, answer: answer(dict(engine.inbox.dropped)))
        return dict(found)

    def online(self) -> List[str]:
        """The nodes that the engine has heard of."""
        found: Any = self.thread.ask(lambda engine, answer: answer(engine.nodes("acme")))
        return [node.name for node in found]

    def close(self) -> None:
        """Close every socket, whatever happened."""
        for node in self._nodes:
            node.close()
        self._context.term()
        finish(self.thread)


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.close()


def test_a_job_over_curve_sockets(scene: Scene) -> None:
    node = scene.connect("a")
    run_a_job(scene.thread, node.send, node.read)
    assert scene.dropped() == {}


def test_an_unknown_key_is_refused_and_the_others_are_served(scene: Scene) -> None:
    stranger = scene.connect("stranger")
    stranger.wait_for_event()
    node = scene.connect("a")
    run_a_job(scene.thread, node.send, node.read)
    assert scene.online() == ["a"]


CUT = frames(Heartbeat(), 1)
HOSTILE: Dict[str, Tuple[str, Sequence[bytes]]] = {
    "one frame": ("malformed", [b"x"]),
    "three frames": ("malformed", [b"x", b"y", b"z"]),
    "empty frames": ("malformed", [b"", b""]),
    "half a body": ("malformed", [CUT[0], CUT[1][:-20]]),
    "too large": ("too_large", [b"x", b"y" * (LARGEST + 1)]),
    "of another node": ("foreign", frames(Heartbeat(), 1, node="b", key=KEYS["acme", "b"])),
    "signed by another": ("bad_signature", frames(Heartbeat(), 1, key=b"x" * 32)),
    "half a header": ("bad_signature", [CUT[0][:-20], CUT[1]]),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_message_is_counted_and_logged_and_changes_nothing(
    scene: Scene, what: str
) -> None:
    reason, parts = HOSTILE[what]
    node = scene.connect("a")
    node.send(parts)
    details = wait_until(lambda: scene.logged and scene.logged.popleft())
    assert details["reason"] == reason and "acme/a" in str(details["detail"])
    assert scene.dropped() == {reason: 1} and scene.online() == []
    run_a_job(scene.thread, node.send, node.read)


def test_a_replayed_message_is_counted_on_the_connection_of_its_node(scene: Scene) -> None:
    node = scene.connect("a")
    beat = frames(Heartbeat(extensions=1, jobs=()), 1)
    node.send(beat)
    node.send(beat)
    details = wait_until(lambda: scene.logged and scene.logged.popleft())
    assert details == {"reason": "replayed", "detail": "from acme/a"}
    assert (node.read(), scene.dropped()) == ("ack", {"replayed": 1})


def test_a_message_that_another_node_captured_is_foreign(scene: Scene) -> None:
    node, thief = scene.connect("a"), scene.connect("b")
    beat = frames(Heartbeat(extensions=1, jobs=()), 1, key=KEY)
    node.send(beat)
    assert node.read() == "ack"
    thief.send(beat)
    details = wait_until(lambda: scene.logged and scene.logged.popleft())
    assert details["detail"] == "acme/b sent a message in the name of acme/a"
    assert scene.online() == ["a"]


def test_a_frame_past_all_measure_ends_its_connection_alone(scene: Scene) -> None:
    flooder = scene.connect("b", zmq.EVENT_DISCONNECTED)
    flooder.send([b"x", b"y" * (CUT_OFF + 1)])
    flooder.wait_for_event()
    node = scene.connect("a")
    run_a_job(scene.thread, node.send, node.read)
    assert scene.online() == ["a"]


def refusal_of(heartbeat: int, command: int) -> str:
    public, secret = (key.decode() for key in zmq.curve_keypair())
    with pytest.raises(TransportError) as caught:
        ZeroMQTransport("127.0.0.1", heartbeat, command, public, secret, str, LARGEST)
    return str(caught.value)


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    first, _ = open_transport(Access({}, ()))
    try:
        command, beats = first.command_port, first.heartbeat_port
        text = refusal_of(0, command)
        assert f"127.0.0.1:{command} (command port)" in text
        assert "is another server running? Change zeromq.command_port" in text
        text = refusal_of(beats, 0)
        assert f"127.0.0.1:{beats} (heartbeat port)" in text and "zeromq.heartbeat_port" in text
    finally:
        first.close()
