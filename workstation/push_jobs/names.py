"""Ids of jobs and names of nodes, as addresses and messages to people have them."""

from __future__ import annotations

import re
from typing import Sequence, Tuple
from urllib.parse import quote

from push_jobs.errors import BadAnswer, UsageError
from push_jobs.models import JobSummary
from push_jobs.terminal import escape_line

FULL_ID = re.compile(r"[0-9a-f]{32}")


def job_id_of(uri: str) -> str:
    """The id at the end of a job's address. Raises BadAnswer."""
    job_id = uri.rstrip("/")[-32:]
    if not FULL_ID.fullmatch(job_id):
        raise BadAnswer(f"the new job's address has no job id in it: '{escape_line(uri)}'")
    return job_id


def segment(name: str) -> str:
    """Return ``name`` as one segment of a path. Raises UsageError for what can be none."""
    if name in ("", ".", ".."):
        raise UsageError(f"{name!r} cannot be the name of a node or job")
    try:
        return quote(name, safe="")
    except UnicodeEncodeError:
        raise UsageError(f"'{escape_line(name)}' is not valid UTF-8") from None


def several(prefix: str, found: Sequence[JobSummary]) -> str:
    """What to say about several jobs whose ids begin alike."""
    lines: Tuple[str, ...] = tuple(
        f"  {escape_line(job.id)}  {job.created_at:%Y-%m-%d %H:%M:%S}Z  {escape_line(job.command)}"
        for job in found[-10:]
    )
    more = f"  and {len(found) - 10} older ones" if len(found) > 10 else ""
    head = f"{len(found)} jobs begin with {prefix}; give more digits:"
    return "\n".join((head, *lines, *filter(None, [more])))
