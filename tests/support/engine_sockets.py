"""An engine over real CURVE sockets, and nodes that say to it what a test wants, right or wrong."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import zmq
from engine_desk import request
from engine_run import PATIENCE, finish, thread_of

from push_jobs_server.engine.access import Access
from push_jobs_server.engine.cancels import CancelRequest
from push_jobs_server.engine.core import Engine, EngineRules
from push_jobs_server.engine.events import Event
from push_jobs_server.records import Grant, JobRecord
from push_jobs_server.transports.zeromq import ZeroMQTransport
from push_jobs_wire.framing import format_timestamp, seal_hmac
from push_jobs_wire.messages import (
    Heartbeat,
    JobRef,
    NodeMessage,
    Origin,
    Output,
    Reply,
    Unknown,
    encode_node,
)
from push_jobs_wire.states import NodeInput

LARGEST = 65536
MARK = "mark-"


def open_transport(access: Access) -> Tuple[ZeroMQTransport, bytes]:
    """The server's sockets on free ports, and its CURVE key."""
    public, secret = zmq.curve_keypair()
    transport = ZeroMQTransport(
        "127.0.0.1",
        0,
        0,
        public.decode(),
        secret.decode(),
        lambda key: access.user_id(key, time.time()),
        LARGEST,
    )
    return transport, public


class Node:
    """A node's end of a command connection."""

    def __init__(self, socket: "zmq.Socket[bytes]", events: "zmq.Socket[bytes]") -> None:
        self.socket = socket
        self._events = events

    def send(self, parts: Sequence[bytes]) -> None:
        """Send the frames of one message."""
        self.socket.send_multipart(parts)

    def read(self) -> str:
        """The type of the next message."""
        return str(self.read_fields()["type"])

    def read_fields(self) -> Dict[str, Any]:
        """The body of the next message."""
        assert self.socket.poll(int(PATIENCE * 1000)), "the server is silent"
        header, body = self.socket.recv_multipart()
        return dict(json.loads(body))

    def wait_for_event(self) -> None:
        """Wait for one of the events that were asked for."""
        assert self._events.poll(int(PATIENCE * 1000)), "nothing happened to the connection"
        self._events.recv_multipart()

    def close(self) -> None:
        """Hang up. Without this the sockets' context never ends."""
        self.socket.disable_monitor()
        self._events.close(linger=0)
        self.socket.close(linger=0)


class Speaker:
    """A node of acme on its own connection: an old agent, unless it speaks otherwise.

    Its sequence starts anew with each connection. ``age`` is by how many seconds its clock is slow.
    """

    def __init__(self, name: str, node: Node, key: bytes, age: float) -> None:
        self.name = name
        self.incarnation = "one"
        self._node = node
        self._key = key
        self._age = age
        self._numbers = itertools.count(1)

    def say(self, message: NodeMessage) -> None:
        """Send a signed message."""
        body = self._body(message, next(self._numbers), time.time() - self._age)
        self._node.send([seal_hmac(self._key, body), body])

    def _body(self, message: NodeMessage, sequence: int, at: float) -> bytes:
        stamp = format_timestamp(at)
        if not isinstance(message, Unknown):
            origin = Origin("acme", self.name, self.incarnation)
            return encode_node(origin, message, sequence, stamp)
        fields = {"org": "acme", "node": self.name, "type": message.type}
        return json.dumps({**fields, "timestamp": stamp, "sequence": sequence}).encode()

    def reply(self, kind: NodeInput, job_id: Optional[str]) -> None:
        """Say something about a job."""
        self.say(Reply(kind, JobRef(job_id)))

    def told(self) -> List[str]:
        """The types of all that the server has sent by now.

        The server answers output with an acknowledgement, after all that it had to say before.
        """
        mark = f"{MARK}{next(self._numbers)}"
        self.say(Output(JobRef(mark), "stdout", 0, b"x"))
        types: List[str] = []
        while True:
            fields = self._node.read_fields()
            if fields["type"] == "output_ack" and fields["job_id"] == mark:
                return types
            types.append(str(fields["type"]))

    def hear(self) -> Dict[str, Any]:
        """The next message of the server, which is waited for."""
        return self._node.read_fields()

    def join(self) -> None:
        """Come online as an old agent does: abort what may be going on, then be available."""
        self.say(Heartbeat())
        self.confirm()

    def confirm(self) -> None:
        """Hear what was said, and confirm an abort if there is one."""
        if "abort" in self.told():
            self.reply(NodeInput.ABORTED, None)
            self.told()

    def close(self) -> None:
        """Hang up."""
        self._node.close()


