"""``push-jobs job cancel``: stop a job, and wait until its nodes have said that they stopped."""

from __future__ import annotations

from typing import Callable, Optional, Sequence, Tuple

import click

from push_jobs import documents, exit_codes, tables
from push_jobs.client import Client
from push_jobs.durations import parse_duration
from push_jobs.errors import PushJobsClientError, UsageError
from push_jobs.models import Cancellation, Job
from push_jobs.options import again, connect, examples, format_option
from push_jobs.printing import notice, present, print_json, print_lines
from push_jobs.progress import Progress, can_redraw
from push_jobs_wire.states import CancelEffect

MAX_GRACE = 600


def _grace(
    context: click.Context, parameter: click.Parameter, value: Optional[str]
) -> Optional[int]:
    try:
        return None if value is None else parse_duration(value, least=0, most=MAX_GRACE)
    except UsageError as error:
        raise click.BadParameter(str(error), context, parameter) from None


@click.command(
    "cancel",
    epilog=examples(
        "push-jobs job cancel 9d6b3f2a",
        "push-jobs job cancel 9d6b3f2a web1 web2 --grace 10s --reason 'wrong release'",
        "push-jobs job cancel 9d6b3f2a --grace 0 --no-wait --format json",
    ),
)
@click.argument("job_id", metavar="ID")
@click.argument("nodes", metavar="[NODE]...", nargs=-1)
@click.option(
    "--grace",
    metavar="TIME",
    callback=_grace,
    help="Time between the polite and the hard end of the command: 10s, 1m, 0.  "
    "[default: each node's own]",
)
@click.option("--reason", metavar="TEXT", help="Why; shown with the job and its nodes.")
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="Wait until the nodes have stopped.",
)
@format_option
@click.pass_context
def cancel_job(
    context: click.Context,
    job_id: str,
    nodes: Tuple[str, ...],
    grace: Optional[int],
    reason: Optional[str],
    wait: bool,
    format_: str,
) -> int:
    """Cancel job ID on every NODE given, or on all its nodes. The beginning of an id is enough.

    Nodes that run the command end it with all its children, and count as aborted when they say
    so; on nodes that were still asked whether they are ready it will not run. Nodes that have
    ended keep their results. Cancelling again is no error.

    Over Serf nothing confirms a stop: such a node counts as stopped once it was told, and its own
    abort_grace counts, not --grace. Cancels are repeated until they reach an agent of ours.

    The exit code is 0 when no chosen node runs the command any more, 3 when one was lost before it
    said so.
    """
    client = connect(context)
    full_id = client.resolve(job_id)
    answer = client.cancel(full_id, nodes or None, grace=grace, reason=reason)
    notice(summary(answer))
    if not wait:
        present(format_, documents.cancellation(answer), lambda: tables.print_cancellation(answer))
        return exit_codes.SUCCEEDED
    if format_ == "jsonl":
        print_lines([documents.cancellation(answer)])
    pending = answer.named(CancelEffect.REQUESTED)
    job = _wait(context, client, full_id, pending, can_redraw(output_is_streamed=False))
    _print_end(job, answer, format_)
    return exit_codes.of_cancel(job, pending)


def summary(answer: Cancellation) -> str:
    """Return one line on what the cancel meant."""
    words = {
        CancelEffect.REQUESTED: "told to stop",
        CancelEffect.RELEASED: "released, the command will not run there",
        CancelEffect.ENDED: "ended before",
    }
    counts = ((len(answer.named(effect)), text) for effect, text in words.items())
    parts = "; ".join(f"{count} {text}" for count, text in counts if count)
    total = tables.count_nodes(len(answer.nodes))
    return f"cancelling job {answer.job_id}: of {total} {parts}"


def _wait(
    context: click.Context, client: Client, job_id: str, pending: Sequence[str], redraw: bool
) -> Job:
    """Return the job when the nodes that were told to stop have ended."""
    progress = Progress(redraw, _describer(pending))
    try:
        for job in client.watch(job_id, on_trouble=progress.trouble):
            left = _left(job, pending)
            if left:
                progress.update(job)
            if not left:
                break
    except KeyboardInterrupt:
        code, what = exit_codes.INTERRUPTED, "interrupted"
    except PushJobsClientError as error:
        code, what = exit_codes.of_error(error), f"Error: {error}"
    else:
        progress.clear()
        return job
    progress.clear()
    notice(what)
    look = again(context, "job", "show", job_id)
    notice(f"job {job_id} stays cancelled; see how far it is with: {look}")
    raise click.exceptions.Exit(code)


def _left(job: Job, pending: Sequence[str]) -> int:
    return sum(node.name in pending and not node.status.final for node in job.nodes)


def _describer(pending: Sequence[str]) -> Callable[[Job], str]:
    def describe(job: Job) -> str:
        total = len(pending)
        have = "has" if total == 1 else "have"
        stopped = total - _left(job, pending)
        return f"stopping: {stopped} of {tables.count_nodes(total)} {have} stopped"

    return describe


def _print_end(job: Job, answer: Cancellation, format_: str) -> None:
    names = {node.name for node in answer.nodes}
    chosen = [node for node in job.nodes if node.name in names]
    if format_ == "table":
        tables.print_results(chosen)
    elif format_ == "json":
        print_json(documents.job(job))
    else:
        print_lines(documents.result(job.id, node) for node in chosen)
        print_lines([documents.job(job)])
    notice(tables.summary(job))
