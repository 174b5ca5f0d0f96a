"""The report about an ended job, made to fit into one message. Pure text work.

Output is decoded with replacement, NUL is replaced too (a PostgreSQL text column cannot hold it),
and what does not fit is cut out of the middle, where a mark says so. Both channels or neither are
sent (pushy-protocol 9.2 R4, R10, R11).
"""

from __future__ import annotations

import json
from typing import Optional, Tuple

from push_jobs_agent.runner.output import bound
from push_jobs_agent.spooled import SpooledJob
from push_jobs_wire.messages import JobRef, Reply
from push_jobs_wire.states import NodeInput

KINDS = {"succeeded": NodeInput.SUCCEEDED, "failed": NodeInput.FAILED}
"""Every other result of the runner (aborted, crashed) is reported as ``aborted``."""

LONGEST_REASON = 500


def reply_for(job: SpooledJob, kind: Optional[NodeInput] = None) -> Reply:
    """The outcome message of an ended job, without output. ``kind`` replaces the job's own."""
    return Reply(
        KINDS.get(str(job.result), NodeInput.ABORTED) if kind is None else kind,
        JobRef(job.job_id),
        exit_code=job.exit_code,
        signal=job.signal,
        reason=None if job.reason is None else shorten(job.reason),
        started_at=job.started_at,
        ended_at=job.ended_at,
        stdout_size=job.stdout_size if job.capture else None,
        stderr_size=job.stderr_size if job.capture else None,
    )


def shorten(reason: str) -> str:
    """A reason that fits into any message."""
    return reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 3] + "..."


def fit(stdout: bytes, stderr: bytes, room: int) -> Tuple[str, str]:
    """Both channels as text that takes at most ``room`` bytes of JSON together.

    A channel that needs less than its half leaves the rest to the other one.
    """
    half = room // 2
    out = _cut(stdout, half)
    err = _cut(stderr, room - _size(out))
    return _cut(stdout, room - _size(err)), err


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _size(text: str) -> int:
    """Bytes of ``text`` inside a JSON string."""
    return len(json.dumps(text)) - 2


def _cut(data: bytes, room: int) -> str:
    """As much of ``data`` as fits, found by trying: a byte may become six in JSON."""
    whole = _decode(data) if len(data) <= room else None
    if whole is not None and _size(whole) <= room:
        return whole
    low, high, best = 0, min(len(data), room), ""
    while low <= high:
        limit = (low + high) // 2
        text = _decode(bound(data, limit))
        if _size(text) <= room:
            low, best = limit + 1, text
        else:
            high = limit - 1
    return best
