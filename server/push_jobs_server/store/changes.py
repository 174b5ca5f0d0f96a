"""From changes to statements. Changes of one transaction are sorted by kind and collapsed by row,
so that each kind is one statement with many rows.

The kinds run in a fixed order: a job before its nodes, a node's status before its late result and
its output, which are only kept for nodes whose part is over.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from sqlalchemy import Table, bindparam, delete, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from push_jobs_server.node_records import NodeSighted
from push_jobs_server.records import (
    Audited,
    AuditEntry,
    CancelStored,
    Change,
    Grant,
    GrantStored,
    JobChanged,
    JobCreated,
    JobNode,
    JobRecord,
    LateResult,
    NodeChanged,
    Outcome,
    OutputChunk,
    OutputStored,
    SessionKeyStored,
)
from push_jobs_server.serf_records import NodeStatusSeen, SerfChunk, SerfRun
from push_jobs_server.store.node_statements import ManyRows, PackedRows, Row, Statement, beside_node
from push_jobs_server.store.output_statements import add_chunk, chunk_row, drop_middle, middle_row
from push_jobs_server.store.prepared import Executable, executable
from push_jobs_server.store.serf_statements import SerfChange, SerfStatements
from push_jobs_server.store.tables import (
    audit,
    grants,
    job_cancels,
    job_inputs,
    job_nodes,
    jobs,
    late_results,
    node_sightings,
    outputs,
    session_keys,
)
from push_jobs_wire.states import OPEN_NODE

GRANTS_KEPT = 8
"""Grants kept per node: each start of an agent brings one, and nothing else would remove them."""

Step = Tuple[Executable, List[Row]]


class Statements:
    """The statements that write, made once: the database layer keeps them compiled.

    Args:
        dialect: ``sqlite`` or ``postgresql``.
    """

    def __init__(self, dialect: str) -> None:
        insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
        set_job = update(jobs).where(jobs.c.id == bindparam("of_job"))
        job_fields = {name: bindparam(name) for name in ("status", "updated_at", "run_deadline")}
        self.nodes = ManyRows(insert) if dialect == "postgresql" else PackedRows()

        def ready(statement: Any) -> Executable:
            return executable(dialect, statement)

        # A transaction whose commit got lost with its connection is written again; whatever it
        # inserted may be there already. A job's id is random: the same id is the same job.
        self.add_job = ready(insert(jobs).on_conflict_do_nothing(index_elements=["id"]))
        self.add_input = ready(insert(job_inputs).on_conflict_do_nothing())
        self.add_nodes, self.set_nodes = ready(self.nodes.add), ready(self.nodes.change)
        self.set_job = ready(set_job.values(job_fields))
        self.add_late = ready(_add_where_over(insert, late_results, _not_that_status()))
        self.add_output = ready(_add_where_over(insert, outputs))
        self.add_cancel = ready(insert(job_cancels).on_conflict_do_nothing())
        self.add_chunk = ready(add_chunk(insert))
        self.drop_middle = ready(drop_middle())
        self.add_grant = ready(_replace(insert, grants))
        self.drop_grants = ready(_drop_grants())
        self.add_session_key = ready(_replace(insert, session_keys))
        self.add_audit = ready(insert(audit).on_conflict_do_nothing(index_elements=["id"]))
        self.add_sighting = ready(_replace(insert, node_sightings))
        self.serf = SerfStatements(dialect, insert)


def _not_that_status() -> Any:
    return job_nodes.c.status != bindparam("status")


def _add_where_over(insert: Any, table: Table, *conditions: Any) -> Statement:
    """Insert beside a node whose part in its job is over; what is there already stays."""
    over = (job_nodes.c.status != literal(open_.value) for open_ in sorted(OPEN_NODE))
    return beside_node(insert, table, *over, *conditions).on_conflict_do_nothing()


def _replace(insert: Any, table: Table) -> Statement:
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    new = {column.name: statement.excluded[column.name] for column in table.c}
    return statement.on_conflict_do_update(index_elements=keys, set_=new)


def _drop_grants() -> Statement:
    of_node = (grants.c.org == bindparam("of_org"), grants.c.node == bindparam("of_node"))
    newest = select(grants.c.curve_key).where(*of_node)
    newest = newest.order_by(grants.c.expires_at.desc()).limit(GRANTS_KEPT)
    return delete(grants).where(*of_node, grants.c.curve_key.not_in(newest))


class ChangeSet:
    """Changes of one transaction, sorted by kind; of several for one row the last one counts."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._created: List[JobRecord] = []
        self._jobs: Dict[str, JobChanged] = {}
        self._nodes: Dict[Tuple[str, str], NodeChanged] = {}
        self._late: List[LateResult] = []
        self._outputs: List[OutputStored] = []
        self._cancels: List[CancelStored] = []
        self._chunks: List[OutputChunk] = []
        self._grants: Dict[str, Grant] = {}
        self._keys: Dict[Tuple[str, str], SessionKeyStored] = {}
        self._audit: List[AuditEntry] = []
        self._sighted: Dict[Tuple[str, str], NodeSighted] = {}
        self._serf: List[SerfChange] = []
        for change in changes:
            self._take(change)

    def _take(self, change: Change) -> None:
        if isinstance(change, NodeChanged):
            self._take_node(change)
        elif isinstance(change, JobChanged):
            self._jobs[change.job_id] = change
        elif isinstance(change, JobCreated):
            self._created.append(change.job)
        elif isinstance(change, OutputStored):
            self._outputs.append(change)
        elif isinstance(change, OutputChunk):
            self._chunks.append(change)
        elif isinstance(change, LateResult):
            self._late.append(change)
        elif isinstance(change, CancelStored):
            self._cancels.append(change)
        elif isinstance(change, Audited):
            self._audit.append(change.entry)
        elif isinstance(change, (SerfRun, SerfChunk, NodeStatusSeen)):
            self._serf.append(change)
        else:
            self._take_session(change)

    def _take_session(self, change: Union[GrantStored, SessionKeyStored, NodeSighted]) -> None:
        if isinstance(change, GrantStored):
            self._grants[change.grant.curve_key] = change.grant
        elif isinstance(change, NodeSighted):
            self._sighted[change.org, change.node] = change
        else:
            self._keys[change.org, change.node] = change

    def _take_node(self, change: NodeChanged) -> None:
        key = (change.job_id, change.node)
        before = self._nodes.get(key)
        if before is not None and change.outcome.started_at is None:
            outcome = replace(change.outcome, started_at=before.outcome.started_at)
            change = replace(change, outcome=outcome)
        self._nodes[key] = change

    def steps(self, statements: Statements) -> Iterator[Step]:
        """The statements to run, in order, each with its rows; none is without rows."""
        for step in self._all_steps(statements):
            if step[1]:
                yield step

    def _all_steps(self, statements: Statements) -> Iterator[Step]:
        yield statements.add_job, [_job_row(job) for job in self._created]
        inputs = (_input_row(job) for job in self._created)
        yield statements.add_input, [row for row in inputs if row is not None]
        pack = statements.nodes.pack
        yield statements.add_nodes, pack([row for job in self._created for row in _node_rows(job)])
        yield statements.set_nodes, pack([_node_row(change) for change in self._nodes.values()])
        yield statements.add_late, [_late_row(change) for change in self._late]
        # One by one: PostgreSQL's driver would make one huge text of many.
        for output in self._outputs:
            yield statements.add_output, [_output_row(output)]
        for chunk in self._chunks:
            yield statements.add_chunk, [chunk_row(chunk)]
        yield statements.drop_middle, list(_middles(self._chunks))
        yield from statements.serf.steps(self._serf)
        yield statements.set_job, [_job_change_row(change) for change in self._jobs.values()]
        yield statements.add_cancel, [_cancel_row(change) for change in self._cancels]
        yield statements.add_grant, [vars(grant) for grant in self._grants.values()]
        owners = {(grant.org, grant.node) for grant in self._grants.values()}
        yield statements.drop_grants, [{"of_org": org, "of_node": node} for org, node in owners]
        yield statements.add_session_key, [vars(change) for change in self._keys.values()]
        yield statements.add_sighting, [_sighted_row(each) for each in self._sighted.values()]
        yield statements.add_audit, [audit_row(entry) for entry in self._audit]


