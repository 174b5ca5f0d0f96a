"""Reading the audit trail, in the order of time, without holding all of it."""

from __future__ import annotations

import json
from typing import Any, Iterator, Optional

from sqlalchemy import select

from push_jobs_server.audit import first_id
from push_jobs_server.records import AuditEntry
from push_jobs_server.store.store import Store
from push_jobs_server.store.tables import audit

_PAGE = 1000


def entries(
    store: Store,
    org: Optional[str] = None,
    since: Optional[float] = None,
    until: Optional[float] = None,
) -> Iterator[AuditEntry]:
    """The rows from ``since`` until before ``until`` (seconds since the epoch), oldest first."""
    query = select(audit).order_by(audit.c.id).limit(_PAGE)
    if org is not None:
        query = query.where(audit.c.org == org)
    if until is not None:
        query = query.where(audit.c.id < first_id(until))
    after = "" if since is None else first_id(since)
    while True:
        # A page by itself: whoever reads slowly must not hold a snapshot of the database.
        with store.reading() as database:
            rows: Any = database.execute(query.where(audit.c.id > after)).all()
        for row in rows:
            yield AuditEntry(**{**row._mapping, "details": json.loads(row.details)})
        if len(rows) < _PAGE:
            return
        after = rows[-1].id
