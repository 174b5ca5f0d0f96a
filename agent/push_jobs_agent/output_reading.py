"""Reading what a job printed from the spool, for whichever end sends it on."""

from __future__ import annotations

from typing import Callable, Tuple

from push_jobs_agent.actions import ReadPart
from push_jobs_agent.logs import log
from push_jobs_agent.runner.errors import RunnerError

ReadSpoolPart = Callable[[str, str, str, int, int], Tuple[int, bytes]]
"""As ``runner.spool.read_output_part``."""


def read_or_lose(read: ReadSpoolPart, state_dir: str, part: ReadPart) -> Tuple[int, bytes]:
    """A piece of output and its offset; none, and a line in the log, when it cannot be read."""
    try:
        return read(state_dir, part.job_id, part.stream, part.offset, part.most)
    except RunnerError as error:
        log("error", "output is lost", {"job_id": part.job_id, "reason": str(error)})
        return part.offset, b""
