"""One job: the vote, the quorum, the run and both timeouts. Pure: no socket, clock or thread.

A job never holds a node's session. It speaks to nodes by name through its ``Nodes`` port, hears of
them through ``hear``, reports what has to be stored through its ``record`` port and what readers of
feeds are to see through its ``tell`` port. Transitions of nodes are looked up in the tables of
``push_jobs_wire.states`` (pushy-api 5.3).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Callable
from typing import Counter as CounterType
from typing import Dict, Iterable, List, Optional, Protocol, Tuple

from push_jobs_server.engine.events import JOB_COMPLETE, OUTPUT, Told
from push_jobs_server.engine.stops import Stops, describe
from push_jobs_server.records import (
    Cancel,
    Change,
    JobChanged,
    JobNode,
    JobRecord,
    LateResult,
    NodeChanged,
    Outcome,
    OutputStored,
)
from push_jobs_wire.messages import STREAMS, Abort, Commit, Run, ServerMessage
from push_jobs_wire.states import (
    JOB_TRANSITIONS,
    NODE_IN_RUNNING,
    NODE_IN_VOTING,
    OPEN_NODE,
    JobStatus,
    NodeInput,
    NodeStatus,
    Step,
)

_NEVER_RAN = frozenset({NodeStatus.NACKED, NodeStatus.UNAVAILABLE})
_STOPPED = frozenset({NodeStatus.ABORTED, NodeStatus.WAS_READY, NodeStatus.CRASHED})
"""Ends that show that a cancel did not come too late for a node."""

RESULTS = {NodeInput.SUCCEEDED: NodeStatus.SUCCEEDED, NodeInput.FAILED: NodeStatus.FAILED}


class Nodes(Protocol):
    """How a job reaches its nodes; what stands behind it may be any transport or another server."""

    def busy(self, node: str) -> Optional[str]:
        """Why the node can't be asked now (it is down, or holds another job), or None."""

    def send(self, node: str, message: ServerMessage) -> None:
        """Send a message to a node that may or may not be connected."""

    def rehab(self, node: str) -> None:
        """Tell the node to abort and start afresh."""

    def abort(self, node: str, message: Abort) -> None:
        """As ``rehab``, with a grace time and a reason for nodes that understand them."""

    def patience(self) -> float:
        """Seconds beyond its time limit in which a node may still say how its part ended."""


@dataclass(frozen=True)
class Report:
    """What a node said about its part: the input, details, and output when it sent both channels.

    ``started`` is True when the message itself proves that the command ran, so that an
    acknowledgement that got lost on the way does not turn a true result into a crash.
    """

    what: NodeInput
    outcome: Outcome = Outcome()
    output: Optional[Tuple[bytes, bytes]] = None
    started: bool = False