class Stage:
    """A running engine that admits nodes as they come.

    Args:
        unfinished: jobs that an earlier run of the server left.
        rehab_interval: of the engine; without it no abort is repeated while a test looks on.
    """

    def __init__(self, unfinished: Sequence[JobRecord] = (), rehab_interval: float = 600.0) -> None:
        self.events: List[Event] = []
        self._access = Access({}, ())
        self._transport, self._public = open_transport(self._access)
        rules = EngineRules(rehab_interval=rehab_interval)
        self._thread = thread_of(
            self._transport, self._access, rules=rules, unfinished=unfinished, listener=self
        )
        self._context = zmq.Context()
        self._speakers: List[Speaker] = []
        self._jobs = itertools.count(1)

    # A listener of the engine

    def publish(self, events: Sequence[Event]) -> None:
        """See ``Listener.publish``; the marks of ``Speaker.told`` are no events of a test."""
        self.events.extend(event for event in events if not event.job_id.startswith(MARK))

    def break_off(self, events: Sequence[Event]) -> None:
        """See ``Listener.break_off``."""

    # What a test does

    def node(self, name: str) -> Speaker:
        """A new connection of a node that was admitted just now."""
        public, secret = zmq.curve_keypair()
        key = name.encode().ljust(32, b"-")
        grant = Grant(public.decode(), "acme", name, time.time() + 600)
        # The same words in the same second on two connections would be a replay.
        age = sum(speaker.name == name for speaker in self._speakers)

        def admit(engine: Engine, answer: Any) -> None:
            engine.admission.admit(grant, key, answer)

        self._thread.ask(admit)
        socket = self._context.socket(zmq.DEALER)
        socket.curve_publickey, socket.curve_secretkey = public, secret
        socket.curve_serverkey = self._public
        speaker = Speaker(name, Node(socket, socket.get_monitor_socket(0)), key, age)
        self._speakers.append(speaker)
        socket.connect(f"tcp://127.0.0.1:{self._transport.command_port}")
        return speaker

    def start(self, *names: str, **details: Any) -> str:
        """Start a job and return its id."""
        made, job_id = request(names, **details), f"job-{next(self._jobs)}"
        self._thread.ask(lambda engine, answer: engine.starts.ask(job_id, made, answer))
        return job_id

    def cancel(self, job_id: str, *names: str) -> None:
        """Cancel a job on these nodes."""
        asked = CancelRequest("acme", job_id, "alice", "user", names)
        self._thread.ask(lambda engine, answer: engine.cancels.ask(asked, answer))

    def time_out(self, job_id: str) -> None:
        """Let the time of the vote or of the run be over."""

        def tick(engine: Engine, answer: Any) -> None:
            job = engine.jobs.by_id[job_id]
            job.tick(job.deadline() or 0.0)
            answer(None)

        self._thread.ask(tick)

    def repeat_aborts(self) -> None:
        """Let the pause after every abort be over."""

        def tick(engine: Engine, answer: Any) -> None:
            engine.roster.tick(max(engine.roster.wakeups(), default=engine.now))
            answer(None)

        self._thread.ask(tick)

    def job(self, job_id: str) -> Tuple[str, Dict[str, str]]:
        """The status of a job, and of its nodes."""

        def look(engine: Engine, answer: Any) -> None:
            job = engine.jobs.by_id[job_id]
            answer((job.status.value, {name: each.value for name, each in job.nodes.items()}))

        found: Tuple[str, Dict[str, str]] = self._thread.ask(look)
        return found

    def available(self, name: str) -> bool:
        """Whether a node may be asked."""
        return bool(
            self._thread.ask(lambda engine, answer: answer(engine.node(("acme", name)).available))
        )

    def told(self, job_id: str, name: str) -> List[Tuple[str, str]]:
        """The events of a job about a node."""
        return [
            (event.name, str(event.data.get("status", "")))
            for event in self.events
            if event.job_id == job_id and event.data.get("node") == name
        ]

    def hang_up(self, speakers: Iterable[Speaker]) -> None:
        """End connections that are of no use any more."""
        for speaker in speakers:
            self._speakers.remove(speaker)
            speaker.close()

    def close(self) -> None:
        """Close every socket, whatever happened."""
        self.hang_up(list(self._speakers))
        self._context.term()
        finish(self._thread)
