"""``push-jobs-server run|check-config|show-config|migrate|rotate-keys``: server and settings."""

from __future__ import annotations

import json
import time
from contextlib import closing

import click
import yaml

from push_jobs_server import settings
from push_jobs_server.cli_support import CommandError, data_dir_of, examples, notice


@click.command("run", epilog=examples("run", "--data-dir /srv/push-jobs run"))
@click.pass_context
def run_command(context: click.Context) -> int:
    """Run the server in the foreground until it is told to stop."""
    data_dir = data_dir_of(context)
    values = settings.load(data_dir)
    from push_jobs_server.app import run  # the other commands need none of what it imports

    return run(values, data_dir)


@click.command(
    "check-config",
    epilog=examples("check-config", "--data-dir /srv/push-jobs check-config"),
)
@click.pass_context
def check_config_command(context: click.Context) -> None:
    """Check settings, keys, certificates and database.

    Nothing is started and nothing is changed. What the server can run with, but nodes over Serf
    can't, is told in notes.
    """
    from push_jobs_server.data_check import find_problems
    from push_jobs_server.serf_check import find_notes

    data_dir = data_dir_of(context)
    values = settings.load(data_dir)
    problems = find_problems(data_dir, values, time.time())
    notes = find_notes(values)
    for note in notes:
        notice(f"note: {note}")
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise CommandError(f"{data_dir} cannot be used as it is:{lines}")
    notice(f"{data_dir}: " + ("the server can run" if notes else "everything is in order"))


@click.command(
    "show-config",
    epilog=examples("show-config --format json", "show-config --reference"),
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
    help="How to print the settings.",
)
@click.option(
    "--reference",
    is_flag=True,
    help="Explain all settings as a markdown table instead.",
)
@click.pass_context
def show_config_command(context: click.Context, format_: str, reference: bool) -> None:
    """Show the settings in effect; passwords are masked."""
    if reference:
        click.echo(settings.TABLE.reference(), nl=False)
        return
    shown = settings.TABLE.show(settings.load(data_dir_of(context)))
    if format_ == "json":
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        click.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)


@click.command("migrate", epilog=examples("migrate", "--data-dir /srv/push-jobs migrate"))
@click.pass_context
def migrate_command(context: click.Context) -> None:
    """Bring the database up to date after an upgrade.

    Stop the server and make a copy of the database before.
    """
    from push_jobs_server.store import Store

    Store.migrate(settings.load(data_dir_of(context))["database.url"])
    notice("the database is up to date")


@click.command(
    "rotate-keys", epilog=examples("rotate-keys", "--data-dir /srv/push-jobs rotate-keys")
)
@click.pass_context
def rotate_keys_command(context: click.Context) -> None:
    """Replace the keys with which the server and its nodes know each other.

    They are in effect once the server is started again; jobs that run meanwhile go on. Certificates
    and the keys of users and nodes stay.
    """
    from push_jobs_server.key_rotation import rotate
    from push_jobs_server.store import Store

    data_dir = data_dir_of(context)
    with closing(Store(settings.load(data_dir)["database.url"])) as store:
        rotate(data_dir, store)
    notice("the server's keys are replaced; now start it again")
