"""Events as text: server-sent events as the old API writes them (pushy-api 4.8). Pure."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any, Iterable, Mapping

from push_jobs_server.feeds.history import Entry

KEEP_ALIVE = b":keepalive\n"

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def event_text(entry: Entry) -> bytes:
    """One event, with the blank line that ends it; feeds that are not read on have no ids."""
    data = json.dumps(
        {"timestamp": timestamp(entry.at), **entry.data},
        ensure_ascii=False,
        separators=(",", ":"),
    )
    numbered = f"id: {entry.id}\n" if entry.id else ""
    text = f"event: {entry.name}\n{numbered}data: {data}\n\n"
    return text.encode("utf-8", "replace")


def text(entries: Iterable[Entry]) -> bytes:
    """Several events."""
    return b"".join(map(event_text, entries))


def summary_text(document: Mapping[str, Any], at: int) -> bytes:
    """The only event of a job that ended a while ago."""
    return event_text(Entry("job-1", at, "summary", document))


def timestamp(at: int) -> str:
    """Microseconds since the epoch as ``YYYY-MM-DD hh:mm:ss.ffffffZ``."""
    moment = _EPOCH + timedelta(microseconds=at)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f") + "Z"
