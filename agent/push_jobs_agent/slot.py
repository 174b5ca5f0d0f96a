"""The one job that a Pushy node may hold: its vote, its run and its abort. Pure.

Moves through ``push_jobs_wire.states.AGENT_TRANSITIONS``. It asks the runner and never waits for
it: a vote or a start that the runner still thinks about is ``pending``. What became of a job that
ended is the business of ``reports``. Sources: pushy-protocol 6.5, 7.1, 9.2 R5 to R8, 9.4.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Sequence

from push_jobs_agent.actions import Now
from push_jobs_agent.outbox import Outbox
from push_jobs_agent.outcome import shorten
from push_jobs_agent.reports import Reports
from push_jobs_agent.runner import job_ids
from push_jobs_agent.spooled import SpooledJob
from push_jobs_wire.messages import Abort, Commit
from push_jobs_wire.states import AGENT_TRANSITIONS, AgentInput, AgentState, NodeInput

COMMIT_LASTS = 180.0
"""Seconds after which a vote without a run is void; servers vote for a minute or so."""

LONGEST_GRACE = 600.0
"""Seconds; as for the setting ``abort_grace``. A server that asks for more gets this."""


class Slot:
    """The state of the job that this node is asked to run.

    Args:
        outbox: where answers and requests go.
        reports: takes jobs that ended, and knows ids that were here before.
        abort_grace: seconds between the polite and the hard end of an aborted job, unless the
            server chooses.
    """

    def __init__(self, outbox: Outbox, reports: Reports, abort_grace: float) -> None:
        self.state = AgentState.IDLE
        self.job_id: Optional[str] = None
        self.pending: Optional[str] = None
        self.draining = False
        self.runner_up = False
        self.grace = abort_grace
        self._outbox = outbox
        self._reports = reports
        self._request: Dict[str, Any] = {}
        self._aborting: Optional[Abort] = None
        self._expires: Optional[float] = None
        self._expired: Optional[str] = None

    @property
    def free(self) -> bool:
        """True when no job is held, and none is thought about."""
        return self.state is AgentState.IDLE and self.pending is None

    @property
    def settled(self) -> bool:
        """True unless a vote was given or a start is under way: then nothing may be disturbed."""
        return self.pending is None and self.state is not AgentState.COMMITTED

    # What the server says

    def commit(self, message: Commit, now: Now) -> None:
        """Answer the question whether this node would run a job, after asking the runner."""
        request = self._as_request(message)
        if request == self._request and not self.free and self.state is not AgentState.RUNNING:
            # The server asks again because our vote got lost; a second vote changes nothing.
            if self.pending is None:
                self._vote_yes(now)
            return
        reason = self._refusal(message)
        if reason is None:
            self._request, self.job_id, self.pending = request, message.job_id, "check"
            self._outbox.ask("check", request=request)
        else:
            self._refuse("refused to vote for a job", message.job_id, reason, message.command)
            self._outbox.reply(NodeInput.NACK_COMMIT, message.job_id, now, reason)

    def run(self, job_id: Optional[str], now: Now) -> None:
        """Start the committed job; anything else is refused."""
        if job_id is not None and job_id == self.job_id and self.pending != "check":
            self._run_held(now)
        elif self._reports.resend(job_id):
            self._outbox.log("info", "asked to run a job that ended", job_id=job_id)
        else:
            self._nack_run(job_id, self._why_not_run(job_id), now)

    def abort(self, message: Abort, now: Now) -> None:
        """Drop whatever is going on; ``aborted`` is sent when nothing of it is alive any more.

        Servers repeat themselves; only one that leaves less time than before changes anything.
        """
        if self.state is AgentState.RUNNING or self.pending == "start":
            if self._aborting is None or self._grace_of(message) < self._grace_of(self._aborting):
                self._aborting = message
                if self.state is AgentState.RUNNING:
                    self._ask_abort(message)
        else:
            held = self.job_id if self.state is AgentState.COMMITTED else None
            if not self.free:
                self._outbox.log("info", "dropped a job: the server aborted it", job_id=self.job_id)
            self._outbox.reply(NodeInput.ABORTED, held, now)
            self._clear(AgentInput.ABORT if held else None)

    # What the runner says

    def checked(self, fields: Mapping[str, Any], reply: Mapping[str, Any], now: Now) -> None:
        """The runner's opinion about a job; it may come after the question was withdrawn."""
        if self.pending != "check" or fields["request"] is not self._request:
            return
        if reply.get("ok"):
            self.pending = None
            self._move(AgentInput.ACCEPTED)
            self._expires = now.steady + COMMIT_LASTS
            self._vote_yes(now)
        else:
            reason = str(reply.get("reason"))
            command = self._request["command"]
            self._refuse("refused to vote for a job", self.job_id, reason, command)
            self._outbox.reply(NodeInput.NACK_COMMIT, self.job_id, now, reason)
            self._clear(None)

    def started(self, fields: Mapping[str, Any], reply: Mapping[str, Any], now: Now) -> None:
        """The runner started a job, or says why it did not."""
        if self.pending != "start" or fields["request"] is not self._request:
            return
        if reply.get("ok"):
            self._start_running(now)
        else:
            self._not_started(str(reply.get("reason")), now)

    def ended(self, job: SpooledJob, now: Now) -> None:
        """All processes of a job are gone."""
        if job.job_id == self.job_id and self.pending == "start":
            self._start_running(now)
        if job.job_id != self.job_id or self.state is not AgentState.RUNNING:
            self._reports.add(job)
            return
        self._outbox.log(
            "info",
            "job ended",
            job_id=job.job_id,
            result=job.result,
            exit_code=job.exit_code,
            signal=job.signal,
            reason=job.reason,
        )
        aborting = self._aborting is not None
        self._reports.add(job, aborting)
        if aborting and self._outbox.extended and job.result in ("succeeded", "failed"):
            # It ended by itself before the abort could reach it: the result is told, and the
            # server still waits for an answer to its abort.
            self._outbox.reply(NodeInput.ABORTED, None, now)
        self._clear(AgentInput.ENDED)

    def runner_lost(self, now: Now) -> None:
        """The runner does not answer any more; a job goes on or is found by the next one."""
        self.runner_up = False
        if self.pending == "check":
            job_id, reason = self.job_id, "the runner of this node died"
            self._refuse("refused to vote for a job", job_id, reason)
            self._outbox.reply(NodeInput.NACK_COMMIT, job_id, now, reason)
            self._clear(None)

    def runner_found(self, jobs: Sequence[SpooledJob], now: Now) -> None:
        """A runner is there and says what is in its spool."""
        self.runner_up = True
        mine = next((job for job in jobs if job.job_id == self.job_id), None)
        if self.pending == "start":
            if mine is None:
                self._not_started("the runner of this node died before it started the job", now)
            else:
                self._start_running(now)
        elif self.state is AgentState.RUNNING:
            self._resume(mine, now)
        for job in jobs:
            if job.ended:
                self.ended(job, now)
        running = [job for job in jobs if not job.ended]
        for job in running:
            self._reports.hold(job.job_id)
            self._reports.streams.hold(job)
        if self.free and running:
            self._take_over(running[-1])

    def tick(self, now: Now) -> None:
        """Forget a vote that was never followed by a run."""
        if self.state is AgentState.COMMITTED and self.pending is None:
            if self._expires is not None and now.steady >= self._expires:
                self._outbox.log("warning", "a vote expired: no run came", job_id=self.job_id)
                self._expired = self.job_id
                self._clear(AgentInput.ENDED)

    def next_call(self) -> Optional[float]:
        """When ``tick`` wants to be called, in steady seconds."""
        return self._expires

    # How it happens

    def _move(self, what: AgentInput) -> None:
        self.state = AGENT_TRANSITIONS[what, self.state]

    def _clear(self, what: Optional[AgentInput]) -> None:
        if what is not None:
            self._move(what)
        self.job_id = self.pending = self._expires = None
        self._request = {}
        self._aborting = None

    def _as_request(self, message: Commit) -> Dict[str, Any]:
        return {
            "job_id": message.job_id,
            "org": self._outbox.origin.org,
            "node": self._outbox.origin.node,
            "command": message.command,
            "user": message.user,
            "dir": message.dir,
            "env": None if message.env is None else dict(message.env),
            "file": message.file,
            "capture": message.capture,
            "run_timeout": message.run_timeout,
        }

    def _refusal(self, message: Commit) -> Optional[str]:
        reasons: Sequence[Callable[[], Optional[str]]] = (
            lambda: message.problem,
            lambda: job_ids.problem(message.job_id),
            lambda: "draining: the agent of this node stops" if self.draining else None,
            lambda: None if self.runner_up else "the runner of this node is not running",
            lambda: None if self.free else f"busy with job {self.job_id}",
            lambda: "this job was here before" if self._reports.knows(message.job_id) else None,
        )
        return next((text for text in (reason() for reason in reasons) if text), None)

    def _refuse(
        self,
        what: str,
        job_id: Optional[str],
        reason: str,
        command: Optional[str] = None,
    ) -> None:
        self._outbox.log("warning", what, job_id=job_id, command=command, reason=reason)

    def _vote_yes(self, now: Now) -> None:
        self._outbox.log("info", "ready for a job", job_id=self.job_id)
        self._outbox.reply(NodeInput.ACK_COMMIT, self.job_id, now)

    def _run_held(self, now: Now) -> None:
        if self.state is AgentState.RUNNING:
            # Our acknowledgement got lost; nothing is started a second time.
            self._outbox.reply(NodeInput.ACK_RUN, self.job_id, now)
        elif self.pending is None and self.runner_up:
            self.pending = "start"
            self._expires = None
            self._outbox.ask("start", request=self._request)
        elif self.pending is None:
            self._not_started("the runner of this node is not running", now)

    def _why_not_run(self, job_id: Optional[str]) -> str:
        if self._reports.knows(job_id):
            return "this job was here before"
        if job_id is not None and job_id == self._expired:
            return f"no run came within {COMMIT_LASTS:.0f} s after the vote"
        if not self.free:
            return f"busy with job {self.job_id}"
        return "this node holds no vote for the job"

    def _nack_run(self, job_id: Optional[str], reason: str, now: Now) -> None:
        self._refuse("refused to run a job", job_id, reason)
        self._outbox.reply(NodeInput.NACK_RUN, job_id, now, reason)

    def _not_started(self, reason: str, now: Now) -> None:
        job_id = self.job_id
        if self._aborting is not None:
            self._outbox.reply(NodeInput.ABORTED, job_id, now, reason)
        else:
            self._nack_run(job_id, reason, now)
        self._clear(AgentInput.ENDED)

    def _start_running(self, now: Now) -> None:
        self.pending = None
        self._move(AgentInput.STARTED)
        assert self.job_id is not None
        self._reports.hold(self.job_id)
        self._outbox.log("info", "job started", job_id=self.job_id)
        self._outbox.reply(NodeInput.ACK_RUN, self.job_id, now)
        if self._aborting is not None:
            self._ask_abort(self._aborting)

    def _grace_of(self, message: Abort) -> float:
        return self.grace if message.grace is None else min(message.grace, LONGEST_GRACE)

    def _ask_abort(self, message: Abort) -> None:
        grace, reason = self._grace_of(message), message.reason or "aborted by the server"
        self._outbox.log("info", "aborting a job", job_id=self.job_id, grace_s=grace, reason=reason)
        self._outbox.ask("abort", job_id=self.job_id, grace=grace, reason=shorten(reason))

    def _resume(self, mine: Optional[SpooledJob], now: Now) -> None:
        if mine is None:
            lost = "the runner of this node lost the job"
            self.ended(SpooledJob(str(self.job_id), result="crashed", reason=lost), now)
        elif not mine.ended and self._aborting is not None:
            self._ask_abort(self._aborting)

    def _take_over(self, job: SpooledJob) -> None:
        self._move(AgentInput.ACCEPTED)
        self._move(AgentInput.STARTED)
        self.job_id = job.job_id
        self._outbox.log("info", "took over a running job", job_id=job.job_id)
