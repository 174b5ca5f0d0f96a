"""The runs over Serf, and what the machines around them want done. Pure.

All parts of the machine share one table, so that their actions keep their order.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List

from push_jobs_agent.actions import Action, Ask, Drop, Keep, Log
from push_jobs_agent.serf_run import Phase, Run


class RunTable:
    """The runs that are not yet told to the end, by job, and the actions since they were taken.

    Args:
        runs: those of earlier lives.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self.runs: Dict[str, Run] = {run.job_id: run for run in runs}
        self.runner_up = False
        self._actions: List[Action] = []

    def owns(self, job_id: str) -> bool:
        """True for a job that was accepted."""
        run = self.runs.get(job_id)
        return run is not None and not run.volatile

    def take(self) -> List[Action]:
        """All actions since the last call, in order."""
        actions, self._actions = self._actions, []
        return actions

    def do(self, action: Action) -> None:
        """Add an action."""
        self._actions.append(action)

    def ask(self, op: str, run: Run, **fields: Any) -> None:
        """Add a request to the runner."""
        self.do(Ask(op, {"job_id": run.job_id, **fields}, "serf"))

    def log(self, level: str, text: str, **fields: Any) -> None:
        """Add a line for the log; fields that are None are left out."""
        self.do(Log(level, text, {k: v for k, v in fields.items() if v is not None}))

    def keep(self, run: Run, durable: bool = False) -> None:
        """Write down how far a run has come; what was to be written just before is left out."""
        if run.volatile:
            return
        last = self._actions[-1] if self._actions else None
        if isinstance(last, Keep) and last.job_id == run.job_id:
            self._actions.pop()
            durable = durable or last.durable
        self.do(Keep(run.job_id, run.record(), durable))

    def forget(self, run: Run) -> None:
        """Nothing is left of a run."""
        del self.runs[run.job_id]
        if not run.volatile:
            self.do(Drop(run.job_id))

    def done(self, run: Run) -> None:
        """All is told: let its folder in the spool go, then forget it."""
        if not run.spooled:
            self.forget(run)
            return
        run.phase = Phase.DONE
        self.keep(run)
        self.release(run)

    def release(self, run: Run) -> None:
        """Ask the runner to let the folder go; a runner that is away is asked when it is back."""
        if self.runner_up:
            self.ask("release", run)
