"""Rows that must or must not be there, with errors that people understand."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from sqlalchemy import Table, delete, insert, select
from sqlalchemy.engine import Connection

from push_jobs_server.identity.base import IdentityError
from push_jobs_server.store.tables import organizations


def equal(table: Table, keys: Mapping[str, str]) -> List[Any]:
    """The conditions under which a row has these keys."""
    return [table.c[column] == value for column, value in keys.items()]


def exists(db: Connection, table: Table, **keys: str) -> bool:
    """True when a row has these keys."""
    query = select(table.c[next(iter(keys))]).where(*equal(table, keys)).limit(1)
    return db.execute(query).first() is not None


def need(db: Connection, table: Table, what: str, **keys: str) -> None:
    """Raise IdentityError unless there is such a row."""
    if not exists(db, table, **keys):
        raise IdentityError(f"there is no {what}; check the spelling, or make it first")


def need_org(db: Connection, org: str) -> None:
    """Raise IdentityError unless there is such an organization."""
    need(db, organizations, f"organization '{org}'", name=org)


def add(
    db: Connection, table: Table, what: str, values: Optional[Mapping[str, str]] = None, **keys: str
) -> None:
    """Insert a row; raise IdentityError when there is one with these keys."""
    if exists(db, table, **keys):
        raise IdentityError(f"there is a {what} already; nothing was changed")
    db.execute(insert(table), {**keys, **(values or {})})


def remove(db: Connection, table: Table, what: str, **keys: str) -> None:
    """Delete a row and what hangs below it; raise IdentityError when there is none."""
    if not db.execute(delete(table).where(*equal(table, keys))).rowcount:
        raise IdentityError(f"there is no {what}; nothing was changed")


def pairs(db: Connection, query: Any) -> Dict[str, str]:
    """The rows of two columns as a mapping in alphabetical order, whatever the database's is."""
    return dict(sorted((row[0], row[1]) for row in db.execute(query)))
