"""What several commands share: the output format, the connection, examples in help texts."""

from __future__ import annotations

import os
import shlex

import click

from push_jobs.client import Client
from push_jobs.printing import notice
from push_jobs.target import find_target

format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json", "jsonl"]),
    default="table",
    show_default=True,
    help="How to print results: for people, as one JSON value, or as one JSON object a line.",
)


def examples(*lines: str) -> str:
    """Return the end of a help text; click keeps its lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  $ {line}" for line in lines)


def connect(context: click.Context) -> Client:
    """Return a client for the target of flags, environment and profile; closed with the context."""
    target = find_target(context.find_root().params, os.environ)
    for warning in target.warnings:
        notice(f"warning: {warning}")
    client = target.connect()
    context.call_on_close(client.close)
    return client


def again(context: click.Context, *words: str) -> str:
    """Return a command line for the user that leads to the same server as this one."""
    flags = [
        word
        for name, value in context.find_root().params.items()
        if value
        for word in (f"--{name}", value)
    ]
    return shlex.join(["push-jobs", *flags, *words])
