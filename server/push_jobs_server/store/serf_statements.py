"""What is written about nodes that come over Serf: their runs, numbered output and statuses."""

from __future__ import annotations

from typing import Any, Iterator, List, Sequence, Tuple, Union

from sqlalchemy import bindparam, delete, func

from push_jobs_server.serf_records import STATUSES_KEPT, NodeStatusSeen, SerfChunk, SerfRun
from push_jobs_server.store.node_statements import Row, Statement, beside_node
from push_jobs_server.store.prepared import Executable, executable
from push_jobs_server.store.tables import node_statuses, serf_chunks, serf_runs

SerfChange = Union[SerfRun, SerfChunk, NodeStatusSeen]


class SerfStatements:
    """The statements, made once.

    Args:
        dialect: ``sqlite`` or ``postgresql``.
        insert: the insert of that dialect.
    """

    def __init__(self, dialect: str, insert: Any) -> None:
        def ready(statement: Any) -> Executable:
            return executable(dialect, statement)

        self._run = ready(_put_run(insert))
        self._chunk = ready(_put_chunk(insert))
        self._status = ready(insert(node_statuses).on_conflict_do_nothing())
        self._drop_statuses = ready(_drop_statuses())

    def steps(self, changes: Sequence[SerfChange]) -> Iterator[Tuple[Executable, List[Row]]]:
        """The statements to run for these changes, each with its rows."""
        yield self._run, [_run_row(each) for each in changes if isinstance(each, SerfRun)]
        for chunk in changes:
            if isinstance(chunk, SerfChunk):
                yield self._chunk, [_chunk_row(chunk)]
        seen = [each for each in changes if isinstance(each, NodeStatusSeen)]
        yield self._status, [dict(vars(each)) for each in seen]
        yield self._drop_statuses, [
            {"of_org": each.org, "of_node": each.node, "gone": each.number - STATUSES_KEPT}
            for each in seen
            if each.number >= STATUSES_KEPT
        ]


def _put_run(insert: Any) -> Statement:
    """Column by column: the acknowledgement and the report may come in any order (shovey 2.8)."""
    statement = beside_node(insert, serf_runs)
    new = {
        name: func.coalesce(statement.excluded[name], serf_runs.c[name])
        for name in ("acked_at", "word")
    }
    return statement.on_conflict_do_update(index_elements=["job_id", "node"], set_=new)


def _put_chunk(insert: Any) -> Statement:
    """The first one of a number stays; again, it only gets its place."""
    statement = beside_node(insert, serf_chunks)
    return statement.on_conflict_do_update(
        index_elements=[column.name for column in serf_chunks.primary_key],
        set_={"begins_at": statement.excluded.begins_at},
    )


def _drop_statuses() -> Statement:
    return delete(node_statuses).where(
        node_statuses.c.org == bindparam("of_org"),
        node_statuses.c.node == bindparam("of_node"),
        node_statuses.c.number <= bindparam("gone"),
    )


def _run_row(run: SerfRun) -> Row:
    return {
        "of_job": run.job_id,
        "of_node": run.node,
        "of_org": None,
        "acked_at": run.acked_at,
        "word": run.word,
    }


def _chunk_row(chunk: SerfChunk) -> Row:
    row = {**vars(chunk), "of_job": chunk.job_id, "of_node": chunk.node, "of_org": None}
    del row["job_id"], row["node"]
    return row
