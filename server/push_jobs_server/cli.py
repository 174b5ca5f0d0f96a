"""The entry of ``push-jobs-server``: its commands, and the one place where errors end.

No traceback reaches a user, unless PUSHJOBS_DEBUG asks for the one of a defect.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Optional, Sequence

import click

from push_jobs_server.cli_clients import client_group
from push_jobs_server.cli_groups import group_group
from push_jobs_server.cli_history import audit_group, purge_command
from push_jobs_server.cli_import import import_config_command
from push_jobs_server.cli_init import init_command
from push_jobs_server.cli_orgs import org_group
from push_jobs_server.cli_serf import serf_key_command
from push_jobs_server.cli_service import (
    check_config_command,
    migrate_command,
    rotate_keys_command,
    run_command,
    show_config_command,
)
from push_jobs_server.cli_status import status_command
from push_jobs_server.cli_support import (
    DEFAULT_DATA_DIR,
    ERROR,
    INTERRUPTED,
    CommandError,
    examples,
    notice,
)
from push_jobs_server.cli_users import user_group
from push_jobs_wire.errors import PushJobsError


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("init --org acme --admin alice", "--data-dir /srv/push-jobs status"),
)
@click.option(
    "--data-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    envvar="PUSHJOBS_SERVER_DATA",
    default=DEFAULT_DATA_DIR,
    show_default=True,
    show_envvar=True,
    help="Where the server keeps its settings, keys and database.",
)
@click.version_option(version("push-jobs-server"), message="push-jobs-server %(version)s")
@click.pass_context
def root(context: click.Context, data_dir: Path) -> None:
    """Run a push-jobs server, and manage who may use it."""
    context.obj = Path(os.path.abspath(data_dir))


for _command in (
    init_command,
    run_command,
    status_command,
    check_config_command,
    show_config_command,
    import_config_command,
    migrate_command,
    rotate_keys_command,
    serf_key_command,
    org_group,
    user_group,
    client_group,
    group_group,
    purge_command,
    audit_group,
):
    root.add_command(_command)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command line (by default that of the process) and return its exit code."""
    _never_fail_to_print()
    try:
        code = root.main(args=arguments, prog_name="push-jobs-server", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        notice("interrupted")
        return INTERRUPTED
    except PushJobsError as error:
        notice(f"error: {error}")
        return error.code if isinstance(error, CommandError) else ERROR
    except BrokenPipeError:
        _forget_stdout()
        return ERROR
    except OSError as error:
        notice(f"error: {_describe(error)}")
        return ERROR
    except Exception as error:  # whatever it is, people get a sentence, not a traceback
        return _defect(error)
    return code if isinstance(code, int) else 0


def _never_fail_to_print() -> None:
    """Let characters that the terminal's encoding lacks come out escaped instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _forget_stdout() -> None:
    """Whoever read our output is gone: let the interpreter's last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _describe(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return reason if error.filename is None else f"{error.filename}: {reason}"


def _defect(error: Exception) -> int:
    notice(f"error: this is a defect of push-jobs-server: {type(error).__name__}: {error}")
    if os.environ.get("PUSHJOBS_DEBUG"):
        traceback.print_exception(type(error), error, error.__traceback__)
    else:
        notice("set PUSHJOBS_DEBUG=1 to see where it happened, and report it")
    return ERROR
