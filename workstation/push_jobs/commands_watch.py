"""``push-jobs job watch``: follow a job that somebody started."""

from __future__ import annotations

import click

from push_jobs import documents, exit_codes, tables
from push_jobs.client import Client
from push_jobs.models import Job
from push_jobs.options import connect, examples, format_option
from push_jobs.printing import notice, present, print_lines
from push_jobs.progress import Progress, can_redraw
from push_jobs.watching import job_goes_on, watch


@click.command(
    "watch",
    epilog=examples(
        "push-jobs job watch 9d6b3f2a",
        "push-jobs job watch 9d6b --format jsonl",
    ),
)
@click.argument("job_id", metavar="ID")
@format_option
@click.pass_context
def watch_job(context: click.Context, job_id: str, format_: str) -> int:
    """Show how the job ID comes along, until it has ended.

    The beginning of an id is enough. With `--format jsonl` each event is printed when it happens,
    from the first one on. Interrupting only ends the watching, never the job. How the job ended is
    told by exit codes, see `help exit-codes`.
    """
    client = connect(context)
    job_id = client.resolve(job_id)
    progress = Progress(can_redraw(output_is_streamed=format_ == "jsonl"))
    if format_ == "jsonl":
        job = _print_events(context, client, job_id, progress)
    else:
        client.job(job_id)  # an unknown one is no job that goes on
        job = watch(context, client, job_id, progress, lambda state: None)
        present(format_, documents.job(job), lambda: tables.print_results(job.nodes))
    notice(tables.summary(job))
    return exit_codes.of_job(job)


def _print_events(context: click.Context, client: Client, job_id: str, progress: Progress) -> Job:
    progress.update(client.job(job_id))
    with job_goes_on(context, job_id, progress):
        for event in client.follow(job_id, on_trouble=progress.trouble):
            print_lines([documents.event(job_id, event)])
        return client.job(job_id)