def audit_row(entry: AuditEntry) -> Row:
    """A row of ``audit``; the details' JSON is ASCII, so that every database takes it."""
    return {**vars(entry), "details": json.dumps(dict(entry.details))}


def _middles(chunks: Sequence[OutputChunk]) -> Iterator[Row]:
    """What to let go, once for each channel."""
    newest = {(chunk.job_id, chunk.node, chunk.stream): chunk for chunk in chunks}
    return (middle_row(chunk) for chunk in newest.values() if chunk.tail > chunk.head)


def _job_row(job: JobRecord) -> Row:
    request = job.request
    return {
        "id": job.id,
        "org": request.org,
        "request_key": request.request_key,
        "command": request.command,
        "quorum": request.quorum,
        "run_timeout": request.run_timeout,
        "requestor": request.requestor,
        "requestor_kind": request.requestor_kind,
        "run_as": request.user,
        "dir": request.dir,
        "capture": request.capture,
        "status": job.status.value,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "voting_deadline": job.voting_deadline,
        "run_deadline": job.run_deadline,
    }


def _input_row(job: JobRecord) -> Optional[Row]:
    env, file = job.request.env, job.request.file
    if env is None and file is None:
        return None
    kind, content = split_file(file)
    return {
        "job_id": job.id,
        "env": None if env is None else json.dumps(dict(env)),
        "file_kind": kind,
        "file_content": content,
    }


