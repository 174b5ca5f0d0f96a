"""What several commands share: the output format, the connection, examples in help texts."""

from __future__ import annotations

import os
import shlex
from typing import Any, Callable, Optional, TypeVar

import click

from push_jobs.client import Client
from push_jobs.errors import UsageError
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

_SIGNER = "push_jobs.signer"

Value = TypeVar("Value")


def parsed(parse: Callable[[Any], Value]) -> Callable[..., Optional[Value]]:
    """Return a click callback that parses a value which was given."""

    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> Optional[Value]:
        try:
            return None if value is None else parse(value)
        except UsageError as error:
            raise click.BadParameter(str(error), context, parameter) from None

    return callback


def examples(*lines: str) -> str:
    """Return the end of a help text; click keeps its lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  $ {line}" for line in lines)


def connect(context: click.Context) -> Client:
    """Return a client for the target of flags, environment and profile; closed with the context."""
    target = find_target(context.find_root().params, os.environ)
    for warning in target.warnings:
        notice(f"warning: {warning}")
    context.meta[
        _SIGNER
    ] = f"it was signed as '{target.user}' with {target.key_file}; --user and --key choose them"
    client = target.connect()
    context.call_on_close(client.close)
    return client


def signer(context: click.Context) -> Optional[str]:
    """Return whose key signs the requests of this command line, and how to choose another."""
    text: Optional[str] = context.meta.get(_SIGNER)
    return text


def again(context: click.Context, *words: str) -> str:
    """Return a command line for the user that leads to the same server as this one."""
    flags = [
        word
        for name, value in context.find_root().params.items()
        if value
        for word in (f"--{name}", value)
    ]
    return shlex.join(["push-jobs", *flags, *words])
