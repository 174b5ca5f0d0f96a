"""``push-jobs help``: pages that belong to no single command."""

from __future__ import annotations

import click

from push_jobs import documents, exit_codes
from push_jobs.options import examples, format_option
from push_jobs.printing import cell, present, print_table


@click.group("help", epilog=examples("push-jobs help exit-codes", "push-jobs job start --help"))
def help_group() -> None:
    """Explain what concerns all commands."""


@help_group.command(
    "exit-codes",
    epilog=examples("push-jobs help exit-codes", "push-jobs help exit-codes --format json"),
)
@format_option
def exit_codes_page(format_: str) -> None:
    """List the exit codes and what they mean."""
    rows = [(cell(code), cell(text)) for code, text in exit_codes.MEANINGS.items()]
    table = documents.exit_codes(exit_codes.MEANINGS)
    present(format_, table, lambda: print_table(("EXIT", "MEANING"), rows))
