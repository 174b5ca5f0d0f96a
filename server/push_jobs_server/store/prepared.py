"""Statements whose text is made once.

SQLAlchemy 1.4 compiles each INSERT with a conflict clause anew whenever it is executed, which takes
several times as long as SQLite needs to do what it says. PostgreSQL's driver needs the statement
itself to send many rows at once, so there it stays as it is.
"""

from __future__ import annotations

from typing import Any, Dict, List, Protocol, Tuple

from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection

Row = Dict[str, Any]


class Executable(Protocol):
    """What can be executed with rows that have the same keys."""

    def run(self, connection: Connection, rows: List[Row]) -> None:
        """Execute with at least one row."""


class Plain:
    """A statement that SQLAlchemy looks at each time."""

    def __init__(self, statement: Any) -> None:
        self._statement = statement

    def run(self, connection: Connection, rows: List[Row]) -> None:
        """See Executable."""
        connection.execute(self._statement, rows)


class Prepared:
    """A statement for SQLite, compiled once for each set of keys.

    Values go to the driver as they are: its types are those of our columns.
    """

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._made: Dict[Tuple[str, ...], Tuple[str, Row]] = {}

    def run(self, connection: Connection, rows: List[Row]) -> None:
        """See Executable."""
        keys = tuple(rows[0])
        if keys not in self._made:
            self._made[keys] = self._compile(keys)
        text, fixed = self._made[keys]
        connection.exec_driver_sql(text, [{**fixed, **row} for row in rows])

    def _compile(self, keys: Tuple[str, ...]) -> Tuple[str, Row]:
        """The text, and the values that are part of the statement."""
        dialect = sqlite.dialect(paramstyle="named")
        compiled: Any = self._statement.compile(dialect=dialect, column_keys=list(keys))
        binds = compiled.binds.items()
        return str(compiled), {name: bind.value for name, bind in binds if not bind.required}


def executable(dialect: str, statement: Any) -> Executable:
    """The faster way to execute a statement on a database."""
    if dialect == "sqlite":
        return Prepared(statement)
    return Plain(statement)
