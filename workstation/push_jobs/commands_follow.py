"""What ``job start --follow`` and ``job output --follow`` share: output as it is printed."""

from __future__ import annotations

from typing import Sequence

import click

from push_jobs import documents
from push_jobs.client import Client
from push_jobs.live_output import LinePrinter
from push_jobs.printing import print_lines
from push_jobs.progress import Progress, can_redraw
from push_jobs.watching import job_goes_on


def print_live(
    context: click.Context,
    client: Client,
    job_id: str,
    nodes: Sequence[str],
    streams: Sequence[str],
    format_: str,
) -> None:
    """Print what the nodes print, to the end of the job: whole lines, or pieces with ``jsonl``."""
    progress = Progress(can_redraw(output_is_streamed=True))
    printer = LinePrinter()
    with job_goes_on(context, job_id, progress):
        for piece in client.follow_output(job_id, nodes, on_trouble=progress.trouble):
            if piece.stream not in streams:
                continue
            if format_ == "jsonl":
                print_lines([documents.output_piece(job_id, piece)])
            else:
                printer.take(piece)
        printer.end()


def check_follow(format_: str) -> None:
    """Raise UsageError for a format that can't be printed piece by piece."""
    if format_ == "json":
        raise click.UsageError("--follow prints as it comes: use it with --format table or jsonl")
