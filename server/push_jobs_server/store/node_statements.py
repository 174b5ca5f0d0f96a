"""The two statements that write many rows at once: the nodes of a job, and what became of them.

PostgreSQL's driver batches them. SQLite's steps from row to row, and gives other threads a turn at
each; beside a busy engine that makes a write of a thousand rows ten times as long. So SQLite gets
all rows as one JSON array and takes them in one step.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Sequence

from sqlalchemy import Table, and_, bindparam, func, select, true, update
from sqlalchemy.dialects import sqlite

from push_jobs_server.store.tables import job_nodes, jobs

Row = Dict[str, Any]
Statement = Any
"""SQLAlchemy 1.4 and 2 have no type in common for what can be executed with many rows."""

OUTCOME = ("exit_code", "signal", "reason", "started_at", "ended_at")
_NEW = ("status", *OUTCOME)
_KEY = ["job_id", "node"]


class ManyRows:
    """``add`` inserts nodes of jobs, ``change`` sets status and outcome of those that are there.

    Rows are keyed by the names of the columns; ``pack`` turns them into what is executed.
    """

    def __init__(self, insert: Any) -> None:
        # A transaction whose commit got lost with its connection is written again.
        self.add: Statement = insert(job_nodes).on_conflict_do_nothing()
        one_node = [job_nodes.c[name] == bindparam(f"of_{name}") for name in _KEY]
        new: Dict[str, Any] = {name: bindparam(name) for name in _NEW}
        new["started_at"] = _started(bindparam("started_at"))
        self.change: Statement = update(job_nodes).where(and_(*one_node)).values(new)

    def pack(self, rows: Sequence[Row]) -> List[Row]:
        """The rows as they are executed; in an update the keys are not what is set."""
        return [{**row, **{f"of_{name}": row[name] for name in _KEY}} for row in rows]


class PackedRows(ManyRows):
    """The same for SQLite; one value holds all rows."""

    def __init__(self) -> None:
        names = [column.name for column in job_nodes.c]
        row, field = _json_rows()
        self.add = (
            sqlite.insert(job_nodes)
            # Without a condition SQLite would read the conflict clause as that of a join.
            .from_select(
                names, select(*map(field, names)).select_from(row).where(true())
            ).on_conflict_do_nothing()
        )
        self.change = self._change()

    @staticmethod
    def _change() -> Statement:
        """An upsert of rows that are there: UPDATE ... FROM is too new for some SQLite."""
        row, field = _json_rows()
        kept = {column.name: column for column in job_nodes.c}
        new = {name: field(name) for name in _NEW}
        new["started_at"] = _started(new["started_at"])
        source = select(*{**kept, **new}.values()).select_from(row, job_nodes)
        source = source.where(*(kept[name] == field(name) for name in _KEY))
        statement = sqlite.insert(job_nodes).from_select(list(kept), source)
        taken = {name: statement.excluded[name] for name in _NEW}
        return statement.on_conflict_do_update(index_elements=_KEY, set_=taken)

    def pack(self, rows: Sequence[Row]) -> List[Row]:
        return [{"rows": json.dumps(rows)}] if rows else []


def beside_node(insert: Any, table: Table, *conditions: Any) -> Statement:
    """Insert a row of ``table`` beside a node of a job, if the job has it.

    Takes ``of_job``, ``of_node``, ``of_org`` (None: whichever the job is of) and the columns.
    """
    names = [column.name for column in table.c if column.name not in _KEY]
    values = [bindparam(name, type_=table.c[name].type) for name in names]
    source = (
        select(job_nodes.c.job_id, job_nodes.c.node, *values)
        .join(jobs, jobs.c.id == job_nodes.c.job_id)
        .where(
            job_nodes.c.job_id == bindparam("of_job"),
            job_nodes.c.node == bindparam("of_node"),
            jobs.c.org == func.coalesce(bindparam("of_org"), jobs.c.org),
            *conditions,
        )
    )
    return insert(table).from_select([*_KEY, *names], source)


def _json_rows() -> Any:
    """The rows of the parameter ``rows``, and the function that names a field of one."""
    table = func.json_each(bindparam("rows")).table_valued("value", name="each_row")

    def field(name: str) -> Any:
        return func.json_extract(table.c.value, f"$.{name}")

    return table, field


def _started(given: Any) -> Any:
    """An end without a start time doesn't take back the one that is known."""
    return func.coalesce(given, job_nodes.c.started_at)