class JobMachine:
    """The state of one job.

    Args:
        record: the job as it is stored; ``new`` for a fresh one, anything open after a restart.
        nodes: the port to the job's nodes.
        record_change: called with each change that has to be stored.
        tell: called with each event, after the changes that it is about (pushy-api 4.8.3).
    """

    def __init__(
        self,
        record: JobRecord,
        nodes: Nodes,
        record_change: Callable[[Change], None],
        tell: Callable[[Told], None],
    ) -> None:
        self.id = record.id
        self.request = record.request
        self.status = record.status
        self.voting_deadline = record.voting_deadline
        self.run_deadline = record.run_deadline
        self.ended_at: Optional[float] = None
        self.nodes: Dict[str, NodeStatus] = {
            name: record.nodes.get(name, JobNode()).status for name in record.request.nodes
        }
        self._count: CounterType[NodeStatus] = Counter(self.nodes.values())
        self.stops = Stops(self.nodes, record.cancels)
        self._port = nodes
        self._store = record_change
        self._tell = tell
        self._early: Dict[str, Report] = {}
        self._resumed = False

    # What happens to the job

    def start(self, now: float) -> None:
        """Ask all nodes for their vote; those that can't be asked have voted no at once."""
        commit = self._commit()
        for node in list(self.nodes):
            self._ask(node, commit, now)
        self._decide(now)

    def ask_again(self, node: str) -> None:
        """Send the question once more to a node that lost it (it reconnected and holds nothing)."""
        if self.status is JobStatus.VOTING and self.nodes.get(node) is NodeStatus.NEW:
            self._port.send(node, self._commit())

    def run_again(self, node: str) -> None:
        """Send ``run`` once more to a node that waits for it: the first one was lost."""
        if self.waits_for(node):
            self._port.send(node, Run(self.id))

    def cancel(self, cancel: Cancel, now: float) -> None:
        """Stop the job on some nodes; one that runs the command ends when it says so itself.

        When all its nodes are cancelled, the whole job is.
        """
        if not self.status.final:
            self.stops.note(cancel)
            self._stop(cancel.nodes)
            self._decide(now)

    def resume(self, now: float) -> None:
        """Go on after a restart: a cancel that was stored has its effect before anything else."""
        self._resumed = self.status is JobStatus.RUNNING
        if self.stops.any:
            self._stop(self.nodes)
            self._decide(now)

    def stop_again(self, node: str) -> None:
        """Tell a node that came back to stop, if that is what it was told before."""
        if self.status is JobStatus.RUNNING:
            self._stop([node])

    def hear(self, node: str, report: Report, now: float) -> None:
        """Take what a node of this job said, or what became of it."""
        if self.status.final:
            self.late(node, report)
            return
        if self._heard_before(node, report):
            return
        if report.started:
            self._note_start(node, report)
        if node in self._early:
            self._early[node] = report
        else:
            self.late(node, report)
            self._apply(node, report)
        self._decide(now)

    def tick(self, now: float) -> None:
        """Let the voting or the run time out when their time has come."""
        if self.status is JobStatus.VOTING and now >= self.voting_deadline:
            for node in self.open_nodes(NodeStatus.NEW):
                reason = "no answer before the voting timeout"
                self._apply(node, Report(NodeInput.VOTING_TIMEOUT, Outcome(reason=reason)))
                self._port.rehab(node)
            self._decide(now)
        elif self.status is JobStatus.RUNNING and now >= (self.run_deadline or now):
            self._time_out(now)

    def crash(self, reason: str, now: float) -> None:
        """End the job before it began; nothing ran."""
        for node in self.open_nodes(*OPEN_NODE):
            self._set(node, NodeStatus.UNAVAILABLE, Outcome(reason=reason))
        self._end(JobStatus.CRASHED, now)

    def deadline(self) -> Optional[float]:
        """When ``tick`` wants to be called next, in seconds since the epoch."""
        if self.status is JobStatus.VOTING:
            return self.voting_deadline
        return self.run_deadline if self.status is JobStatus.RUNNING else None

    def waits_for(self, node: str) -> bool:
        """True when a node was told to run and has said nothing yet."""
        return self.status is JobStatus.RUNNING and self.nodes.get(node) is NodeStatus.READY

    def open_nodes(self, *statuses: NodeStatus) -> List[str]:
        """The nodes in one of these statuses."""
        return [node for node, status in self.nodes.items() if status in statuses]

    # How it happens

    def _commit(self) -> Commit:
        asked = self.request
        return Commit(
            self.id,
            asked.command,
            user=asked.user,
            dir=asked.dir,
            env=asked.env,
            file=asked.file,
            capture=asked.capture,
            run_timeout=asked.run_timeout,
        )

    def _ask(self, node: str, commit: Commit, now: float) -> None:
        why_not = self._port.busy(node)
        if why_not is None:
            self._port.send(node, commit)
        elif why_not.startswith("busy"):
            self._apply(node, Report(NodeInput.NACK_COMMIT, Outcome(reason=why_not)))
        else:
            self._apply(node, Report(NodeInput.DOWN, Outcome(reason=why_not)))

    def _stop(self, nodes: Iterable[str]) -> None:
        """Let those of the nodes feel a cancel that were cancelled and still have a part."""
        for node in nodes if self.stops.any else ():
            cancel, status = self.stops.of(node), self.nodes[node]
            if cancel is None or status.final:
                continue
            if self.status is JobStatus.RUNNING:
                self._port.abort(node, Abort(cancel.grace, describe(cancel)))
            elif node not in self._early:
                silent = "no answer before it was " if status is NodeStatus.NEW else ""
                outcome = Outcome(reason=silent + describe(cancel))
                self._apply(node, Report(NodeInput.CANCELLED, outcome))

    def _note_start(self, node: str, report: Report) -> None:
        """The node proves that it started the command; catch up on what we never heard."""
        status = self.nodes[node]
        if self.status is JobStatus.VOTING and not status.final:
            self._early[node] = report
            if status is NodeStatus.NEW:
                self._set(node, NodeStatus.READY, Outcome())
                self._tell_of(node, ("quorum_vote", "success"))
        elif self.status is JobStatus.RUNNING and status is NodeStatus.READY:
            self._start(node, report)

    def _start(self, node: str, report: Report) -> None:
        self._set(node, NodeStatus.RUNNING, Outcome(started_at=report.outcome.started_at))
        self._tell_of(node, ("run_start", ""))

    def _apply(self, node: str, report: Report) -> None:
        table = NODE_IN_VOTING if self.status is JobStatus.VOTING else NODE_IN_RUNNING
        if table is NODE_IN_RUNNING and report.what is NodeInput.ABORTED:
            report = self._as_told(node, report)
        step = table.get((report.what, self.nodes[node]), Step())
        if step.status is not None:
            self._set(node, step.status, report.outcome)
            if report.output is not None:
                self._store_output(node, *report.output)
        if step.rehab and not step.rehab_last:
            self._rehab(node)
        if step.event is not None:
            self._tell_of(node, step.event)
        if step.rehab and step.rehab_last:
            self._rehab(node)

    def _store_output(self, node: str, stdout: bytes, stderr: bytes) -> None:
        self._store(OutputStored(self.id, node, stdout, stderr))
        for stream, content in zip(STREAMS, (stdout, stderr)):
            if content:
                self._tell((OUTPUT, {"node": node, "stream": stream}))

    def _rehab(self, node: str) -> None:
        self._port.rehab(node)
        self._tell_of(node, ("rehab", ""))

    def _tell_of(self, node: str, event: Tuple[str, str]) -> None:
        name, status = event
        self._tell((name, {"node": node, "status": status} if status else {"node": node}))

    def _heard_before(self, node: str, report: Report) -> bool:
        """True for news of a part that is over that are none: nothing has to be aborted for them.

        A cancelled node confirms that its vote was withdrawn, or our agent repeats its result.
        """
        status = self.nodes[node]
        if report.what is NodeInput.ABORTED:
            return status.final and self.stops.of(node) is not None
        return report.started and RESULTS.get(report.what) is status

    def _as_told(self, node: str, report: Report) -> Report:
        """An ``aborted`` is what we wanted to hear when the node was cancelled."""
        cancel = self.stops.of(node)
        if cancel is None:
            return report
        outcome = report.outcome
        if outcome.reason is None:
            outcome = replace(outcome, reason=describe(cancel))
        return replace(report, what=NodeInput.CANCELLED, outcome=outcome)

    def _set(self, node: str, status: NodeStatus, outcome: Outcome) -> None:
        self._count[self.nodes[node]] -= 1
        self._count[status] += 1
        self.nodes[node] = status
        self._store(NodeChanged(self.id, node, status, outcome))

    def late(self, node: str, report: Report) -> None:
        """Keep a result that comes after the node was given up (architecture 3, late truth)."""
        status = RESULTS.get(report.what)
        if status is None or not self.nodes[node].final or self.nodes[node] is status:
            return
        self._store(LateResult(self.id, node, status, report.outcome))
        if report.output is not None:
            self._store(OutputStored(self.id, node, *report.output))

    def _decide(self, now: float) -> None:
        if self.status is JobStatus.VOTING and not self._count[NodeStatus.NEW]:
            if self.stops.everywhere and not self._early:
                self._end(JobStatus.ABORTED, now)
            elif self.stops.everywhere or self._count[NodeStatus.READY] >= self.request.quorum:
                self._run(now)
            else:
                self._miss_quorum(now)
        if self.status is JobStatus.RUNNING and not self._running_nodes():
            self._end(self._conclusion(), now)

    def _conclusion(self) -> JobStatus:
        """What a job is called that no node runs any more.

        It is complete, whatever became of its nodes, unless a restart of this server lost it: then
        a client that threw its result away meanwhile says no more than that it is idle.
        """
        if self.stops.everywhere and _STOPPED.intersection(self.nodes.values()):
            return JobStatus.ABORTED
        ran = set(self.nodes.values()) - _NEVER_RAN
        if self._resumed and ran == {NodeStatus.CRASHED}:
            return JobStatus.CRASHED
        return JobStatus.COMPLETE

    def _running_nodes(self) -> int:
        return self._count[NodeStatus.READY] + self._count[NodeStatus.RUNNING]

    def _run(self, now: float) -> None:
        self.run_deadline = now + self.request.run_timeout + self._port.patience()
        self._move(JobStatus.RUNNING, now)
        self._tell(("quorum_succeeded", {}))
        run = Run(self.id)
        for node in self.open_nodes(NodeStatus.READY):
            if node in self._early:
                self._catch_up(node)
            else:
                self._port.send(node, run)
        self._stop(self.nodes)

    def _catch_up(self, node: str) -> None:
        early = self._early.pop(node)
        self._start(node, early)
        if early.what is not NodeInput.ACK_RUN:
            self._apply(node, early)

    def _miss_quorum(self, now: float) -> None:
        for node in self.open_nodes(NodeStatus.READY):
            self._set(node, NodeStatus.WAS_READY, Outcome())
            self._port.rehab(node)
        for node, early in self._early.items():
            self.late(node, early)
        self._end(JobStatus.QUORUM_FAILED, now)

    def _time_out(self, now: float) -> None:
        limit = f"{self.request.run_timeout} s"
        for node in self.open_nodes(NodeStatus.READY, NodeStatus.RUNNING):
            silent = self.nodes[node] is NodeStatus.READY
            reason = (
                f"nothing was heard of it in {limit}" if silent else f"still running after {limit}"
            )
            self._apply(node, Report(NodeInput.RUN_TIMEOUT, Outcome(reason=reason)))
            self._port.rehab(node)
        self._end(JobStatus.TIMED_OUT, now)

    def _end(self, status: JobStatus, now: float) -> None:
        self.ended_at = now
        self._move(status, now)
        self._tell((JOB_COMPLETE, {"status": status.value}))

    def _move(self, status: JobStatus, now: float) -> None:
        assert status in JOB_TRANSITIONS[self.status], (self.status, status)
        self.status = status
        self._store(JobChanged(self.id, status, now, self.run_deadline))
