"""What ``job start`` and ``job watch`` share: being shown a job until it has ended."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Callable, Iterator

import click

from push_jobs import exit_codes
from push_jobs.client import Client
from push_jobs.errors import PushJobsClientError
from push_jobs.models import Job
from push_jobs.options import again
from push_jobs.printing import notice
from push_jobs.progress import Progress


def watch(
    context: click.Context,
    client: Client,
    job_id: str,
    progress: Progress,
    on_state: Callable[[Job], None],
) -> Job:
    """Return the job when it has ended; ``on_state`` is called with each state of it before."""
    with job_goes_on(context, job_id, progress):
        for job in client.watch(job_id, on_trouble=progress.trouble):
            progress.update(job)
            on_state(job)
    return job


@contextmanager
def job_goes_on(context: click.Context, job_id: str, progress: Progress) -> Iterator[None]:
    """When watching is interrupted or fails, say so, and that the job goes on; then exit."""
    try:
        yield
    except KeyboardInterrupt:
        code, what = exit_codes.INTERRUPTED, "interrupted"
    except PushJobsClientError as error:
        code, what = exit_codes.of_error(error), f"Error: {error}"
    else:
        return
    progress.clear()
    notice(what)
    notice(f"job {job_id} goes on; look at it with: {again(context, 'job', 'show', job_id)}")
    notice(f"to cancel it: {again(context, 'job', 'cancel', job_id)}")
    raise click.exceptions.Exit(code)
