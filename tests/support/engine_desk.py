"""An engine without threads, sockets or clock: the test sends and reads frames, and stores."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from push_jobs_server.engine.access import Access
from push_jobs_server.engine.core import Batch, Engine, EngineRules
from push_jobs_server.engine.events import Event
from push_jobs_server.engine.node import NodeKey
from push_jobs_server.engine.serf_orders import SerfKnown
from push_jobs_server.node_records import NodeSighted
from push_jobs_server.records import Change, Grant, JobRecord, JobRequest
from push_jobs_wire.framing import format_timestamp, seal_hmac
from push_jobs_wire.messages import Heartbeat, JobRef, Origin, Output, Reply, encode_node
from push_jobs_wire.states import AgentState, NodeInput

START = 1_767_225_600.0
KEYS = {
    (org, node): bytes(range(32))
    for org in ("acme", "other")
    for node in ("a", "b", "c", "p1", "p2", "s1")
}


class EngineDesk:
    """Drives one engine; ``stored`` and ``events`` hold what the test let through.

    What is only for people to know (``noted``) is let through at once, unless it comes with others.
    """

    def __init__(
        self,
        unfinished: Sequence[JobRecord] = (),
        grants: Sequence[Grant] = (),
        rules: EngineRules = EngineRules(),
        sighted: Sequence[NodeSighted] = (),
        keys_made: Mapping[NodeKey, float] = MappingProxyType({}),
        serf: Optional[SerfKnown] = None,
    ) -> None:
        self.now = START
        self.logged: List[str] = []
        access = Access(KEYS, grants)
        self.engine = Engine(
            rules, "run-1", access, unfinished, START, self._log, sighted, keys_made, serf
        )
        self.stored: List[Change] = []
        self.events: List[Event] = []
        self.noted: List[NodeSighted] = []
        self.answers: List[object] = []
        self.sent: List[Tuple[str, Dict[str, Any]]] = []
        self.held: List[Batch] = []
        self.sequence = 0
        self.begin()

    def _log(self, event: str, details: Dict[str, object]) -> None:
        self.logged.append(event)

    def begin(self) -> None:
        self.engine.begin(self.now, self.now)

    def body(
        self,
        node: str,
        message: Union[Heartbeat, Reply, Output],
        org: str = "acme",
        incarnation: str = "one",
        at: Optional[float] = None,
    ) -> bytes:
        self.sequence += 1
        stamp = format_timestamp(self.now if at is None else at)
        return encode_node(Origin(org, node, incarnation), message, self.sequence, stamp)

    def raw(self, frames: Sequence[bytes], user: Optional[str], address: bytes = b"@a") -> None:
        """Deliver any frames in a pass of their own."""
        self.begin()
        self.engine.receive(address, user, frames)
        self.collect()

    def say(
        self, node: str, message: Union[Heartbeat, Reply, Output], incarnation: str = "one"
    ) -> None:
        """A signed message of a node of acme."""
        body = self.body(node, message, incarnation=incarnation)
        header = seal_hmac(KEYS["acme", node], body)
        self.raw([header, body], f"acme/{node}", b"@" + node.encode())

    def reply(self, node: str, kind: NodeInput, job: Optional[str] = "j1", **details: Any) -> None:
        self.say(node, Reply(kind, JobRef(job), **details))

    def beat(self, node: str, job: Optional[str] = None, **details: Any) -> None:
        state = details.pop("state", AgentState.RUNNING if job else AgentState.IDLE)
        incarnation = details.pop("incarnation", "one")
        self.say(node, Heartbeat(state, JobRef(job), **details), incarnation)

    def old_agents(self, *nodes: str) -> None:
        """Old agents come online and become available."""
        for node in nodes:
            self.beat(node)
            self.reply(node, NodeInput.ABORTED, None)
        self.sent.clear()

    def collect(self) -> None:
        """Take what the pass produced; batches without changes wait for nothing."""
        while True:
            batches = list(self.engine.take_batches().values())
            if not batches:
                break
            for batch in batches:
                if self._note(batch) or batch.events:
                    self.held.append(batch)
                else:
                    self._settle(batch)
        for address, _, body in self.engine.take_frames():
            self.sent.append((address.decode()[1:], json.loads(body)))

    def _note(self, batch: Batch) -> List[Change]:
        """Take out what is only noted; what is left."""
        self.noted += [change for change in batch.changes if isinstance(change, NodeSighted)]
        batch.changes = [each for each in batch.changes if not isinstance(each, NodeSighted)]
        return batch.changes

    def _settle(self, batch: Batch) -> None:
        self.events.extend(batch.events)
        for act in batch.after:
            act()

    def store(self) -> None:
        """The writer commits everything that waits, and what follows from that."""
        while self.held:
            self.begin()
            batch = self.held.pop(0)
            self.stored.extend(batch.changes)
            self._settle(batch)
            self.collect()

    def fail(self, error: Exception) -> None:
        """The writer can't store what waits."""
        waiting, self.held = self.held, []
        for batch in waiting:
            for failed in batch.failed:
                failed(error)
        self.collect()

    def wait(self, seconds: float) -> None:
        """Let time pass and the timers turn."""
        self.now += seconds
        self.begin()
        self.engine.tick()
        self.collect()

    def ask(self, job_id: str = "j1", nodes: Sequence[str] = ("a",), **details: Any) -> None:
        """Ask for a job; nothing is stored yet."""
        self.begin()
        self.engine.starts.ask(job_id, request(nodes, **details), self.answers.append)
        self.collect()

    def start(self, job_id: str = "j1", nodes: Sequence[str] = ("a",), **details: Any) -> None:
        """Start a job and store it."""
        self.ask(job_id, nodes, **details)
        self.store()

    def types(self, node: str) -> List[str]:
        """Types of the messages to a node since the last look."""
        found = [str(fields["type"]) for name, fields in self.sent if name == node]
        self.sent = [each for each in self.sent if each[0] != node]
        return found

    def job(self, job_id: str = "j1") -> Tuple[str, Dict[str, str]]:
        """Status words of a job and of its nodes."""
        job = self.engine.jobs.by_id[job_id]
        return job.status.value, {name: status.value for name, status in job.nodes.items()}


def request(nodes: Sequence[str], **details: Any) -> JobRequest:
    """A job request of acme."""
    fields: Dict[str, Any] = {
        "org": "acme",
        "command": "chef-client",
        "quorum": len(nodes),
        "run_timeout": 3600,
        "requestor": "alice",
        "requestor_kind": "user",
    }
    return JobRequest(nodes=tuple(nodes), **{**fields, **details})
