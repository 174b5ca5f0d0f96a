"""What the server has to be told of all runs, and what its answers mean. Pure.

Everything is said again until it is taken, with growing pauses, also by the next agent.
Sources: shovey 2.5, 2.7, 2.8; checklist 8, agent 5 to 8.
"""

from __future__ import annotations

from typing import Optional

from push_jobs_agent.actions import Answer, Now, Put, ReadPart
from push_jobs_agent.run_table import RunTable
from push_jobs_agent.serf_run import Kind, Run

AGAIN_AFTER = 1.0
"""Seconds until a goiardi is told an end for the second time; it may have lost the first (2.8)."""

_LATER = frozenset({401, 403, 404, 408, 412, 429})
"""Refusals of now: the node may still be registered, a clock be set, Shovey be switched on, the
way to the server be put right."""


class RunReports:
    """Tells the server of the runs in a table."""

    def __init__(self, table: RunTable) -> None:
        self._table = table
        self._puts = 0

    def next_call(self) -> Optional[float]:
        """When ``pump`` wants to be called, in steady seconds."""
        waiting = (run.due for run in self._table.runs.values() if run.letter is None)
        return min((due for due in waiting if due > float("-inf")), default=None)

    def pump(self, now: Now) -> None:
        """Say, or read, what can be said now."""
        for run in list(self._table.runs.values()):
            if run.letter is None and not run.reading and run.due <= now.steady:
                run.due = float("-inf")
                self._advance(run)

    def _advance(self, run: Run) -> None:
        if run.complete and (run.cancelled or run.muted):
            self._table.done(run)
            return
        for channel in run.untold():
            part = channel.wanted()
            if part is not None:
                run.reading = True
                self._table.do(ReadPart(run.job_id, channel.stream, *part))
                return
            channel.decide()
        run.letter = run.next_letter()
        if run.letter is not None:
            self._send(run)

    def _send(self, run: Run) -> None:
        assert run.letter is not None
        self._puts += 1
        run.number = self._puts
        if run.letter.channels:
            # Which bytes they stand for must not change when the next agent says them again.
            self._table.keep(run)
        self._table.do(Put(run.number, run.job_id, run.letter.path, run.letter.body))

    # Answers

    def answered(self, answer: Answer, now: Now) -> None:
        """The server answered, or did not."""
        run = self._table.runs.get(answer.put.job_id)
        if run is None or run.letter is None or run.number != answer.put.number:
            return
        what, status = run.letter.kind, answer.status
        if 200 <= status < 300 or (status == 409 and what is Kind.CHUNK):
            self._taken(run, answer, now)
            self._wake()
        elif answer.unknown:
            self._give_up(run)
        elif 400 <= status < 500 and status not in _LATER:
            reason = answer.problem or f"status {status}"
            text = "the server refuses a report"
            self._table.log("error", text, job_id=run.job_id, what=what.value, reason=reason)
            self._taken(run, answer, now)
        else:
            self._not_now(run, answer, now)

    def _taken(self, run: Run, answer: Answer, now: Now) -> None:
        again = run.told_end
        kind = run.taken()
        if kind is Kind.RUNNING:
            self._table.keep(run)
        elif kind is Kind.END and answer.goiardi and not again and not run.volatile:
            run.due = now.steady + AGAIN_AFTER
            self._table.keep(run)
        elif kind is Kind.END:
            self._table.log("info", "the server has the end of a job", job_id=run.job_id)
            self._table.done(run)

    def _not_now(self, run: Run, answer: Answer, now: Now) -> None:
        pause = run.refused(now.steady, unreachable=not answer.status)
        fields = {"job_id": run.job_id, "status": answer.status or None, "retry_in_s": pause}
        self._table.log("warning", "could not report", reason=answer.problem or None, **fields)

    def _wake(self) -> None:
        """The server is there: what waits because it was not need not wait for longer."""
        for run in self._table.runs.values():
            if run.unreachable:
                run.unreachable, run.due = False, float("-inf")

    def _give_up(self, run: Run) -> None:
        """The server does not know the run: nobody wants to hear of it. While it runs it may."""
        self._table.log("warning", "the server knows nothing of a job", job_id=run.job_id)
        run.letter, run.muted = None, True
        self._table.keep(run)
