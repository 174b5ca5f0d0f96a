"""What nodes say and what follows from it: joining, heartbeats, votes, results, restarts. Pure.

Old agents are treated as pushy-protocol 6.1 says: whatever they might be doing is aborted before
they may vote. An agent that speaks our extensions lists the jobs it holds in its first heartbeat,
so nothing has to be aborted or given up that is still true (architecture 3, restart).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from push_jobs_server.engine.events import output_event
from push_jobs_server.engine.inbox import Accepted
from push_jobs_server.engine.job import RESULTS, JobMachine, Report
from push_jobs_server.engine.node import NodeSession
from push_jobs_server.engine.output import CREDIT
from push_jobs_server.records import LateResult, Outcome, OutputStored
from push_jobs_wire.messages import Ack, Confirm, Heartbeat, Output, OutputAck, Reply, Unknown
from push_jobs_wire.states import AgentState, JobStatus, NodeInput, NodeStatus, SessionInput

if TYPE_CHECKING:
    from push_jobs_server.engine.core import Engine

_ACK = Ack()
_RESTARTED = "the agent was restarted"
_IDLE_BEATS = 2
"""Heartbeats in a row without a job before a running job counts as lost; one may be stale."""


class Dialogue:
    """Turns verified messages into events of sessions and jobs of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(self, address: bytes, accepted: Accepted) -> None:
        """Take a verified message that came from ``address``."""
        engine = self._engine
        session = engine.roster.get(accepted.key)
        if session is not None and self._restarted(session, accepted):
            self._restart(session, accepted)
            session = None
        joined = session is None
        if session is None:
            session = self._join(address, accepted)
        session.seen_at = engine.wall
        moved = not joined and session.address != address
        if moved:
            session.address = address
            engine.roster.send(session.key, _ACK)
        if session.replayed(accepted.digest):
            engine.inbox.drop("replayed", f"from {'/'.join(accepted.key)}", accepted.key)
            return
        message = accepted.message
        if isinstance(message, Heartbeat):
            self._heartbeat(session, message, joined, moved)
        elif isinstance(message, Reply):
            self._reply(session, message, joined)
        elif isinstance(message, Output):
            self._output(session, message, joined)
        else:
            self._unknown(session, message, joined)

    def gone(self, session: NodeSession, why: str) -> None:
        """The node is down: its session ends and its jobs hear of it."""
        self._leave(session, why)
        self._engine.log("node down", {"node": "/".join(session.key), "reason": why})
        # Also where its part is over: the status stays, and feeds tell it (pushy-api 5.3).
        for job in self._engine.jobs.with_node(session.key):
            self._tell(job, session, Report(NodeInput.DOWN, Outcome(reason=why)))

    def _leave(self, session: NodeSession, why: str) -> None:
        engine = self._engine
        engine.roster.remove(session.key)
        engine.note(engine.sightings.left(session, why, engine.wall))

    def _join(self, address: bytes, accepted: Accepted) -> NodeSession:
        engine = self._engine
        noted = engine.sightings.joined(accepted.key, engine.wall)
        if noted is not None:
            engine.note(noted)
        return engine.roster.add(accepted.key, address, accepted.origin.incarnation_id, engine.now)

    def _tell(self, job: JobMachine, session: NodeSession, report: Report) -> None:
        job.hear(session.key[1], report, self._engine.now)

    # Joining and restarting

    def _restarted(self, session: NodeSession, accepted: Accepted) -> bool:
        """Only heartbeats tell a new incarnation (pushy-protocol 6.1)."""
        return (
            isinstance(accepted.message, Heartbeat)
            and accepted.origin.incarnation_id != session.incarnation_id
        )

    def _restart(self, session: NodeSession, accepted: Accepted) -> None:
        message = accepted.message
        lists_jobs = isinstance(message, Heartbeat) and message.jobs is not None
        if lists_jobs:
            self._leave(session, _RESTARTED)
        else:
            self.gone(session, _RESTARTED)

    def _adopt(self, session: NodeSession, joined: bool) -> None:
        """Take the node as it is: nothing it does has to be aborted."""
        self._engine.roster.settle(session, SessionInput.ADOPTED)
        if joined:
            self._engine.roster.send(session.key, _ACK)
            self._engine.log("node up", {"node": "/".join(session.key)})
        for job in self._engine.jobs.open_for(session.key):
            job.stop_again(session.key[1])

    def _rehab(self, session: NodeSession) -> None:
        self._engine.roster.rehab(session.key, self._engine.now)

    def _unknown(self, session: NodeSession, message: Unknown, joined: bool) -> None:
        self._engine.log("unknown message", {"node": session.key[1], "type": message.type})
        if joined:
            self._rehab(session)

    # Heartbeats

    def _heartbeat(self, session: NodeSession, beat: Heartbeat, joined: bool, moved: bool) -> None:
        session.health.beat(self._engine.now)
        session.extensions, session.job_id = beat.extensions, beat.job.id
        if joined or beat.runnable is not None or beat.jobs is not None:
            self._engine.sightings.told(session.key, beat)
        session.idle_beats = 0 if beat.job.id is not None else session.idle_beats + 1
        if not beat.job.valid:
            self._rehab(session)
        elif beat.job.id is not None:
            self._busy_beat(session, beat, beat.job.id, joined, moved)
        elif beat.jobs is not None and beat.extensions:
            self._adopt(session, joined)
        elif joined:
            self._rehab(session)
        if beat.jobs is not None and beat.extensions:
            self._listed(session, beat)
        elif not beat.extensions and session.idle_beats >= _IDLE_BEATS:
            self._lost(session)

    def _busy_beat(
        self, session: NodeSession, beat: Heartbeat, job_id: str, joined: bool, moved: bool
    ) -> None:
        job = self._member(session, job_id)
        if job is None or job.nodes[session.key[1]].final:
            # A finished job still explains one stale heartbeat, but not a fresh connection.
            if job is None or joined:
                self._rehab(session)
            return
        if joined:
            self._adopt(session, joined)
        if beat.state is AgentState.RUNNING:
            if job.nodes[session.key[1]] is not NodeStatus.RUNNING:
                self._tell(job, session, Report(NodeInput.ACK_RUN, started=True))
        elif joined or moved:
            self._committed_again(session, job)

    def _committed_again(self, session: NodeSession, job: JobMachine) -> None:
        """The node reconnected and waits for ``run``; its vote or our answer may have got lost."""
        node = session.key[1]
        if job.status is JobStatus.VOTING and job.nodes[node] is NodeStatus.NEW:
            self._tell(job, session, Report(NodeInput.ACK_COMMIT))
        else:
            job.run_again(node)

    def _listed(self, session: NodeSession, beat: Heartbeat) -> None:
        """The agent said which jobs it holds: another one of its jobs is lost."""
        held = set(beat.jobs or ())
        if beat.job.id is not None:
            held.add(beat.job.id)
        for job in self._engine.jobs.open_for(session.key):
            if job.id in held:
                continue
            if job.status is JobStatus.VOTING and job.nodes[session.key[1]] is NodeStatus.NEW:
                job.ask_again(session.key[1])
            else:
                reason = "the agent came back without any trace of the job"
                self._tell(job, session, Report(NodeInput.DOWN, Outcome(reason=reason)))

    def _lost(self, session: NodeSession) -> None:
        """An old agent is idle while we think that it runs something (pushy-protocol 9.1 Q3)."""
        reason = Outcome(reason="the agent says it is idle; the result was lost")
        for job in self._engine.jobs.open_for(session.key):
            if job.status is JobStatus.RUNNING:
                self._tell(job, session, Report(NodeInput.DOWN, reason))

    # Replies

    def _reply(self, session: NodeSession, reply: Reply, joined: bool) -> None:
        job = self._member(session, reply.job.id)
        if reply.job.id is not None:
            session.idle_beats = 0
        if joined and reply.kind is not NodeInput.ABORTED:
            self._came_with(session, job)
        if reply.kind is NodeInput.ABORTED:
            self._aborted(session)
        if job is not None:
            self._tell(job, session, report_of(reply, bool(session.extensions)))
            self._confirm(session, reply)
        elif reply.job.id is not None and reply.job.id in self._engine.jobs.by_id:
            detail = f"{'/'.join(session.key)} is not in job {reply.job.id}"
            self._engine.inbox.drop("foreign_job", detail)
        elif reply.kind is not NodeInput.ABORTED or reply.job.id is not None:
            self._about_unknown_job(session, reply)

    def _output(self, session: NodeSession, output: Output, joined: bool) -> None:
        """Store what a command wrote, also of a job that is not in memory any more."""
        engine, (org, node), job_id = self._engine, session.key, output.job.id
        job = self._member(session, job_id)
        if joined:
            self._came_with(session, job)
        if job_id is None or (job is None and job_id in engine.jobs.by_id):
            engine.inbox.drop("foreign_job", f"{org}/{node} sent output of job {job_id}")
            return
        batch = engine.batch(job_id)
        follows = engine.output.follows(job_id, node, output)
        if follows:
            batch.changes.extend(engine.output.take(org, job_id, node, output))
            # Also when nothing of it is new: what it repeats may not be stored yet; events wait.
            batch.events.append(output_event(org, job_id, node, output.stream, engine.wall))
        end = engine.output.end(job_id, node, output.stream)
        if job is None:
            engine.output.forget(job_id)  # nothing else would; the store knows what comes twice
        ack = OutputAck(job_id, output.stream, end, CREDIT, again=not follows)
        batch.after.append(lambda: engine.roster.send((org, node), ack))

    def _came_with(self, session: NodeSession, job: Optional[JobMachine]) -> None:
        """The node came online with words about this job, if it is one of its jobs."""
        if job is not None and not job.nodes[session.key[1]].final:
            self._adopt(session, True)
        else:
            self._rehab(session)

    def _aborted(self, session: NodeSession) -> None:
        if self._engine.roster.settle(session, SessionInput.ABORTED):
            self._engine.log("node up", {"node": "/".join(session.key)})
            for job in self._engine.jobs.open_for(session.key):
                job.ask_again(session.key[1])

    def _about_unknown_job(self, session: NodeSession, reply: Reply) -> None:
        """The job ended before a restart, or never was ours: keep a late result only."""
        job_id, node = reply.job.id, "/".join(session.key)
        self._engine.log("reply about an unknown job", {"node": node, "job": job_id})
        if job_id is not None and reply.kind in RESULTS:
            report = report_of(reply, True)
            changes = self._engine.batch(job_id).changes
            org, name = session.key
            changes.append(LateResult(job_id, name, RESULTS[reply.kind], report.outcome, org=org))
            if report.output is not None:
                changes.append(OutputStored(job_id, name, *report.output, org=org))
        if session.extensions:
            self._confirm(session, reply)
        elif reply.kind is not NodeInput.ABORTED:
            self._rehab(session)

    def _confirm(self, session: NodeSession, reply: Reply) -> None:
        """Once everything about this result is stored, the agent may forget it."""
        job_id = reply.job.id
        final = reply.kind in RESULTS or reply.kind is NodeInput.ABORTED
        if session.extensions and final and job_id is not None:
            message, key = Confirm(job_id), session.key
            batch = self._engine.batch(job_id)
            batch.after.append(lambda: self._engine.roster.send(key, message))

    def _member(self, session: NodeSession, job_id: Optional[str]) -> Optional[JobMachine]:
        """The job of that id if this node is in it, in its own organization."""
        job = self._engine.jobs.by_id.get(job_id or "")
        if job is None or job.request.org != session.key[0] or session.key[1] not in job.nodes:
            return None
        return job


def report_of(reply: Reply, extensions: bool) -> Report:
    """A node's reply as a job takes it; output counts only when both channels came."""
    outcome = Outcome(reply.exit_code, reply.signal, reply.reason, reply.started_at, reply.ended_at)
    output = None
    if reply.stdout_size is not None or reply.stderr_size is not None:
        output = (b"", b"")  # it was sent in pieces, and the last one is before this message
    elif reply.stdout is not None and reply.stderr is not None:
        output = (reply.stdout.encode("utf-8"), reply.stderr.encode("utf-8"))
    started = extensions and (
        reply.kind is NodeInput.ACK_RUN or (reply.kind in RESULTS and reply.started_at is not None)
    )
    return Report(reply.kind, outcome, output, started)
