"""All jobs of this node: those that run, and those that ended and wait in the spool.

Decides nothing about the connection; what ended is handed to ``on_ended`` after it is on the disk.
"""

from __future__ import annotations

import os
import time

from push_jobs_agent.runner import jobfile, locks
from push_jobs_agent.runner.cleaner import Cleaner
from push_jobs_agent.runner.environment import FILE_VARIABLE
from push_jobs_agent.runner.errors import Refused, RunnerError
from push_jobs_agent.runner.job import CRASH_GRACE, Job
from push_jobs_agent.runner.log import log
from push_jobs_agent.runner.news import News
from push_jobs_agent.runner.plan import Request, make_plan
from push_jobs_agent.runner.spool import Spool
from push_jobs_agent.runner.tree import boot_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    import selectors
    from typing import Any, Callable

    from push_jobs_agent.runner.options import Options
    from push_jobs_agent.runner.plan import Plan
    from push_jobs_agent.runner.whitelist import Whitelist


class Jobs:
    """The table of jobs.

    Args:
        options: of the command line.
        whitelist: what may run here; replaced by a reload.
        selector: told about the outputs of running jobs; its data are functions to call.
        on_ended: called with each job that ended.
        on_output: called with a job that printed something, now and then.
    """

    def __init__(
        self,
        options: Options,
        whitelist: Whitelist,
        selector: selectors.BaseSelector,
        on_ended: Callable[[dict[str, Any]], None],
        on_output: Callable[[dict[str, Any]], None],
    ) -> None:
        self.whitelist = whitelist
        self._options = options
        self._file_dir = options.file_dir or os.path.join(options.state_dir, "files")
        self._selector = selector
        self._on_ended = on_ended
        self._cleaner = Cleaner(self._file_dir, time.monotonic())
        user = options.session_user
        self._spool = Spool(options.state_dir, None if user is None else user.gid)
        self._running: dict[str, Job] = {}
        self._news = News(lambda job_id: on_output(self._running[job_id].fields))

    @property
    def idle(self) -> bool:
        """True when no job runs."""
        return not self._running

    def recover(self, now: float) -> None:
        """End what a dead runner left: kill its processes, then call it crashed."""
        for job_id in self._spool.jobs():
            if self._spool.read(job_id, "result") is None:
                self._crash(job_id, now)
        self._sweep()

    def _crash(self, job_id: str, now: float) -> None:
        noted = self._spool.read(job_id, "process")
        known = noted or {"pid": 0, "start": 0, "boot": boot_id()}
        folder = self._spool.folder(job_id)
        job = Job(job_id, folder, known.get("capture") is True, known.get("started_at"))
        job.file = jobfile.path(self._file_dir, job_id)
        self._running[job_id] = job
        reason = "the runner died while the job ran" if noted else "the runner died before it ran"
        log(f"job {job_id}: {reason}")
        if known.get("boot") == boot_id():
            process = (int(known["pid"]), int(known["start"]))
            job.kill("crashed", reason, CRASH_GRACE, now, process)
            job.tick(self._spool, now)
        else:
            job.give_up("crashed", "the machine went down while the job ran", self._spool, now)

    def listing(self) -> list[dict[str, Any]]:
        """All jobs, oldest first."""
        found = {job_id: job.fields for job_id, job in self._running.items()}
        for job_id in self._spool.jobs():
            result = None if job_id in found else self._spool.read(job_id, "result")
            if result is not None:
                found[job_id] = result
        return sorted(found.values(), key=lambda job: (job["started_at"] or 0.0, job["job_id"]))

    def check(self, fields: Any) -> Plan:
        """What would be run for a request. Raises Refused with the reason against it."""
        request = Request(fields)
        self._spool.check_new(request.job_id)
        return make_plan(request, self.whitelist, self._options)

    def start(self, fields: Any, now: float) -> float:
        """Start a job; returns when that was, in seconds since the epoch.

        Raises:
            Refused: with the reason; then nothing of the job is left here.
        """
        plan = self.check(fields)
        job = Job(plan.job_id, self._spool.folder(plan.job_id), plan.capture, None)
        self._spool.create(plan.job_id, fields)
        try:
            if plan.lock and plan.lock_held:
                job.lock = locks.take(plan.lock)
            self._store_file(job, plan)
            job.run(plan, self._spool, self._options.output_limit, self._selector, now)
        except (Refused, OSError) as error:
            self._undo(job)
            if isinstance(error, Refused):
                raise
            raise Refused(f"the process of the job cannot be made: {error.strerror}") from None
        self._running[plan.job_id] = job
        job.grown = lambda: self._news.grown(plan.job_id, time.monotonic())
        log(f"job {plan.job_id}: started {plan.argv[0]!r}")
        started_at: float = job.fields["started_at"]
        return started_at

    def _store_file(self, job: Job, plan: Plan) -> None:
        if plan.file is None:
            return
        account = plan.account if os.geteuid() == 0 else None
        owner = None if account is None else (account.uid, account.gid)
        job.file = jobfile.store(self._file_dir, plan.job_id, plan.file, owner)
        plan.env[FILE_VARIABLE] = os.path.abspath(job.file)

    def _undo(self, job: Job) -> None:
        locks.give_back(job.lock)
        if job.file is not None:
            jobfile.remove(job.file)
        self._spool.discard(job.job_id)

    def abort(self, job_id: Any, grace: float, reason: str, now: float) -> None:
        """Begin to end a job; it is told by ``on_ended`` when nothing of it is left.

        Raises:
            RunnerError: when no such job runs.
        """
        self.look(now)
        job = self._running.get(job_id) if isinstance(job_id, str) else None
        if job is None:
            raise RunnerError(f"no job {job_id} runs here")
        job.kill("aborted", reason, grace, now)
        job.tick(self._spool, now)

    def abort_all(self, grace: float, reason: str, now: float) -> None:
        """Begin to end every job."""
        for job in self._running.values():
            job.kill("aborted", reason, grace, now)

    def release(self, job_id: Any) -> None:
        """Remove an ended job from the spool. Raises RunnerError when that is not possible."""
        self._spool.release(job_id)

    def look(self, now: float) -> None:
        """Some process ended."""
        for job in self._running.values():
            job.look(self._spool, now)
        self._sweep()

    def next_call(self) -> float:
        """When ``tick`` wants to be called, in monotonic seconds."""
        due = [self._news.next_call(), *(job.next_call() for job in self._running.values())]
        return min([self._cleaner.next_call, *(at for at in due if at is not None)])

    def tick(self, now: float) -> None:
        """Do what is due."""
        for job in self._running.values():
            job.tick(self._spool, now)
        self._news.tick(now)
        self._cleaner.tick(self._running, now)
        self._sweep()

    def _sweep(self) -> None:
        for job in [job for job in self._running.values() if job.ended]:
            self._news.forget(job.job_id)
            del self._running[job.job_id]
            log(f"job {job.job_id}: {job.fields['result']}")
            self._on_ended(job.fields)
