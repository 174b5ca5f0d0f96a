"""A session machine on a desk: its clock, its transport, its runner and its server are all ours.

No sockets, no processes, no sleeping. ``Desk`` plays the service, ``ScriptedServer`` the server
that signs what it says and checks what it hears, ``ScriptedRunner`` the runner.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Tuple, Type, TypeVar

from cryptography.hazmat.primitives.asymmetric import rsa

from push_jobs_agent.actions import (
    Action,
    Ask,
    Connect,
    Fetch,
    Log,
    Now,
    ReadOutput,
    ReadPart,
    Send,
)
from push_jobs_agent.server_settings import ServerSettings
from push_jobs_agent.session import Session
from push_jobs_agent.transports.base import Incoming, Kind
from push_jobs_agent.transports.memory import MemoryTransport
from push_jobs_wire import framing, messages
from push_jobs_wire.messages import Heartbeat, NodeMessage, Origin, Output, Reply, ServerMessage
from push_jobs_wire.states import AgentState

START = Now(1000.0, 1767225600.0)
KEY = bytes(range(32))
ORIGIN = Origin("acme", "web1", "incarnation-of-agent", "web1.example.test")
JOB = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"

M = TypeVar("M")


@lru_cache(maxsize=2)
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """A key of a server; another number, another key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def server_settings(**changes: Any) -> ServerSettings:
    """Settings of a server with our extensions."""
    numbers = rsa_key().public_key().public_numbers()
    settings = ServerSettings(
        command_addr="tcp://127.0.0.1:10002",
        heartbeat_addr="tcp://127.0.0.1:10000",
        interval=10.0,
        offline_threshold=3,
        online_threshold=2,
        modulus=numbers.n,
        exponent=numbers.e,
        session_key=KEY,
        curve_key="c" * 40,
        lifetime=3600.0,
        max_message_skew=300.0,
        max_body_size=65536,
        incarnation_id="server-1",
        extensions=1,
    )
    return replace(settings, **changes)


def commit(
    job_id: Optional[str] = JOB, command: str = "chef-client", **more: Any
) -> messages.Commit:
    """A commit as a server sends it."""
    return messages.Commit(job_id, command, server="push.example.test", **more)


@dataclass
class ScriptedRunner:
    """Answers what the session asks, as the test wants it; ``held`` are requests kept waiting."""

    answers: Dict[str, Mapping[str, Any]] = field(default_factory=dict)
    asked: List[Ask] = field(default_factory=list)
    hold: bool = False
    held: Deque[Ask] = field(default_factory=deque)
    output: Dict[str, Tuple[bytes, bytes]] = field(default_factory=dict)

    def answer(self, ask: Ask) -> Optional[Mapping[str, Any]]:
        """The reply to a request, or None when it has to wait."""
        self.asked.append(ask)
        if self.hold:
            self.held.append(ask)
            return None
        return self.answers.get(ask.op, {"ok": True})

    def part(self, part: ReadPart) -> bytes:
        """A piece of output in the spool."""
        channels = self.output.get(part.job_id, (b"", b""))
        content = channels[messages.STREAMS.index(part.stream)]
        return content[part.offset : part.offset + part.most]

    def ops(self, op: str) -> List[Mapping[str, Any]]:
        """The fields of all requests of one kind so far."""
        return [ask.fields for ask in self.asked if ask.op == op]


