"""``push-jobs-server serf-key``: what nodes over Serf verify commands with."""

from __future__ import annotations

import click

from push_jobs_server import settings
from push_jobs_server.cli_support import data_dir_of, examples


@click.command("serf-key", epilog=examples("serf-key", "--data-dir /srv/push-jobs serf-key"))
@click.pass_context
def serf_key_command(context: click.Context) -> None:
    """Print the public key with which nodes over Serf verify commands.

    The private one is in the file that the setting serf.signing_key names. Without that setting it
    is in the data directory, and made when it is missing.
    """
    from push_jobs_server.data import shovey_key
    from push_jobs_server.keys import public_pem

    data_dir = data_dir_of(context)
    key = shovey_key(settings.load(data_dir), data_dir)
    click.echo(public_pem(key.public_key()), nl=False)
