"""All runs over Serf of this node: the machine between Serf, the runner, the disk and the reports.

Pure: payloads of queries, words of the runner, answers of the server and the time go in; actions
come out. Several runs may go on at once. Nothing is told about a run because of a message that does
not count. Sources: shovey 2.8, 4.3, 5.4, 5.5; checklist 8, agent.
"""

from __future__ import annotations

from typing import Any, Iterable, List, Mapping, Optional, Tuple

from push_jobs_agent import run_verdict, shovey_check
from push_jobs_agent.accepted import Accepted
from push_jobs_agent.actions import Action, Answer, Ask, Keep, Need256, Now, ReadPart, Remember
from push_jobs_agent.refusals import Refusals
from push_jobs_agent.run_reports import RunReports
from push_jobs_agent.run_table import RunTable
from push_jobs_agent.run_verdict import Verdict
from push_jobs_agent.serf_run import Phase, Run
from push_jobs_agent.shovey_check import Command, NotAccepted
from push_jobs_agent.spooled import SpooledJob, read_job
from push_jobs_wire import shovey

MOST_NOTICES = 32
"""So many reports about commands that do not count may wait; anybody can send old ones again."""

RUNNER_WITHIN = 30.0
"""Seconds that a run waits for a runner that is away."""

PublicKey = Tuple[int, int]


