"""The query of lists of jobs: filters, a limit, and a cursor that leads to the next page. Pure.

Names that are not ours are ignored, as the old server ignores all of them; a wrong value of ours is
refused with 400, which names it.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Callable, Dict, List, Optional, Tuple, TypeVar
from urllib.parse import parse_qs, urlencode

from push_jobs_server.api.services import Failure
from push_jobs_server.records import JobFilter, JobRecord
from push_jobs_wire.states import JobStatus

T = TypeVar("T")

DEFAULT_LIMIT = 100
MOST = 1000
"""Jobs on one page."""

_NAMES = ("status", "id", "node", "command", "requestor", "since", "until", "limit", "cursor")
_CURSOR = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,20})?)-([0-9a-f]{32})")
_SECONDS = re.compile(r"[0-9]{1,11}(?:\.[0-9]{1,9})?")
_TIME = "expected a time such as 2024-05-14T09:26:53Z, or seconds since 1970"


def read_query(query: str) -> Optional[JobFilter]:
    """What a query string asks for; None when it asks for nothing that we know.

    Raises Failure 400.
    """
    given = _given(query)
    if not given:
        return None
    statuses = tuple(_status(word) for word in given.pop("status", []))
    single = {name: _single(name, values) for name, values in given.items()}
    return JobFilter(
        statuses,
        id_start=_read(single, "id", _id_start),
        node=single.get("node"),
        command=single.get("command"),
        requestor=single.get("requestor"),
        since=_time(single, "since"),
        until=_time(single, "until"),
        before=_read(single, "cursor", _cursor),
        limit=_read(single, "limit", _limit) or DEFAULT_LIMIT,
    )


def cursor_after(job: JobRecord) -> str:
    """What leads to the page that begins after this job."""
    return f"{job.created_at!r}-{job.id}"


def with_cursor(query: str, cursor: str) -> str:
    """The same query for another page."""
    values = {**_given(query), "cursor": [cursor]}
    return urlencode([(name, value) for name, each in values.items() for value in each])


def _given(query: str) -> Dict[str, List[str]]:
    try:
        values = parse_qs(query, keep_blank_values=True, errors="strict")
    except ValueError:  # UnicodeDecodeError is one; so are too many fields
        raise Failure(400, ["the query is not form-encoded UTF-8"]) from None
    given = {name: values[name] for name in _NAMES if name in values}
    for name, texts in given.items():
        for text in texts:
            _check(name, text)
    return given


def _check(name: str, text: str) -> None:
    """Refuse what no job can have and some databases can't compare."""
    if not text:
        raise _wrong(name, "expected a value")
    if "\0" in text:
        raise _wrong(name, "a NUL character")


def _single(name: str, values: List[str]) -> str:
    if len(values) > 1:
        raise _wrong(name, "given more than once")
    return values[0]


def _read(values: Dict[str, str], name: str, parse: Callable[[str], T]) -> Optional[T]:
    return parse(values[name]) if name in values else None


def _wrong(name: str, why: str) -> Failure:
    return Failure(400, [f"invalid value for {name} ({why})"])


def _status(word: str) -> JobStatus:
    try:
        return JobStatus(word)
    except ValueError:
        words = ", ".join(status.value for status in JobStatus)
        raise _wrong("status", f"expected one of {words}") from None


def _id_start(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{1,32}", text):
        raise _wrong("id", "expected 1 to 32 of the digits 0-9 and a-f")
    return text


def _limit(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= MOST:
        raise _wrong("limit", f"expected 1 to {MOST}")
    return int(text)


def _cursor(text: str) -> Tuple[float, str]:
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise _wrong("cursor", "expected what the answer before called next")
    return float(match[1]), match[2]


def _time(values: Dict[str, str], name: str) -> Optional[float]:
    try:
        return _read(values, name, _moment)
    except (ValueError, OverflowError):
        raise _wrong(name, _TIME) from None


def _moment(text: str) -> float:
    """ISO 8601, in UTC unless it says otherwise, or seconds since the epoch."""
    if _SECONDS.fullmatch(text):
        return float(text)
    # Python 3.9 knows no Z.
    parsed = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp()
