"""``push-jobs job list``, ``show`` and ``output``: looking at jobs. Nothing here starts one."""

from __future__ import annotations

import sys
from typing import Any, List, Mapping, Optional

import click

from push_jobs import documents, exit_codes, tables
from push_jobs.commands_follow import check_follow, print_live
from push_jobs.errors import UsageError
from push_jobs.models import Job, JobSummary
from push_jobs.moments import parse_moment
from push_jobs.options import connect, examples, format_option, parsed
from push_jobs.outputs import Piece, document, fetch, print_body, print_pieces, ran_on
from push_jobs.printing import notice, present
from push_jobs.terminal import escape_line
from push_jobs_wire.messages import STREAMS
from push_jobs_wire.states import JobStatus

_SHOWN = 100
"""Jobs that a list shows when nobody says how many."""


@click.group(
    "job",
    epilog=examples("push-jobs job start chef-client web1 web2", "push-jobs job list"),
)
def job_group() -> None:
    """Start jobs and look at them."""


@job_group.command(
    "list",
    epilog=examples(
        "push-jobs job list --status running",
        "push-jobs job list --node web1 --since 7d --format jsonl",
    ),
)
@click.option(
    "--status",
    multiple=True,
    type=click.Choice([status.value for status in JobStatus]),
    help="Only jobs with this status; may be repeated.",
)
@click.option("--node", metavar="NAME", help="Only jobs in which this node takes part.")
@click.option("--command", metavar="NAME", help="Only jobs of this command.")
@click.option("--requestor", metavar="NAME", help="Only jobs that this user or client started.")
@click.option(
    "--since",
    metavar="TIME",
    callback=parsed(parse_moment),
    help="Only jobs created since then: a date, 2024-05-14T09:26:53Z, or an age such as 2h or 7d.",
)
@click.option(
    "--until",
    metavar="TIME",
    callback=parsed(parse_moment),
    help="Only jobs created before then.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help=f"Show the newest N of them.  [default: {_SHOWN}]",
)
@click.option("--all", "everything", is_flag=True, help="Show all of them.")
@format_option
@click.pass_context
def list_jobs(
    context: click.Context,
    limit: Optional[int],
    everything: bool,
    format_: str,
    **filters: Any,
) -> None:
    """List the newest jobs of the organization.

    The table has the newest job first; in JSON the newest job is the last one.
    """
    if limit is not None and everything:
        raise click.UsageError("give --limit or --all, not both")
    most = None if everything else limit or _SHOWN
    # One more than is shown tells whether there are more.
    jobs = connect(context).jobs(limit=None if most is None else most + 1, **filters)
    shown = jobs if most is None else jobs[-most:]
    present(format_, [documents.summary(job) for job in shown], lambda: _print_list(shown, filters))
    if len(shown) < len(jobs):
        notice(f"only the newest {most} are shown; --all shows all, --limit another number")


def _print_list(jobs: List[JobSummary], filters: Mapping[str, Any]) -> None:
    if jobs:
        tables.print_jobs(jobs)
    else:
        asked = any(filters.values())
        notice("no job matches" if asked else "there are no jobs yet")


@job_group.command(
    "show",
    epilog=examples("push-jobs job show 9d6b3f2a", "push-jobs job show 9d6b --format json"),
)
@click.argument("job_id", metavar="ID")
@format_option
@click.pass_context
def show_job(context: click.Context, job_id: str, format_: str) -> None:
    """Show the job ID and how each of its nodes did. The beginning of an id is enough."""
    client = connect(context)
    job = client.job(client.resolve(job_id))
    present(format_, documents.job(job), lambda: tables.print_job(job))


@job_group.command(
    "output",
    epilog=examples(
        "push-jobs job output 9d6b3f2a",
        "push-jobs job output 9d6b3f2a web1 --stream stderr",
        "push-jobs job output 9d6b3f2a --follow",
        "push-jobs job output 9d6b3f2a web1 --stream stdout --raw > backup.tar",
    ),
)
@click.argument("job_id", metavar="ID")
@click.argument("node", required=False)
@click.option(
    "--stream",
    type=click.Choice([*STREAMS, "both"]),
    default="both",
    show_default=True,
    help="Which output to print.",
)
@click.option("--follow", "-f", is_flag=True, help="Print it as it comes, to the end of the job.")
@click.option("--raw", is_flag=True, help="Print the bytes of one NODE and stream as they are.")
@format_option
@click.pass_context
def show_output(
    context: click.Context,
    job_id: str,
    node: Optional[str],
    stream: str,
    follow: bool,
    raw: bool,
    format_: str,
) -> int:
    """Print what the command of job ID wrote, on NODE or on all nodes.

    The beginning of an id is enough. Output is kept for jobs that were started with --capture. With
    --follow each line is printed when it comes, with its node before it.
    """
    streams = STREAMS if stream == "both" else (stream,)
    single = node is not None and len(streams) == 1
    if raw:
        _check_raw(single, format_)
    if follow:
        if raw:
            raise click.UsageError("give --follow or --raw, not both")
        check_follow(format_)
    client = connect(context)
    job = client.job(client.resolve(job_id))
    if follow:
        names = [] if node is None else [_part_of(job, node)]
        print_live(context, client, job.id, names, streams, format_)
        return exit_codes.SUCCEEDED
    names = ran_on(job) if node is None else [_part_of(job, node)]
    pieces = list(fetch(client, job.id, names, streams))
    if raw:
        sys.stdout.buffer.write(pieces[0].content or b"")
    elif single and format_ == "table":
        print_body(pieces[0].content or b"")
    else:
        shown = [document(job.id, piece) for piece in pieces]
        present(format_, shown, lambda: print_pieces(pieces))
    return _complain_when_empty(job, node, pieces)


def _check_raw(single: bool, format_: str) -> None:
    if not single or format_ != "table":
        raise click.UsageError(
            "--raw needs one NODE and --stream stdout or stderr, and no --format"
        )
    if sys.stdout.isatty():
        raise click.UsageError("--raw does not write to a terminal; send it to a file or a pipe")


def _part_of(job: Job, node: str) -> str:
    names = [member.name for member in job.nodes]
    if node in names:
        return node
    shown = ", ".join(escape_line(name) for name in names[:10]) + (", ..." if names[10:] else "")
    raise UsageError(f"node '{node}' is not part of job {job.id}; its nodes are: {shown}")


def _complain_when_empty(job: Job, node: Optional[str], pieces: List[Piece]) -> int:
    if any(piece.content is not None for piece in pieces):
        return exit_codes.SUCCEEDED
    who = f"job {job.id}" if node is None else f"node '{node}'"
    if not job.capture:
        why = "the job was started without --capture"
    elif not job.ended:
        why = "the command has not ended yet"
    else:
        why = "the command did not run, or its end was never reported"
    notice(f"no output of {who} was kept: {why}")
    return exit_codes.ERROR
