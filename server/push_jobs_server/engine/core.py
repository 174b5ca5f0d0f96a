"""The engine: frames and requests in, frames, changes to store and answers out. Pure.

One thread owns an engine. It calls ``begin`` with the time at the start of each pass, hands in what
arrived, then takes ``outbox`` (frames to send) and ``take_batches`` (changes to store). What must
not happen before a change is stored waits in the batch, as do the events that tell of it.
Sources: architecture 3; pushy-protocol 6; pushy-api 5.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from push_jobs_server.engine.access import Access
from push_jobs_server.engine.admission import Admission
from push_jobs_server.engine.cancels import Cancels
from push_jobs_server.engine.dialogue import Dialogue
from push_jobs_server.engine.events import Event, Told
from push_jobs_server.engine.inbox import Inbox
from push_jobs_server.engine.job import JobMachine, Report
from push_jobs_server.engine.job_table import JobTable
from push_jobs_server.engine.node import HealthRules, NodeKey
from push_jobs_server.engine.output import OutputIntake
from push_jobs_server.engine.port import Port
from push_jobs_server.engine.roster import Frames, Roster
from push_jobs_server.engine.serf import SerfNodes
from push_jobs_server.engine.serf_orders import SerfKnown
from push_jobs_server.engine.sightings import Sightings
from push_jobs_server.engine.starts import Starts
from push_jobs_server.node_records import NodeSighted, Refusal
from push_jobs_server.records import Change, EngineStatus, JobChanged, JobRecord, NodeView, Outcome
from push_jobs_wire.states import OPEN_NODE, NodeInput

_DOWN_AFTER_RESTART = 7
"""Heartbeat intervals after a restart in which the nodes of unfinished jobs may come back."""
_IDLE_TIMERS = 100
"""Timers that mean nothing any more and may stay, so that they are not sought after each job."""


@dataclass(frozen=True)
class EngineRules:
    """The engine's settings; times in seconds, sizes in bytes."""

    health: HealthRules = HealthRules()
    voting_timeout: float = 60.0
    rehab_interval: float = 1.0
    job_linger: float = 5.0
    max_message_size: int = 65536
    max_message_skew: float = 300.0
    max_output: int = 1 << 20
    session_key_lifetime: float = 86400.0
    server_name: str = ""


@dataclass
class Batch:
    """Changes that belong together and what is to be told and done once they are stored."""

    changes: List[Change] = field(default_factory=list)
    events: List[Event] = field(default_factory=list)
    after: List[Callable[[], None]] = field(default_factory=list)
    failed: List[Callable[[Exception], None]] = field(default_factory=list)


