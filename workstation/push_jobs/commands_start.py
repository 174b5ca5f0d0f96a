"""``push-jobs job start``: start a job, show how it comes along, print how it ended."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Set, Tuple

import click

from push_jobs import documents, exit_codes, tables
from push_jobs.client import Client
from push_jobs.commands_follow import check_follow, print_live
from push_jobs.durations import parse_duration
from push_jobs.errors import PushJobsClientError, UsageError
from push_jobs.job_request import MAX_FILE
from push_jobs.models import Job
from push_jobs.options import again, connect, examples, format_option, parsed
from push_jobs.outputs import document, fetch, print_pieces, ran_on
from push_jobs.printing import notice, print_json, print_lines
from push_jobs.progress import Progress, can_redraw
from push_jobs.watching import watch
from push_jobs_wire.messages import STREAMS


def _environment(pairs: Sequence[str]) -> Optional[Dict[str, str]]:
    env: Dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"{pair!r} is not NAME=VALUE")
        if name in env:
            raise UsageError(f"{name!r} is given twice")
        env[name] = value
    return env or None


@click.command(
    "start",
    epilog=examples(
        "push-jobs job start chef-client web1 web2 web3 --quorum 75% --timeout 10m",
        "push-jobs job start 'rotate-logs nginx' web1 --capture",
        "push-jobs job start chef-client web1 web2 --follow",
        "push-jobs job start backup db1 --detach --user backup --env TARGET=nightly",
    ),
)
@click.argument("command")
@click.argument("nodes", metavar="NODE...", nargs=-1, required=True)
@click.option("--quorum", metavar="N|N%", help="How many nodes must be ready.  [default: all]")
@click.option(
    "--timeout",
    "run_timeout",
    metavar="TIME",
    callback=parsed(parse_duration),
    help="Time the command may run: 30s, 5m, 2h, or seconds.  [default: the server's]",
)
@click.option("--capture", is_flag=True, help="Keep the output and print it at the end.")
@click.option("--follow", "-f", is_flag=True, help="Capture the output and print it as it comes.")
@click.option("--detach", is_flag=True, help="Print the job's id and do not wait.")
@click.option("--user", metavar="NAME", help="User on the nodes that runs the command.")
@click.option("--dir", metavar="PATH", help="Directory on the nodes to run it in.")
@click.option(
    "--env",
    metavar="NAME=VALUE",
    multiple=True,
    callback=parsed(_environment),
    help="A variable for the command; may be repeated.",
)
@click.option(
    "--file",
    type=click.File("rb"),
    metavar="PATH",
    callback=parsed(lambda file: file.read(MAX_FILE + 1)),
    help=f"A file for the command, at most {MAX_FILE} bytes; - is standard input.",
)
@format_option
@click.pass_context
def start_job(
    context: click.Context,
    command: str,
    nodes: Tuple[str, ...],
    follow: bool,
    detach: bool,
    format_: str,
    **options: Any,
) -> int:
    """Run COMMAND on every NODE and wait for the end.

    COMMAND is a name on the nodes' own whitelists; one with blanks in it needs quotes. Every node
    first says whether it is ready; if enough are (--quorum), they all run it. Interrupting only
    ends the waiting, never the job (see `job cancel`). Exit codes tell how it ended: see `help
    exit-codes`.

    `job start` and `run` are the same command.
    """
    if not command or not all(nodes):
        raise click.UsageError("an empty name of a command or node means nothing")
    if follow:
        if detach:
            raise click.UsageError("give --follow or --detach, not both")
        check_follow(format_)
        options["capture"] = True
    client = connect(context)
    job_id = _start(context, client, command, nodes, options)
    if detach:
        _print_started(job_id, format_)
        return exit_codes.SUCCEEDED
    notice(f"started job {job_id}")
    # Before any output: it prints the id, which a reader needs first.
    report = _Report(client, job_id, format_, options["capture"] and not follow)
    if follow:
        print_live(context, client, job_id, (), STREAMS, format_)
    progress = Progress(can_redraw(report.streams))
    job = watch(context, client, job_id, progress, report.update)
    report.end(job)
    return exit_codes.of_job(job)


def _start(
    context: click.Context,
    client: Client,
    command: str,
    nodes: Sequence[str],
    options: Dict[str, Any],
) -> str:
    try:
        return client.start_job(command, nodes, on_trouble=_Trouble().tell, **options)
    except KeyboardInterrupt:
        listing = again(context, "job", "list")
        notice(f"interrupted; the job may have started all the same, see: {listing}")
        raise click.exceptions.Exit(exit_codes.INTERRUPTED) from None


class _Trouble:
    """Says what keeps the answer to a start away, each trouble once in a row."""

    def __init__(self) -> None:
        self._told = ""

    def tell(self, error: PushJobsClientError) -> None:
        """Say it unless it was just said."""
        if str(error) != self._told:
            notice(f"{error}; trying again, the job is started once only")
        self._told = str(error)


def _print_started(job_id: str, format_: str) -> None:
    if format_ == "table":
        click.echo(job_id)
    elif format_ == "json":
        print_json(documents.started(job_id))
    else:
        print_lines([documents.started(job_id)])


class _Report:
    """Prints results in the chosen format: with ``jsonl`` as they arrive, else at the end."""

    def __init__(self, client: Client, job_id: str, format_: str, capture: bool) -> None:
        self._client = client
        self._job_id = job_id
        self._format = format_
        self._capture = capture
        self._reported: Set[str] = set()
        self.streams = format_ == "jsonl"
        if self.streams:
            print_lines([documents.started(job_id)])

    def update(self, job: Job) -> None:
        """Print the results of nodes that have ended since the last call."""
        if not self.streams:
            return
        new = [node for node in job.nodes if node.status.final and node.name not in self._reported]
        self._reported.update(node.name for node in new)
        print_lines(documents.result(job.id, node) for node in new)

    def end(self, job: Job) -> None:
        """Print what is to be said when the job has ended."""
        pieces = fetch(self._client, job.id, ran_on(job)) if self._capture else iter(())
        if self._format == "table":
            print_pieces(pieces)
            tables.print_results(job.nodes)
        elif self._format == "json":
            output = [document(job.id, piece) for piece in pieces]
            print_json({**documents.job(job), **({"output": output} if self._capture else {})})
        else:
            print_lines(document(job.id, piece) for piece in pieces)
            print_lines([documents.job(job)])
        notice(tables.summary(job))
