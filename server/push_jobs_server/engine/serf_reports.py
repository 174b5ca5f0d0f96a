"""What a node's report over Shovey means to a job, and what a job can't ask over Serf. Pure.

Sources: shovey 2.5, 3.5.
"""

from __future__ import annotations

from typing import Optional

from push_jobs_server.engine.job import RESULTS, Report
from push_jobs_server.records import JobRequest, Outcome
from push_jobs_server.serf_records import RunReport
from push_jobs_wire.states import NodeInput


def meaning(report: RunReport, what: NodeInput, wall: float) -> Report:
    """A report in the words of the job engine.

    Args:
        report: what the node said.
        what: what its word means.
        wall: now, in seconds since the epoch.
    """
    if what is NodeInput.ACK_RUN:
        return Report(what, Outcome(started_at=wall), started=True)
    reason = report.error or None
    if what not in RESULTS:
        return Report(what, Outcome(reason=reason, ended_at=wall))
    exit_code = report.exit_status
    if exit_code is None and what is NodeInput.SUCCEEDED:
        exit_code = 0
    began = None if report.seconds is None else wall - report.seconds
    outcome = Outcome(exit_code, reason=reason, started_at=began, ended_at=wall)
    return Report(what, outcome, (b"", b""), started=True)


def too_much(request: JobRequest) -> Optional[str]:
    """Why a job can't be asked of a node over Serf, whose commands have a name only; or None."""
    asked = {
        "user": request.user,
        "dir": request.dir,
        "env": request.env,
        "file": request.file,
    }
    names = [name for name, value in asked.items() if value is not None]
    return f"a command over Serf can't carry {', '.join(names)}" if names else None