class ScriptedServer:
    """Signs, numbers and checks like a server."""

    def __init__(self, desk: "Desk") -> None:
        self._desk = desk
        self._sequence = 0
        self.key = KEY
        self.incarnation_id = "server-1"

    def body(self, message: ServerMessage, wall: Optional[float] = None) -> bytes:
        """A body as it would be sent now, or at another time."""
        self._sequence += 1
        when = self._desk.now.wall if wall is None else wall
        return messages.encode_server(message, self._sequence, framing.format_timestamp(when))

    def frames(self, message: ServerMessage, wall: Optional[float] = None) -> Tuple[bytes, bytes]:
        """A signed command."""
        body = self.body(message, wall)
        return framing.seal_hmac(self.key, body), body

    def say(self, message: ServerMessage) -> None:
        """Send a command and let the agent react."""
        self._desk.transport.peer.command(*self.frames(message))
        self._desk.pump()

    def beat(self, incarnation_id: Optional[str] = None) -> None:
        """Broadcast a heartbeat and let the agent react."""
        mine = incarnation_id or self.incarnation_id
        body = self.body(messages.ServerHeartbeat("push01", mine))
        self._desk.transport.peer.broadcast(framing.seal_rsa(rsa_key(), body), body)
        self._desk.pump()

    def fields(self) -> List[Dict[str, Any]]:
        """The bodies of all that was heard since the last call; every signature is checked."""
        received = self._desk.transport.peer.received
        bodies = []
        while received:
            header, body = received.popleft()
            framing.check_hmac(self.key, framing.parse_header(header), body)
            bodies.append(messages.load(body))
            framing.check_timestamp(bodies[-1]["timestamp"], self._desk.now.wall, 300.0)
        return bodies

    def heard(self) -> List[NodeMessage]:
        """All that was heard since the last call."""
        return [messages.decode_node(fields) for fields in self.fields()]

    def output(self) -> List[Output]:
        """All output that was heard since the last call."""
        return _only(Output, self.heard())

    def replies(self) -> List[Reply]:
        """All that was heard about jobs since the last call."""
        return _only(Reply, self.heard())

    def heartbeats(self) -> List[Heartbeat]:
        """All heartbeats that were heard since the last call."""
        return _only(Heartbeat, self.heard())


def _only(kind: Type[M], heard: List[NodeMessage]) -> List[M]:
    return [message for message in heard if isinstance(message, kind)]


