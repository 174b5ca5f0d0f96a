"""``push-jobs whoami``: who the server takes you for, what you may do, and by which rule."""

from __future__ import annotations

import click

from push_jobs import documents, tables
from push_jobs.options import connect, examples, format_option
from push_jobs.printing import present


@click.command(
    "whoami",
    epilog=examples("push-jobs whoami", "push-jobs --profile staging whoami --format json"),
)
@format_option
@click.pass_context
def whoami(context: click.Context, format_: str) -> None:
    """Show who the server takes you for and what you may do.

    Each right comes with the rule that gives or denies it. This also works for a user who is not
    in the organization.
    """
    identity = connect(context).whoami()
    present(format_, documents.identity(identity), lambda: tables.print_identity(identity))
