"""Errors of the database, in the server's own words; no SQL and no stored value gets into them.

Whoever writes needs one distinction: a change that can be tried again, and one that can never work.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

from sqlalchemy import exc

from push_jobs_wire.errors import PushJobsError


class StoreError(PushJobsError):
    """Raised when the database refused something for good; trying again can't help."""


class StoreUnavailable(StoreError):
    """Raised when the database can't serve now: disk full, locked, connection lost. Try again."""


@contextmanager
def translated(database: str) -> Iterator[None]:
    """Turn what the database layer raises inside the block into StoreError.

    Args:
        database: how to name the database in messages, without a password.
    """
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise _translate(database, error) from error
    except (ValueError, OverflowError) as error:  # drivers raise these bare
        raise StoreError(f"the database {database} can't hold a value: {_reason(error)}") from error


def _translate(database: str, error: exc.SQLAlchemyError) -> StoreError:
    reason = _reason(getattr(error, "orig", None) or error)
    if _permanent(error):
        return StoreError(f"the database {database} refused a change: {reason}")
    return StoreUnavailable(f"the database {database} can't be used: {reason}; {_LOOK}")


_LOOK = "check that it is reachable, not locked, and has room on its disk"


def _reason(error: BaseException) -> str:
    """The first line alone: PostgreSQL quotes stored values in the following ones."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


# Classes of SQLSTATE that depend on the values of one change: cardinality, data, integrity, and
# limits (a name too long for an index). All others tell of the server, the schema or the rights.
_PERMANENT_SQLSTATES = ("21", "22", "23", "54")
# What SQLite's driver raises for the same reasons (InterfaceError: a type that can't be bound).
_PERMANENT_CLASSES = (
    exc.IntegrityError,
    exc.DataError,
    exc.ProgrammingError,
    exc.NotSupportedError,
    exc.InterfaceError,
)


def _permanent(error: exc.SQLAlchemyError) -> bool:
    """When in doubt it is not: a change that is tried for ever is not lost, and it is seen."""
    if not isinstance(error, exc.DBAPIError):
        return isinstance(error, exc.StatementError)
    if error.connection_invalidated:
        return False
    state = getattr(error.orig, "pgcode", None)
    if state is not None:
        return str(state)[:2] in _PERMANENT_SQLSTATES
    return isinstance(error, _PERMANENT_CLASSES)