class Desk:
    """The session with everything around it. ``chance`` is what a throw of the dice gives."""

    def __init__(self, max_body_size: int = 63000) -> None:
        self.now = START
        self.chance = 0.0
        self.transport = MemoryTransport()
        self.runner = ScriptedRunner()
        self.server = ScriptedServer(self)
        self.fetches: List[str] = []
        self.logs: List[Log] = []
        self.session = Session(ORIGIN, "0.1.0", max_body_size, 10.0, lambda: self.chance)

    # The service's part

    def do(self, actions: List[Action]) -> None:
        """Carry out actions."""
        todo = deque(actions)
        while todo:
            todo.extend(self._carry_out(todo.popleft()))

    def _carry_out(self, action: Action) -> List[Action]:
        if isinstance(action, Send):
            taken = self.transport.send((action.header, action.body))
            return self.session.sent(action, taken, self.now)
        if isinstance(action, ReadOutput):
            output = self.runner.output.get(action.job_id)
            return self.session.output_read(action.job_id, output, self.now)
        if isinstance(action, ReadPart):
            data = self.runner.part(action)
            return self.session.part_read(action, action.offset, data, self.now)
        if isinstance(action, Ask):
            reply = self.runner.answer(action)
            return [] if reply is None else self.session.runner_answered(action, reply, self.now)
        if isinstance(action, Connect):
            self.transport.open(action.settings)
        elif isinstance(action, Fetch):
            self.fetches.append(action.cause)
        elif isinstance(action, Log):
            self.logs.append(action)
        return []

    def pump(self) -> None:
        """Hand over what the server said, then turn the timers once."""
        handlers: Dict[Kind, Callable[[Incoming], List[Action]]] = {
            Kind.COMMAND: lambda news: self.session.command_received(news.frames, self.now),
            Kind.BROADCAST: lambda news: self.session.broadcast_received(news.frames, self.now),
            Kind.CONNECTED: lambda news: self.session.connected(self.now),
            Kind.LOST: lambda news: self.session.connection_lost(self.now),
            Kind.REFUSED: lambda news: self.session.connection_refused(news.detail, self.now),
        }
        for incoming in self.transport.receive(1000):
            self.do(handlers[incoming.kind](incoming))
        self.do(self.session.tick(self.now))

    def advance(self, seconds: float, beats: bool = False) -> None:
        """Let time pass, turning timers when they want it; ``beats`` are those of the server."""
        end = self.now.steady + seconds
        beat_at = self.now.steady + 10.0 if beats else float("inf")
        for _ in range(10000):
            wake = min(max(self.session.next_call(self.now), self.now.steady), end, beat_at)
            self.now = Now(wake, self.now.wall + wake - self.now.steady)
            if wake == beat_at:
                beat_at += 10.0
                self.server.beat()
            self.pump()
            if wake >= end:
                return
        raise AssertionError("the session wants to be called for ever without time passing")

    # Short ways to a state

    def found(self, *jobs: Mapping[str, Any]) -> None:
        """A runner is there and has these jobs."""
        hello = {"ok": True, "version": "0.1.0", "pid": 1, "names": [], "jobs": list(jobs)}
        self.do(self.session.runner_found(hello, self.now))

    def reach(self, **changes: Any) -> None:
        """Fetch settings and come up to a proven connection that has sent both first heartbeats."""
        self.pump()
        self.do(self.session.settings_fetched(server_settings(**changes), self.now))
        self.transport.peer.accept()
        self.pump()
        self.server.say(messages.Ack())
        self.advance(1.0)

    def printed(self, job_id: str, stdout: bytes, stderr: bytes = b"") -> None:
        """The runner says that a job that captures has printed so much by now."""
        self.runner.output[job_id] = (stdout, stderr)
        sizes = {"stdout_size": len(stdout), "stderr_size": len(stderr)}
        job = spooled(job_id, capture=True, **sizes)
        self.do(self.session.runner_event({"event": "output", "job": job}, self.now))
        self.pump()

    def ended(self, job_id: str = JOB, result: str = "succeeded", **more: Any) -> None:
        """The runner says that a job ended."""
        stdout, stderr = self.runner.output.get(job_id, (b"", b""))
        sizes = {"stdout_size": len(stdout), "stderr_size": len(stderr)}
        job = spooled(job_id, result=result, state="ended", **sizes, **more)
        self.do(self.session.runner_event({"event": "ended", "job": job}, self.now))
        self.pump()

    def release_held(self) -> None:
        """Answer all requests that were kept waiting."""
        self.runner.hold = False
        while self.runner.held:
            ask = self.runner.held.popleft()
            reply = self.runner.answers.get(ask.op, {"ok": True})
            self.do(self.session.runner_answered(ask, reply, self.now))

    def state(self) -> AgentState:
        """What the session holds now."""
        return self.session.state

    def logged(self, text: str) -> List[Log]:
        """All log lines so far with this text."""
        return [line for line in self.logs if line.text == text]


def spooled(job_id: str = JOB, **changes: Any) -> Dict[str, Any]:
    """A job in the runner's words; running unless changed."""
    job: Dict[str, Any] = {
        "job_id": job_id,
        "state": "running",
        "result": None,
        "exit_code": None,
        "signal": None,
        "reason": None,
        "started_at": 1767225600.5,
        "ended_at": None,
        "capture": False,
    }
    return dict(job, **changes)


def ready_desk(**changes: Any) -> Desk:
    """A desk with a runner and a proven connection; nothing waits to be heard."""
    desk = Desk()
    desk.found()
    desk.reach(**changes)
    desk.server.heard()
    return desk


def running_desk(**changes: Any) -> Desk:
    """A desk on which the job runs; nothing waits to be heard."""
    capture = changes.pop("capture", False)
    desk = ready_desk(**changes)
    desk.server.say(commit(capture=capture))
    desk.server.say(messages.Run(JOB))
    desk.server.heard()
    return desk
