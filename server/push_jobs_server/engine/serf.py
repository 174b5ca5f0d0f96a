"""Nodes that come over Serf: whether they are up, their parts in jobs, what they report. Pure.

Such a node has no session. It is up while its heartbeats come, it has no vote (up counts as ready),
and it reports over HTTP, which proves by its signature who it is; the heartbeats prove nothing.
What goes to nodes is collected in ``orders``, which a thread of its own signs and sends.
Sources: shovey 2.5 to 2.8, 3.4, 3.6; architecture 3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from push_jobs_server.engine.events import output_event
from push_jobs_server.engine.job import RESULTS, JobMachine, Report
from push_jobs_server.engine.node import NodeKey
from push_jobs_server.engine.serf_orders import NodeKind, Order, SerfKnown
from push_jobs_server.engine.serf_reports import meaning, too_much
from push_jobs_server.engine.serf_stops import Unconfirmed
from push_jobs_server.engine.stops import describe
from push_jobs_server.records import Busy, JobRequest, LateResult, Outcome, OutputStored
from push_jobs_server.serf_records import Decision, NodeStatusSeen, RunReport, SerfChunk, SerfRun
from push_jobs_wire.messages import JobRef, Output
from push_jobs_wire.shovey import CANCEL, START
from push_jobs_wire.shovey_words import NODE_DOWN, NODE_UP, REPORTS
from push_jobs_wire.states import NodeInput, NodeStatus

if TYPE_CHECKING:
    from push_jobs_server.engine.core import Engine

DOWN_AFTER = 600.0
"""Seconds without a heartbeat after which a node is down."""
CHECK_EVERY = 60.0
PATIENCE = 15.0
"""Seconds beyond its time limit in which a node may report: gossip and repeats take some."""
ASK_AGAIN = 10.0
"""Seconds after which a start is sent again to a node of ours that never said anything about it."""
UNCONFIRMED = "told over Serf, which confirms nothing"
START_ATTEMPTS = 3
"""Times that a start is sent because no Serf agent acknowledges it; then heartbeats bring it."""

Answer = Callable[[object], None]


@dataclass
class _Node:
    seen: NodeStatusSeen
    since: float
    claims: Optional[bool] = None
    """Whether a heartbeat since its last report said that its agent is ours; None without one."""

    @property
    def kind(self) -> NodeKind:
        """A node of ours that says so no more has another agent by now, or somebody faked it."""
        if self.seen.ours:
            return NodeKind.CLAIMS if self.claims is False else NodeKind.OURS
        return NodeKind.CLAIMS if self.claims else NodeKind.OTHER


@dataclass
class _Part:
    """A node's part in a job: when the command was last sent, and how often."""

    sent_at: Optional[float] = None
    sent: int = 0