def split_file(file: Optional[str]) -> Tuple[Optional[str], Optional[bytes]]:
    """``raw:...`` or ``base64:...`` as kind and content; bytes, as a text column takes no NUL."""
    if file is None:
        return None, None
    kind, _, content = file.partition(":")
    return kind, content.encode("utf-8", "surrogatepass")


def join_file(kind: Optional[str], content: Optional[bytes]) -> Optional[str]:
    """The file as it was given to ``split_file``; without content, its beginning."""
    if kind is None:
        return None
    return f"{kind}:{(content or b'').decode('utf-8', 'surrogatepass')}"


def _node_rows(job: JobRecord) -> Iterator[Row]:
    for position, name in enumerate(job.request.nodes):
        node = job.nodes.get(name, JobNode())
        row: Row = {"job_id": job.id, "node": name, "position": position}
        row["status"] = node.status.value
        row.update(_outcome(node.outcome))
        yield row


def _node_row(change: NodeChanged) -> Row:
    row = _outcome(change.outcome)
    row.update(job_id=change.job_id, node=change.node, status=change.status.value)
    return row


def _late_row(change: LateResult) -> Row:
    row = _outcome(change.outcome)
    row.update(of_job=change.job_id, of_node=change.node, of_org=change.org)
    row["status"] = change.status.value
    return row


def _output_row(change: OutputStored) -> Row:
    row: Row = {"of_job": change.job_id, "of_node": change.node, "of_org": change.org}
    row.update(stdout=change.stdout, stderr=change.stderr)
    return row


def _job_change_row(change: JobChanged) -> Row:
    return {
        "of_job": change.job_id,
        "status": change.status.value,
        "updated_at": change.updated_at,
        "run_deadline": change.run_deadline,
    }


def _sighted_row(sighted: NodeSighted) -> Row:
    row: Row = dict(vars(sighted))
    if sighted.version is not None:
        row["version"] = _storable(sighted.version)
    return row


def _cancel_row(change: CancelStored) -> Row:
    row: Row = dict(vars(change.cancel))
    row.update(job_id=change.job_id, number=change.number)
    row["nodes"] = json.dumps(change.cancel.nodes)
    return row


def _outcome(outcome: Outcome) -> Row:
    row: Row = dict(vars(outcome))
    if outcome.reason is not None:
        row["reason"] = _storable(outcome.reason)
    return row


def _storable(reason: str) -> str:
    """A node's words must not keep its result from being stored: drop what no database takes."""
    return reason.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