class SerfRuns:
    """The machine.

    Args:
        node: the name of this node.
        key: modulus and exponent of the server's signing key.
        slew: seconds that a command's time may be away from ours.
        grace: seconds between the polite and the hard end of a cancelled run.
        accepted: the commands that were accepted in earlier lives.
        runs: those of earlier lives.
        need_256: this server has signed with SHA-256, too.
    """

    def __init__(
        self,
        node: str,
        key: PublicKey,
        slew: float,
        grace: float,
        accepted: Accepted,
        runs: Iterable[Run],
        need_256: bool,
    ) -> None:
        self._node = node
        self._grace = grace
        self._key, self._slew = key, slew
        self._accepted = accepted
        self._need_256 = need_256
        self._table = RunTable(runs)
        self._reports = RunReports(self._table)
        self._refusals = Refusals(self._table.log)
        self._found = False
        self._draining = False

    # State that others look at

    def owns(self, job_id: str) -> bool:
        """True for a job that came over Serf."""
        return self._table.owns(job_id)

    @property
    def running(self) -> List[str]:
        """The jobs that have not ended."""
        return [run.job_id for run in self._table.runs.values() if run.open]

    @property
    def empty(self) -> bool:
        """True when the server knows everything."""
        return not self._table.runs

    def next_call(self) -> Optional[float]:
        """When ``tick`` wants to be called, in steady seconds."""
        times = [self._reports.next_call(), *(run.patience for run in self._table.runs.values())]
        return min((time for time in times if time is not None), default=None)

    # What happens

    def query(self, data: bytes, now: Now) -> List[Action]:
        """A query named shovey has come with this payload."""
        try:
            command = shovey_check.check(data, self._key, self._need_256, now.wall, self._slew)
            self._accept(command, now)
        except NotAccepted as error:
            self._not_accepted(error, now)
        return self._out(now)

    def kept(self, keep: Keep, problem: Optional[str], now: Now) -> List[Action]:
        """A run was written down, or could not be."""
        run = self._table.runs.get(keep.job_id)
        if problem is not None:
            text = "a run over Serf cannot be written down"
            self._table.log("error", text, job_id=keep.job_id, reason=problem)
        if run is not None and run.phase is Phase.NEW and run.fresh and not run.asked:
            if problem is None:
                self._ask_start(run, now)
            else:
                self._refuse(run, {"reason": f"the state folder cannot be written: {problem}"})
        return self._out(now)

    def runner_found(self, hello: Mapping[str, Any], now: Now) -> List[Action]:
        """A runner is there; these jobs of ours are in its spool."""
        self._table.runner_up = self._found = True
        found = [job for job in map(read_job, hello.get("jobs") or []) if job is not None]
        jobs = {job.job_id: job for job in found}
        for run in list(self._table.runs.values()):
            self._resume(run, jobs.get(run.job_id), now)
        return self._out(now)

    def runner_lost(self, now: Now) -> List[Action]:
        """The runner is gone; runs go on, or are found by the next one."""
        self._table.runner_up = False
        for run in self._table.runs.values():
            if run.phase is Phase.NEW:
                run.patience = now.steady + RUNNER_WITHIN
        return self._out(now)

    def runner_answered(self, ask: Ask, reply: Mapping[str, Any], now: Now) -> List[Action]:
        """The runner answered a request of ours."""
        run = self._table.runs.get(str(ask.fields.get("job_id")))
        if run is not None and ask.op == "start" and run.asked:
            if reply.get("ok"):
                self._started(run)
                run.wait_for_end(now.steady)
            else:
                self._refuse(run, reply)
        elif run is not None and ask.op == "release" and run.phase is Phase.DONE:
            self._table.forget(run)
        elif not reply.get("ok"):
            text, job_id = f"the runner could not {ask.op}", ask.fields.get("job_id")
            self._table.log("debug", text, job_id=job_id, reason=reply.get("reason"))
        return self._out(now)

    def runner_event(self, event: Mapping[str, Any], now: Now) -> List[Action]:
        """The runner tells that a run printed something, or ended."""
        job = read_job(event.get("job"))
        run = None if job is None else self._table.runs.get(job.job_id)
        if job is not None and run is not None and run.open:
            self._continue(run, job)
        return self._out(now)

    def part_read(self, part: ReadPart, offset: int, data: bytes, now: Now) -> List[Action]:
        """Bytes of output were read from the spool; see ``Channel.read``."""
        run = self._table.runs.get(part.job_id)
        if run is not None and run.reading:
            run.reading = False
            for channel in run.channels:
                if channel.stream == part.stream:
                    channel.read(offset, data)
        return self._out(now)

    def answered(self, answer: Answer, now: Now) -> List[Action]:
        """The server answered a report or a chunk, or did not."""
        self._reports.answered(answer, now)
        return self._out(now)

    def tick(self, now: Now) -> List[Action]:
        """Turn all timers."""
        for run in list(self._table.runs.values()):
            if run.patience is not None and run.patience <= now.steady:
                self._refuse(run, {"reason": "the runner of this node is not running"})
        return self._out(now)

    def drain(self, now: Now) -> List[Action]:
        """Start nothing from now on."""
        self._draining = True
        return self._out(now)

    def adjust(self, key: PublicKey, slew: float, grace: float, need_256: bool) -> None:
        """An operator changed these settings; see the arguments of the class."""
        self._key, self._slew, self._grace, self._need_256 = key, slew, grace, need_256

    def _out(self, now: Now) -> List[Action]:
        if self._found:  # before that it is not known how much there is
            self._reports.pump(now)
            self._give_up_reported(now)
        return self._table.take()

    def _give_up_reported(self, now: Now) -> None:
        """What the server was told of as invalid must not run after all."""
        for run in self._table.runs.values():
            told = run.volatile and run.letter is not None
            if told and not self._accepted.knows(shovey.START, run.job_id):
                self._accepted.add(shovey.START, run.job_id, now.wall, self._slew)
                self._table.do(Remember(shovey.START, run.job_id, now.wall))

    # Commands

    def _accept(self, command: Command, now: Now) -> None:
        if self._accepted.knows(command.action, command.job_id):
            raise NotAccepted("the command was accepted or reported before")
        if command.action == shovey.START and self._is_known(command.job_id):
            raise NotAccepted("the run was here before")
        self._accepted.add(command.action, command.job_id, now.wall, self._slew)
        if command.with_256 and not self._need_256:
            self._need_256 = True
            self._table.do(Need256())
        kept = command.action == shovey.START and self._begin(command)
        self._table.do(Remember(command.action, command.job_id, now.wall, durable=not kept))
        if command.action == shovey.CANCEL:
            self._cancel(command)

    def _is_known(self, job_id: str) -> bool:
        """True for a run that is or was here, or was cancelled before it came."""
        actions = (shovey.START, shovey.CANCEL)
        return self.owns(job_id) or any(self._accepted.knows(each, job_id) for each in actions)

    def _not_accepted(self, error: NotAccepted, now: Now) -> None:
        self._refusals.refused("command over Serf", str(error)[:500], now)
        job_id = shovey.job_id_of(error.run_id or "")
        notices = sum(run.volatile for run in self._table.runs.values())
        if job_id is None or self._is_known(job_id) or notices >= MOST_NOTICES:
            return
        if job_id not in self._table.runs:
            run = Run(job_id, self._node, "", None)
            run.volatile = True
            run.end(Verdict("invalid", error=error.report))
            self._table.runs[job_id] = run

    def _begin(self, command: Command) -> bool:
        """True when the run is written down on the disk itself."""
        # Only a server of ours has the second signature.
        run = Run(command.job_id, self._node, command.command, command.timeout, command.with_256)
        self._table.runs[run.job_id] = run
        text = "asked to run a job over Serf"
        self._table.log("info", text, job_id=run.job_id, command=run.command)
        if self._draining:
            self._end(run, Verdict("failed", run_verdict.NO_EXIT_STATUS, run_verdict.STOPPING))
        elif run.timeout is not None and run.timeout <= 0:
            self._end(run, run_verdict.timed_out(run.run_id, self._node))
        else:
            self._table.keep(run, durable=True)
        return run.open

    def _cancel(self, command: Command) -> None:
        run = self._table.runs.get(command.job_id)
        if run is None or run.volatile or run.phase is Phase.DONE:
            return
        self._table.log("info", "a job over Serf is cancelled", job_id=run.job_id)
        run.cancelled = True
        if run.phase is Phase.NEW and not run.asked:
            self._table.forget(run)
            return
        self._table.keep(run)
        if run.phase is Phase.RUNNING:
            self._ask_abort(run)

    # The runner

    def _ask_start(self, run: Run, now: Now) -> None:
        """Ask the runner; one that is away is asked when it is back."""
        if not self._table.runner_up:
            run.patience = now.steady + RUNNER_WITHIN
            return
        run.asked, run.patience = True, None
        request = {
            "job_id": run.job_id,
            "node": self._node,
            "command": run.command,
            "capture": True,
            "run_timeout": run.timeout,
        }
        self._table.ask("start", run, request=request)

    def _ask_abort(self, run: Run) -> None:
        self._table.ask("abort", run, grace=self._grace, reason="cancelled by the server")

    def _started(self, run: Run) -> None:
        # It is not written down: the next agent would hear of it from the runner.
        run.started()
        self._table.log("info", "job started", job_id=run.job_id)
        if run.cancelled:
            self._ask_abort(run)

    def _refuse(self, run: Run, reply: Mapping[str, Any]) -> None:
        text, reason = "refused to run a job over Serf", reply.get("reason")
        self._table.log("warning", text, job_id=run.job_id, reason=reason)
        self._end(run, run_verdict.refused(reply, run.command))

    def _continue(self, run: Run, job: SpooledJob) -> None:
        """The runner has the run; it may have ended."""
        if run.phase is Phase.NEW:
            self._started(run)
        run.grown(job)
        if job.ended:
            self._end(run, run_verdict.of_job(job, run.run_id, self._node))

    def _end(self, run: Run, verdict: Verdict) -> None:
        run.end(verdict)
        result = "cancelled" if run.cancelled else verdict.status
        reason = verdict.error or None
        self._table.log("info", "job ended", job_id=run.job_id, result=result, reason=reason)
        self._table.keep(run)

    def _resume(self, run: Run, job: Optional[SpooledJob], now: Now) -> None:
        """Go on with a run after the runner has told what is in its spool."""
        if run.phase is Phase.DONE:
            self._table.release(run)
        elif job is not None and run.open:
            self._continue(run, job)
            if run.open and run.cancelled:
                self._ask_abort(run)
        elif job is not None:
            run.grown(job)
        elif run.phase is Phase.NEW and run.fresh and not run.cancelled:
            self._ask_start(run, now)
        elif run.open:
            self._end(run, run_verdict.lost())
