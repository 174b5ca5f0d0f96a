"""Which jobs a list is to have, as the query of ``v1/jobs`` says it. Nothing here is sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Iterator, Optional, Sequence, Tuple, Union
from urllib.parse import urlencode

from push_jobs.errors import UsageError
from push_jobs_wire.states import JobStatus

Statuses = Union[str, JobStatus, Sequence[Union[str, JobStatus]], None]

LARGEST_PAGE = 1000


@dataclass(frozen=True)
class JobQuery:
    """What is asked for; None means any. ``since`` and ``until`` are about the creation."""

    status: Statuses = None
    node: Optional[str] = None
    command: Optional[str] = None
    requestor: Optional[str] = None
    since: Optional[datetime] = None
    until: Optional[datetime] = None
    id_start: Optional[str] = None

    def encode(self, limit: int, cursor: Optional[str]) -> str:
        """Return the query of one page; raises UsageError for what no server can take."""
        pairs = [*self._pairs(), ("limit", str(limit))]
        if cursor is not None:
            pairs.append(("cursor", cursor))
        try:
            return urlencode(pairs)
        except UnicodeEncodeError:
            raise UsageError("a filter of the list of jobs is not valid UTF-8") from None

    def _pairs(self) -> Iterator[Tuple[str, str]]:
        for status in _statuses(self.status):
            yield "status", status
        texts = {
            "node": self.node,
            "command": self.command,
            "requestor": self.requestor,
            "since": _moment("since", self.since),
            "until": _moment("until", self.until),
            "id": self.id_start,
        }
        for name, text in texts.items():
            if text is not None:
                yield name, text


def _statuses(given: Statuses) -> Iterator[str]:
    if given is None:
        return
    for status in [given] if isinstance(given, (str, JobStatus)) else given:
        try:
            yield JobStatus(status).value
        except ValueError:
            words = ", ".join(known.value for known in JobStatus)
            raise UsageError(f"{status!r} is no status of a job; choose from: {words}") from None


def _moment(name: str, moment: Optional[datetime]) -> Optional[str]:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise UsageError(f"{name!r} needs a time zone, such as timezone.utc")
    return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