class SerfNodes:
    """The nodes of one organization that come over Serf, for one engine."""

    def __init__(self, engine: "Engine", known: SerfKnown) -> None:
        self.org = known.org
        self.problem: Optional[str] = "the Serf agent of this server was not reached yet"
        self._engine = engine
        self._nodes = {
            each.node: _Node(each, each.at) for each in known.latest if each.org == known.org
        }
        self._parts: Dict[str, Dict[str, _Part]] = {}
        for job_id, node in known.runs:
            self._parts.setdefault(job_id, {})[node] = _Part()
        self._orders: Dict[Order, List[str]] = {}
        self._stops = Unconfirmed()
        self.next_check = engine.now + CHECK_EVERY
        engine.jobs.over_serf.update(known.runs)

    # Whether nodes are up

    def up(self, key: NodeKey) -> bool:
        """True while the node's heartbeats count."""
        node = self._nodes.get(key[1])
        return key[0] == self.org and node is not None and node.seen.status == NODE_UP

    def names_up(self, org: str) -> List[str]:
        """The nodes that are up."""
        return [name for name in self._nodes if self.up((org, name))]

    def names(self, org: str) -> List[str]:
        """All nodes of an organization that were ever heard of over Serf."""
        return list(self._nodes) if org == self.org else []

    def why_not(self, key: NodeKey) -> Optional[str]:
        """Why a node can't be asked to run something, or None."""
        if not self.up(key):
            return "not connected"
        return self.problem

    def votes_alone(self, request: JobRequest) -> bool:
        """True for a job of which no node can be asked in a Pushy session; who is up is ready."""
        roster = self._engine.roster
        keys = ((request.org, node) for node in request.nodes)
        return request.org == self.org and all(roster.get(key) is None for key in keys)

    def last(self, key: NodeKey) -> Optional[Tuple[NodeStatusSeen, float]]:
        """A node's last status, and since when it has it; None for one never heard of."""
        node = self._nodes.get(key[1]) if key[0] == self.org else None
        return None if node is None else (node.seen, node.since)

    def heartbeat(self, name: str, status: str, extended: bool) -> None:
        """A node said that it is up (or new); nobody knows who says so, and it keeps none away.

        ``down`` is not taken, nor ``new`` for a node that is up: a node is up as long as its
        heartbeats come. Its reports are signed.
        """
        if status == NODE_DOWN or (status != NODE_UP and self.up((str(self.org), name))):
            self._engine.log("heartbeat ignored", {"node": name, "status": status})
            return
        node = self._put(name, status)
        node.claims = extended
        if node.kind is NodeKind.OURS and status == NODE_UP:
            self._ask_again(name)
            self._stop_again(name)

    def gone(self, name: str, reason: str) -> None:
        """The node's Serf agent left the cluster; its jobs go on, and it reports by itself."""
        node = self._nodes.get(name)
        if node is not None and node.seen.status == NODE_UP:
            self._engine.log("node down", {"node": f"{self.org}/{name}", "reason": reason})
            self._put(name, NODE_DOWN)

    def tick(self) -> None:
        """Look, once a minute, which nodes have been silent for too long."""
        if self._engine.now < self.next_check:
            return
        self.next_check = self._engine.now + CHECK_EVERY
        self._stops.forget(self._engine.now)
        for name, node in list(self._nodes.items()):
            if self._engine.wall - node.seen.at >= DOWN_AFTER:
                self.gone(name, f"no heartbeat for {DOWN_AFTER / 60:.0f} minutes")

    def _put(self, name: str, status: str) -> _Node:
        engine, before = self._engine, self._nodes.get(name)
        assert self.org is not None
        if before is None:
            seen = NodeStatusSeen(self.org, name, 0, status, engine.wall)
        else:
            number = before.seen.number + 1
            seen = replace(before.seen, number=number, status=status, at=engine.wall)
        changed = before is None or before.seen.status != status
        node = self._nodes[name] = before or _Node(seen, engine.wall)
        node.seen = seen
        if changed:
            node.since = engine.wall
            if status == NODE_UP:
                engine.log("node up", {"node": f"{self.org}/{name}", "over": "serf"})
        engine.batch(f"{self.org}/{name}").changes.append(seen)
        return node

    def _kind(self, name: str) -> NodeKind:
        node = self._nodes.get(name)
        return NodeKind.OTHER if node is None else node.kind

    def _proven(self, name: str, ours: bool) -> None:
        """The node's own report says which agent it has: keep it, also for the next run."""
        node = self._nodes.get(name)
        if node is None:
            return
        node.claims = None if ours else node.claims
        if node.seen.ours is not ours:
            node.seen = replace(node.seen, ours=ours)
            self._put(name, node.seen.status)

    # Their parts in jobs

    def commit(self, job_id: str, node: str) -> None:
        """A node that is up is ready for a job, unless that asks for what can't be sent to it."""
        why_not = too_much(self._engine.jobs.by_id[job_id].request)
        if why_not is not None:
            self._hear(job_id, node, Report(NodeInput.NACK_COMMIT, Outcome(reason=why_not)))
            return
        self._engine.jobs.over_serf.add((job_id, node))
        self._parts.setdefault(job_id, {})[node] = _Part()
        self._engine.batch(job_id).changes.append(SerfRun(job_id, node))
        self._hear(job_id, node, Report(NodeInput.ACK_COMMIT))

    def start(self, job_id: str, node: str, again: bool = False) -> None:
        """Send the command to the node; ``again``: it may have it already."""
        part = self._parts[job_id][node]
        part.sent_at, part.sent = self._engine.now, part.sent + 1
        self._order(START, job_id, node, again)

    def cancel(self, job_id: str, node: str) -> None:
        """Tell the node to stop; nothing comes back, so it counts as stopped at once (2.6)."""
        self._order(CANCEL, job_id, node)
        job = self._engine.jobs.by_id[job_id]
        if self._kind(node) is NodeKind.OURS:
            limit = job.request.run_timeout + PATIENCE
            self._stops.told(job_id, node, self._engine.now + limit)
        cancel = job.stops.of(node)
        reason = None if cancel is None else f"{describe(cancel)}; {UNCONFIRMED}"
        self._hear(job_id, node, Report(NodeInput.ABORTED, Outcome(reason=reason)))

    def give_up(self, job_id: str, node: str) -> None:
        """A node whose time is over may still run the command; one that never got it does not."""
        job = self._engine.jobs.by_id[job_id]
        if job.nodes[node] is NodeStatus.TIMED_OUT:
            self._order(CANCEL, job_id, node)

    def patience(self, job_id: str) -> float:
        """Seconds that a job waits beyond its time limit."""
        return PATIENCE if job_id in self._parts else 0.0

    def forget(self, job_id: str) -> None:
        """The job is not in memory any more."""
        self._parts.pop(job_id, None)

    def take_orders(self) -> List[Order]:
        """What has to be sent now."""
        orders, self._orders = self._orders, {}
        return [replace(order, nodes=tuple(nodes)) for order, nodes in orders.items()]

    def _order(self, action: str, job_id: str, node: str, again: bool = False) -> None:
        """Send a command once the part is stored: the node's first report may follow at once."""
        job = self._engine.jobs.by_id.get(job_id)
        what = ("", 0) if job is None else (job.request.command, job.request.run_timeout)
        order = Order(action, job_id, *what, (), self._kind(node), again)

        def stored() -> None:
            # Meanwhile the job may have been given up.
            if action == CANCEL or (job is not None and job.waits_for(node)):
                self._orders.setdefault(order, []).append(node)

        self._engine.batch(job_id).after.append(stored)

    def _ask_again(self, name: str) -> None:
        """A start may have got lost in the gossip; nodes of ours never start a job twice."""
        engine = self._engine
        for job in engine.jobs.all_open_for((str(self.org), name)):
            part = self._parts.get(job.id, {}).get(name)
            if part is None or engine.now < (part.sent_at or 0.0) + ASK_AGAIN:
                continue
            if job.waits_for(name):
                self.start(job.id, name, again=True)

    def _stop_again(self, name: str) -> None:
        """The agent beside its Serf agent may have been away when a cancel came."""
        for job_id in self._stops.of(name):
            self._order(CANCEL, job_id, name, again=True)

    # What the thread that sends hears of orders

    def acked(self, job_id: str, node: str) -> None:
        """The node's Serf agent has the command."""
        if node in self._parts.get(job_id, {}):
            self._engine.batch(job_id).changes.append(SerfRun(job_id, node, self._engine.wall))

    def unheard(self, order: Order) -> None:
        """No Serf agent of these nodes acknowledged a start; ours never run a job twice."""
        details: Dict[str, object] = {"job": order.job_id, "nodes": list(order.nodes)}
        self._engine.log("no Serf agent of this name acknowledged a start", details)
        job = self._engine.jobs.by_id.get(order.job_id)
        for name in order.nodes:
            if job is not None and job.waits_for(name) and self._may_miss(job.id, name):
                self.start(job.id, name, again=True)

    def _may_miss(self, job_id: str, name: str) -> bool:
        """True for a node of ours that is up, until it was sent the start some times."""
        part = self._parts.get(job_id, {}).get(name)
        ours_and_up = self._kind(name) is NodeKind.OURS and self.up((str(self.org), name))
        return ours_and_up and part is not None and part.sent < START_ATTEMPTS

    def refused(self, order: Order, nodes: Iterable[str], reason: str) -> None:
        """Our Serf agent did not take the command for these nodes.

        That of a start which was sent before proves nothing: the first one may have arrived.
        """
        details: Dict[str, object] = {"job": order.job_id, "action": order.action, "reason": reason}
        self._engine.log("the Serf agent refused a query", details)
        if order.action == START and not order.again:
            for node in nodes:
                self._hear(order.job_id, node, Report(NodeInput.NACK_RUN, Outcome(reason=reason)))

    def _hear(self, job_id: str, node: str, report: Report) -> None:
        job = self._engine.jobs.by_id.get(job_id)
        if job is not None:
            job.hear(node, report, self._engine.now)

    # Requests of HTTP threads

    def start_job(self, job_id: str, request: JobRequest, answer: Answer) -> None:
        """As ``Starts.ask``, but answer with a ``Decision`` once it is clear whether it runs, or
        with Busy when the Serf agent keeps it from its nodes."""
        engine = self._engine

        def stored(result: object) -> None:
            if isinstance(result, str) and result in engine.jobs.by_id:
                self._answer_decided(result, answer)
            else:
                answer(result)

        if self.problem is not None and self._needed_by(request):
            answer(Busy(self.problem))
        else:
            engine.starts.ask(job_id, request, stored)

    def _needed_by(self, request: JobRequest) -> bool:
        """True when a node comes over Serf, also one that went down because nothing is heard."""
        keys = [(request.org, node) for node in request.nodes]
        return any(self.last(key) and self._engine.roster.get(key) is None for key in keys)

    def _answer_decided(self, job_id: str, answer: Answer) -> None:
        """The job began in this very pass, and what it decides is in this batch; or before it was
        stored."""
        batch = self._engine.batch(job_id)
        batch.after.append(lambda: answer(self._decision(job_id)))
        batch.failed.append(answer)

    def _decision(self, job_id: str) -> Decision:
        job = self._engine.jobs.by_id[job_id]
        up = sum(status is NodeStatus.WAS_READY for status in job.nodes.values())
        return Decision(job_id, job.status, up)

    def report(self, report: RunReport, last: Sequence[SerfChunk], answer: Answer) -> None:
        """Take what a node says of its part, and output that comes with it; answers with True once
        that is stored.

        A part that is over stays as it is; a result that comes later is kept beside it.
        """
        what = REPORTS.get(report.word or "")
        batch = self._engine.batch(report.job_id)
        self._store(last)
        if report.ours is not None:
            self._proven(report.node, report.ours)
        if what is not None:
            self._take(report, meaning(report, what, self._engine.wall))
            if what is not NodeInput.ACK_RUN:
                self._stops.confirmed(report.job_id, report.node)
        batch.after.append(lambda: answer(True))
        batch.failed.append(answer)

    def _take(self, report: RunReport, heard: Report) -> None:
        job = self._engine.jobs.by_id.get(report.job_id)
        if job is None:
            self._late(report, heard)
        elif job.nodes[report.node].final:
            job.late(report.node, heard)
        else:
            job.hear(report.node, heard, self._engine.now)
            self._note_word(job, report)

    def _late(self, report: RunReport, heard: Report) -> None:
        """The job is not in memory: a result is kept beside a node that was given up."""
        status, org = RESULTS.get(heard.what), self.org
        if status is not None:
            changes = self._engine.batch(report.job_id).changes
            changes.append(LateResult(report.job_id, report.node, status, heard.outcome, org=org))
            changes.append(OutputStored(report.job_id, report.node, b"", b"", org=org))

    def _note_word(self, job: JobMachine, report: RunReport) -> None:
        if job.nodes[report.node].final:
            run = SerfRun(report.job_id, report.node, word=report.word)
            self._engine.batch(report.job_id).changes.append(run)

    def chunks(self, new: Sequence[SerfChunk], answer: Answer) -> None:
        """Store pieces of one run; those that have their place are shown as output of the job."""
        batch = self._engine.batch(new[0].job_id)
        self._store(new)
        batch.after.append(lambda: answer(True))
        batch.failed.append(answer)

    def _store(self, new: Sequence[SerfChunk]) -> None:
        most = self._engine.rules.max_output
        for chunk in new:
            beyond = chunk.begins_at is not None and chunk.begins_at >= most
            kept = replace(chunk, data=b"") if beyond else chunk
            if chunk.is_last:
                self._stops.confirmed(chunk.job_id, chunk.node)
            self._engine.batch(chunk.job_id).changes.append(kept)
            if chunk.begins_at is not None and chunk.data:
                self._show(chunk)

    def _show(self, chunk: SerfChunk) -> None:
        engine, org = self._engine, str(self.org)
        assert chunk.begins_at is not None
        output = Output(JobRef(chunk.job_id), chunk.stream, chunk.begins_at, chunk.data)
        batch = engine.batch(chunk.job_id)
        batch.changes.extend(engine.output.take(org, chunk.job_id, chunk.node, output))
        batch.events.append(output_event(org, chunk.job_id, chunk.node, chunk.stream, engine.wall))
