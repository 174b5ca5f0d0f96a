"""A job as the runner reports it. Data only: the spool itself belongs to the runner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Tuple


@dataclass(frozen=True)
class SpooledJob:
    """One job of the spool; times are seconds since the epoch.

    ``result`` is None while it runs, then succeeded, failed, aborted or crashed (the runner died);
    ``cause`` says of a failed one that it was a timeout, or that it could not be started.
    """

    job_id: str
    result: Optional[str] = None
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    reason: Optional[str] = None
    cause: Optional[str] = None
    started_at: Optional[float] = None
    ended_at: Optional[float] = None
    capture: bool = False
    stdout_size: int = 0
    stderr_size: int = 0

    @property
    def sizes(self) -> Tuple[int, int]:
        """Bytes that came on both channels, stdout and stderr."""
        return self.stdout_size, self.stderr_size

    @property
    def ended(self) -> bool:
        """True when the job and all its processes are gone."""
        return self.result is not None


def read_job(fields: Any) -> Optional[SpooledJob]:
    """A job out of the runner's words, or None when they name no job."""
    job_id = fields.get("job_id") if isinstance(fields, dict) else None
    if not isinstance(job_id, str):
        return None
    ended = fields.get("state") == "ended"
    return SpooledJob(
        job_id,
        result=str(fields.get("result") or "crashed") if ended else None,
        exit_code=fields.get("exit_code"),
        signal=fields.get("signal"),
        reason=fields.get("reason"),
        cause=fields.get("cause"),
        started_at=fields.get("started_at"),
        ended_at=fields.get("ended_at"),
        capture=fields.get("capture") is True,
        stdout_size=_size(fields.get("stdout_size")),
        stderr_size=_size(fields.get("stderr_size")),
    )


def _size(value: Any) -> int:
    """A runner that was not restarted after an upgrade says nothing about sizes."""
    return value if isinstance(value, int) else 0
