"""Removing old jobs and old audit rows, in transactions short enough for others not to notice.

A job goes with everything below it: nodes, results, output, variables and files. Only ended jobs
go, and only when no late result and no repeated request can be about them any more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, List, Optional, Tuple

from sqlalchemy import and_, delete, func, literal_column, or_, select
from sqlalchemy.engine import Connection

from push_jobs_server.audit import REFUSED, first_id
from push_jobs_server.store.history import not_newer
from push_jobs_server.store.store import Store
from push_jobs_server.store.tables import audit, job_nodes, jobs, output_chunks, outputs
from push_jobs_wire.states import FINAL_JOB

_ENDED = sorted(status.value for status in FINAL_JOB)
_CHUNK = 200
_FIRST_SLICE = 20
_LONGEST_SLICE = 900  # releases of SQLite before 3.32 take at most 999 values
_SLOW, _FAST = 0.02, 0.005
"""Seconds: a transaction that took longer is followed by smaller ones, a shorter one by larger."""

Pause = Callable[[float], bool]
"""Waits so many seconds between two transactions; True means to stop here."""


@dataclass(frozen=True)
class Keep:
    """What stays; a job goes as soon as one of the two rules says so.

    Args:
        seconds: jobs that ended longer ago go; None keeps any.
        jobs: beyond so many jobs of an organization the oldest go; None keeps any number.
        window: seconds after its end in which a job stays, whatever the rules say.
    """

    seconds: Optional[float]
    jobs: Optional[int]
    window: float


@dataclass(frozen=True)
class Removed:
    """How many jobs of an organization went, and when the oldest and the newest were created."""

    org: str
    jobs: int
    oldest: float
    newest: float


def orgs_with_jobs(store: Store) -> List[str]:
    """The organizations that have jobs, in alphabetical order."""
    with store.reading() as database:
        return sorted(database.execute(select(jobs.c.org).distinct()).scalars())


def would_go(store: Store, org: str, keep: Keep, now: float) -> Optional[Removed]:
    """What ``remove_jobs`` would remove; None when nothing."""
    with store.reading() as database:
        rule = _rule(database, org, keep, now)
        if rule is None:
            return None
        figures = (func.count(), func.min(jobs.c.created_at), func.max(jobs.c.created_at))
        row = database.execute(select(*figures).where(rule, *_settled(org, keep, now))).one()
    return Removed(org, *row) if row[0] else None


def held_back(store: Store, org: str, keep: Keep, now: float) -> int:
    """How many ended jobs the rules want gone, but ended too short a time ago."""
    with store.reading() as database:
        rule = _rule(database, org, keep, now)
        if rule is None:
            return 0
        recent = and_(jobs.c.status.in_(_ENDED), jobs.c.updated_at > now - keep.window)
        query = select(func.count()).where(jobs.c.org == org, rule, recent)
        return int(database.execute(query).scalar() or 0)


def remove_jobs(store: Store, org: str, keep: Keep, now: float, pause: Pause) -> Optional[Removed]:
    """Remove what need not be kept; None when nothing was. May be interrupted at any time."""
    removed: List[Tuple[str, float]] = []
    pace = _Pace(store, pause)
    while not pace.stopped:
        chunk = _oldest(store, org, keep, now)
        if not chunk:
            break
        while chunk and not pace.stopped:
            gone = pace.run(partial(_remove_slice, [job_id for job_id, _ in chunk]))
            removed += chunk[:gone]
            chunk = chunk[gone:]
    if not removed:
        return None
    return Removed(org, len(removed), removed[0][1], removed[-1][1])


def remove_audit(store: Store, before: float, pause: Pause) -> int:
    """Remove the audit rows from before a moment; returns how many there were."""
    return _remove_rows(store, audit.c.id < first_id(before), pause)


def remove_refused(store: Store, keep: int, pause: Pause) -> int:
    """Remove all rows of refused requests but the newest ``keep``; returns how many there were."""
    # Written out: with a bound value the partial index would not be used.
    refused = audit.c.result == literal_column(f"'{REFUSED}'")
    newest = select(audit.c.id).where(refused).order_by(audit.c.id.desc())
    with store.reading() as database:
        first_to_go = database.execute(newest.offset(keep).limit(1)).scalar()
    if first_to_go is None:
        return 0
    return _remove_rows(store, and_(refused, audit.c.id <= first_to_go), pause)


def _settled(org: str, keep: Keep, now: float) -> List[Any]:
    return [
        jobs.c.org == org,
        jobs.c.status.in_(_ENDED),
        jobs.c.updated_at <= now - keep.window,
    ]


def _rule(database: Connection, org: str, keep: Keep, now: float) -> Any:
    """The condition under which a job is not wanted any more; None when all are."""
    rules: List[Any] = []
    if keep.seconds is not None:
        limit = now - keep.seconds
        # What ended before was made before; that is what the database has an index for.
        rules.append(and_(jobs.c.created_at <= limit, jobs.c.updated_at <= limit))
    if keep.jobs is not None:
        newest = select(jobs.c.created_at, jobs.c.id).where(jobs.c.org == org)
        newest = newest.order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
        first = database.execute(newest.offset(keep.jobs).limit(1)).first()
        if first is not None:
            rules.append(and_(*not_newer(*first)))
    return or_(*rules) if rules else None


def _oldest(store: Store, org: str, keep: Keep, now: float) -> List[Tuple[str, float]]:
    """Ids and creation times of the next jobs to go."""
    with store.reading() as database:
        rule = _rule(database, org, keep, now)
        if rule is None:
            return []
        query = select(jobs.c.id, jobs.c.created_at).where(rule, *_settled(org, keep, now))
        query = query.order_by(jobs.c.created_at, jobs.c.id).limit(_CHUNK)
        return [(row.id, row.created_at) for row in database.execute(query)]


def _remove_slice(job_ids: List[str], database: Connection, size: int) -> int:
    """Remove as many of the first jobs as weigh ``size`` together; returns how many.

    Of a job that weighs more by itself only so much goes, node by node: 0 is returned.
    """
    part = _part_of_one(database, job_ids[0], size)
    if part is not None:
        one_job = job_nodes.c.job_id == job_ids[0]
        database.execute(delete(job_nodes).where(one_job, job_nodes.c.node.in_(part)))
        return 0
    gone = _that_fit(database, job_ids[:size], size)
    database.execute(delete(jobs).where(jobs.c.id.in_(gone)))
    return len(gone)


# A node weighs 1, and each 16 KiB of its output as much again. Lengths cost nothing to ask for.
_BYTES = func.length(outputs.c.stdout) + func.length(outputs.c.stderr)
_CHUNKS = (
    select(func.sum(func.length(output_chunks.c.data)))
    .where(output_chunks.c.job_id == job_nodes.c.job_id, output_chunks.c.node == job_nodes.c.node)
    .scalar_subquery()
)
_WEIGHT = 1 + (func.coalesce(_BYTES, 0) + func.coalesce(_CHUNKS, 0)) / 16384
_WEIGHED = job_nodes.outerjoin(outputs)


def _part_of_one(database: Connection, job_id: str, size: int) -> Optional[List[str]]:
    """The first nodes of a job that weigh ``size`` together, one at least; None when all do."""
    query = select(job_nodes.c.node, _WEIGHT).select_from(_WEIGHED)
    query = query.where(job_nodes.c.job_id == job_id).limit(size + 1)
    weights = [(row[0], float(row[1])) for row in database.execute(query)]
    part = _first(weights, size)
    return None if len(part) == len(weights) else part


def _that_fit(database: Connection, job_ids: List[str], size: int) -> List[str]:
    """The first jobs that weigh ``size`` together, one at least."""
    query = select(job_nodes.c.job_id, func.sum(_WEIGHT)).select_from(_WEIGHED)
    query = query.where(job_nodes.c.job_id.in_(job_ids)).group_by(job_nodes.c.job_id)
    weights = {row[0]: float(row[1]) for row in database.execute(query)}
    return _first([(job_id, weights.get(job_id, 0.0)) for job_id in job_ids], size)


def _first(weights: List[Tuple[str, float]], size: float) -> List[str]:
    found: List[str] = []
    for name, weight in weights:
        size -= weight
        if size < 0 and found:
            break
        found.append(name)
    return found


def _remove_rows(store: Store, condition: Any, pause: Pause) -> int:
    pace, removed = _Pace(store, pause), 0
    while not pace.stopped:
        gone = pace.run(partial(_remove_some, condition))
        removed += gone
        if not gone:
            break
    return removed


def _remove_some(condition: Any, database: Connection, size: int) -> int:
    oldest = select(audit.c.id).where(condition).order_by(audit.c.id).limit(size)
    return int(database.execute(delete(audit).where(audit.c.id.in_(oldest))).rowcount)


class _Pace:
    """Runs transactions of a size that keeps each of them short, and leaves time in between."""

    def __init__(self, store: Store, pause: Pause) -> None:
        self._store = store
        self._pause = pause
        self._size = _FIRST_SLICE
        self.stopped = False

    def run(self, work: Callable[[Connection, int], int]) -> int:
        """Do work of the right size in a transaction; returns what it returns."""
        with self._store.writing() as database:
            # Only now: waiting for others is no reason to do less and to be slower still.
            begun = time.monotonic()
            result = work(database, self._size)
        taken = time.monotonic() - begun
        if taken > _SLOW:
            self._size = max(1, self._size // 2)
        elif taken < _FAST:
            self._size = min(_LONGEST_SLICE, self._size * 2)
        # As long as it took: others get at least half of the time.
        self.stopped = self._pause(max(taken, 0.001))
        return result
