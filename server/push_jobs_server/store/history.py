"""Lists of jobs by what is asked for, page by page. It builds queries; ``Store`` runs them.

A page begins after a given job, not at a number, so that pages stay what they are while jobs are
added (keyset paging).
"""

from __future__ import annotations

from typing import Any, List

from sqlalchemy import exists, or_, select

from push_jobs_server.records import JobFilter
from push_jobs_server.store.tables import job_inputs, job_nodes, jobs

LISTED = (*jobs.c, job_inputs.c.env, job_inputs.c.file_kind)
"""What lists show of a job: everything but large parts."""
JOBS = jobs.outerjoin(job_inputs, job_inputs.c.job_id == jobs.c.id)


def page(org: str, asked: JobFilter) -> Any:
    """The query for one page of jobs, newest first."""
    query = select(*LISTED).select_from(JOBS).where(jobs.c.org == org, *_conditions(asked))
    return query.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(asked.limit)


def _conditions(asked: JobFilter) -> List[Any]:
    found = _equal(asked)
    if asked.statuses:
        found.append(jobs.c.status.in_([status.value for status in asked.statuses]))
    if asked.id_start is not None:
        found.append(jobs.c.id.startswith(asked.id_start, autoescape=True))
    if asked.node is not None:
        found.append(_has_node(asked.node))
    if asked.since is not None:
        found.append(jobs.c.created_at >= asked.since)
    if asked.until is not None:
        found.append(jobs.c.created_at < asked.until)
    if asked.before is not None:
        found += [*not_newer(*asked.before), jobs.c.id != asked.before[1]]
    return found


def _equal(asked: JobFilter) -> List[Any]:
    pairs = ((jobs.c.command, asked.command), (jobs.c.requestor, asked.requestor))
    return [column == value for column, value in pairs if value is not None]


def _has_node(node: str) -> Any:
    return exists().where(job_nodes.c.job_id == jobs.c.id, job_nodes.c.node == node)


def not_newer(created_at: float, job_id: str) -> List[Any]:
    """The conditions that hold for one job and all jobs before it in the order of lists.

    The first one alone tells the database where to begin in its index.
    """
    time = jobs.c.created_at
    return [time <= created_at, or_(time < created_at, jobs.c.id <= job_id)]