class Engine:
    """All jobs and nodes of a server.

    Args:
        rules: settings.
        incarnation_id: identifies this run of the server.
        access: session keys and grants, as stored.
        unfinished: the jobs that were open when the last run ended.
        now: seconds since the epoch.
        log: called with (event, details) for what an operator may want to know.
        sighted: what the last run knew of nodes.
        keys_made: when the session keys were made, as far as that was stored.
        serf: the organization whose nodes may come over Serf, and what is stored of them.
    """

    def __init__(
        self,
        rules: EngineRules,
        incarnation_id: str,
        access: Access,
        unfinished: Iterable[JobRecord],
        now: float,
        log: Callable[[str, Dict[str, object]], None],
        sighted: Iterable[NodeSighted] = (),
        keys_made: Mapping[NodeKey, float] = MappingProxyType({}),
        serf: Optional[SerfKnown] = None,
    ) -> None:
        self.rules = rules
        self.incarnation_id = incarnation_id
        self.access = access
        self.now = self.wall = now
        self.roster = Roster(access, rules.health, rules.rehab_interval)
        self.sightings = Sightings(sighted, now)
        self.admission = Admission(self, keys_made)
        self.inbox = Inbox(access, rules.max_message_size, rules.max_message_skew, self._drop)
        self.output = OutputIntake(rules.max_output)
        self.jobs = JobTable()
        self.starts = Starts(self)
        self.serf = SerfNodes(self, serf or SerfKnown())
        self._batches: Dict[str, Batch] = {}
        self._timers: List[Tuple[float, str]] = []
        self.log = log
        self._dialogue = Dialogue(self)
        self.cancels = Cancels(self)
        self._next_scan = now + rules.health.interval
        self._give_up_at: Optional[float] = None
        for record in unfinished:
            self.adopt_job(record).resume(now)
            self._give_up_at = now + _DOWN_AFTER_RESTART * rules.health.interval

    # What the owning thread does in each pass

    def begin(self, now: float, wall: float) -> None:
        """Start a pass: ``now`` never jumps (for intervals), ``wall`` is the wall clock."""
        self.now, self.wall = now, wall
        self.roster.wall = wall

    def receive(self, address: bytes, user_id: Optional[str], frames: Sequence[bytes]) -> None:
        """Take the frames of one message from a node."""
        accepted = self.inbox.accept(frames, user_id, self.wall)
        if accepted is not None:
            self._dialogue.take(address, accepted)

    def tick(self) -> None:
        """Turn the timers."""
        self.roster.tick(self.now)
        self.serf.tick()
        while self._timers and self._timers[0][0] <= self.now:
            self._job_timer(heapq.heappop(self._timers)[1])
        if self.now >= self._next_scan:
            self._next_scan = self.now + self.rules.health.interval
            for session in self.roster.unhealthy(self.now):
                self._dialogue.gone(session, "no heartbeat for too long")
        if self._give_up_at is not None and self.now >= self._give_up_at:
            self._give_up_at = None
            self._give_up_missing()

    def next_wakeup(self) -> float:
        """When ``tick`` has something to do next."""
        times = [self._next_scan, self.serf.next_check, *self.roster.wakeups()]
        if self._timers:
            times.append(self._timers[0][0])
        if self._give_up_at is not None:
            times.append(self._give_up_at)
        return min(times)

    def take_frames(self) -> List[Frames]:
        """The frames to send now."""
        frames, self.roster.outbox = self.roster.outbox, []
        return frames

    def take_batches(self) -> Dict[str, Batch]:
        """The changes to store now, by job (or by node, for its keys)."""
        batches, self._batches = self._batches, {}
        return batches

    # Requests of HTTP threads

    def note(self, sighted: NodeSighted) -> None:
        """Store what is known of a node; nothing waits for it."""
        self.batch(f"{sighted.org}/{sighted.node}").changes.append(sighted)

    def stopping(self) -> None:
        """Store when the nodes that are online were seen last."""
        for session in self.roster:
            self.note(self.sightings.seen(session))

    def node(self, key: NodeKey) -> NodeView:
        """A node as operators see it, also one that was never heard of."""
        session = self.roster.get(key)
        if session is None:
            up = self.serf.up(key)
            return NodeView(key[1], up, up)
        return NodeView(key[1], True, session.available)

    def nodes(self, org: str) -> List[NodeView]:
        """The nodes of an organization that are online, sorted by name."""
        names = {session.key[1] for session in self.roster if session.key[0] == org}
        names.update(self.serf.names_up(org))
        return [self.node((org, name)) for name in sorted(names)]

    def status(self) -> EngineStatus:
        """Figures for the status page."""
        return EngineStatus(self.incarnation_id, len(self.roster), tuple(self.jobs.by_id))

    def why_busy(self, key: NodeKey, job_id: str) -> Optional[str]:
        """Why a node can't be asked to vote for a job, or None."""
        session = self.roster.get(key)
        if session is None:
            return "not connected"
        if not session.available:
            return "connected, but not ready yet"
        others = (job.id for job in self.jobs.open_for(key) if job.id != job_id)
        other = next(others, None)
        return None if other is None else f"busy with job {other}"

    # Jobs

    def adopt_job(self, record: JobRecord) -> JobMachine:
        """Take a stored job into memory."""
        org = record.request.org
        job = JobMachine(
            record,
            Port(self, org, record.id),
            self._batch_changes(record.id),
            self._batch_events(org, record.id),
        )
        self.jobs.add(job)
        self.starts.remember(job.id, record.request)
        self._set_timer(job)
        return job

    def _due(self, job: JobMachine) -> Optional[float]:
        """When the job's next timer runs out: its vote, its run, or its stay after the end."""
        if job.ended_at is not None:
            return job.ended_at + self.rules.job_linger
        return job.deadline()

    def _set_timer(self, job: JobMachine) -> None:
        due = self._due(job)
        if due is not None:
            heapq.heappush(self._timers, (due, job.id))

    def _job_timer(self, job_id: str) -> None:
        """A timer ran out; one that was set before the job went on means nothing any more."""
        job = self.jobs.by_id.get(job_id)
        due = None if job is None else self._due(job)
        if job is None or due is None or due > self.now:
            return
        if job.ended_at is not None:
            self.drop_job(job)
        else:
            job.tick(self.now)

    def drop_job(self, job: JobMachine) -> None:
        """Let a job go from memory."""
        self.jobs.remove(job)
        self.output.forget(job.id)
        self.starts.forget(job.request)
        self.serf.forget(job.id)
        if len(self._timers) > _IDLE_TIMERS + 2 * len(self.jobs.by_id):
            self._drop_idle_timers()

    def _drop_idle_timers(self) -> None:
        """Forget the timers of jobs that are gone: a time limit may be hours away."""
        self._timers = [timer for timer in self._timers if timer[1] in self.jobs.by_id]
        heapq.heapify(self._timers)

    def batch(self, name: str) -> Batch:
        """The changes that are being collected under a name in this pass."""
        return self._batches.setdefault(name, Batch())

    def _batch_changes(self, job_id: str) -> Callable[[Change], None]:
        def record(change: Change) -> None:
            self.batch(job_id).changes.append(change)
            if isinstance(change, JobChanged):
                self._set_timer(self.jobs.by_id[job_id])

        return record

    def _batch_events(self, org: str, job_id: str) -> Callable[[Told], None]:
        def tell(told: Told) -> None:
            name, data = told
            self.batch(job_id).events.append(Event(org, job_id, name, self.wall, data))

        return tell

    def _give_up_missing(self) -> None:
        """The nodes of restored jobs that did not come back have crashed or are unavailable."""
        reason = Outcome(reason="did not come back after the server was restarted")
        for job in list(self.jobs.by_id.values()):
            for node in job.open_nodes(*OPEN_NODE):
                if (job.id, node) in self.jobs.over_serf:
                    continue  # it reports by itself, however long the server was away
                if self.roster.get((job.request.org, node)) is None:
                    job.hear(node, Report(NodeInput.DOWN, reason), self.now)

    def _drop(
        self, reason: str, detail: str, node: Optional[NodeKey], offset: Optional[float]
    ) -> None:
        self.log("message dropped", {"reason": reason, "detail": detail})
        if node is not None:
            self.sightings.refused(node, Refusal(reason, detail, self.wall, offset))
