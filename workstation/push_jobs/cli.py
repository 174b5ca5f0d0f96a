"""The entry of ``push-jobs``: global options, the commands, and the one place where errors end.

No traceback reaches a user, unless PUSHJOBS_DEBUG asks for the one of a defect.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import traceback
from contextlib import suppress
from importlib.metadata import version
from typing import Optional, Sequence

import click

from push_jobs import exit_codes
from push_jobs.commands_cancel import cancel_job
from push_jobs.commands_help import help_group
from push_jobs.commands_job import job_group
from push_jobs.commands_node import node_group
from push_jobs.commands_start import start_job
from push_jobs.commands_watch import watch_job
from push_jobs.commands_whoami import whoami
from push_jobs.errors import PushJobsClientError, UsageError
from push_jobs.failures import next_steps
from push_jobs.options import examples
from push_jobs.printing import notice
from push_jobs.profiles import VARIABLES
from push_jobs.root_group import RootGroup

_FLAGS = {
    "profile": ("NAME", "Profile in ~/.config/push-jobs/config.yml to use."),
    "server": ("URL", "Server and organization: https://HOST:10003/organizations/ORG"),
    "user": ("NAME", "Name of the user who signs the requests."),
    "key": ("PATH", "Private key of that user."),
    "ca": ("PATH", "CA certificate of the server."),
    "fingerprint": ("SHA256", "Fingerprint of that certificate; replaces --ca."),
}


@click.group(
    cls=RootGroup,
    params=[
        click.Option([f"--{name}"], metavar=metavar, help=f"{text}  [env: {VARIABLES[name]}]")
        for name, (metavar, text) in _FLAGS.items()
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "push-jobs job start chef-client web1 web2 --capture",
        "push-jobs --profile staging node list",
    ),
)
@click.version_option(version("push-jobs"), message="push-jobs %(version)s")
def root(**_flags: Optional[str]) -> None:
    """Start jobs on many nodes at once and see how they end."""


job_group.add_command(start_job)
job_group.add_command(watch_job)
job_group.add_command(cancel_job)
root.add_command(start_job, "run")
for command in (job_group, node_group, whoami, help_group):
    root.add_command(command)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command line (by default that of the process) and return its exit code."""
    _never_fail_to_print()
    try:
        code = _run(arguments)
    except OSError as error:
        code = _cannot_write(error)
    if arguments is None:
        _end_with_threads(code)
    return code


def _end_with_threads(code: int) -> None:
    """End at once when a thread still reads a feed: TLS that is torn down under it may crash."""
    if threading.active_count() > 1:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)


def _run(arguments: Optional[Sequence[str]]) -> int:
    try:
        code = root.main(args=arguments, prog_name="push-jobs", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        notice("interrupted")
        return exit_codes.INTERRUPTED
    except PushJobsClientError as error:
        notice(_explained(error))
        return exit_codes.of_error(error)
    except OSError:
        raise
    except Exception as error:  # whatever it is, people get a sentence, not a traceback
        return _defect(error)
    return code if isinstance(code, int) else exit_codes.SUCCEEDED


def _explained(error: PushJobsClientError) -> str:
    problems = error.problems if isinstance(error, UsageError) else ()
    if len(problems) < 2:
        return "\n".join((f"Error: {error}", *next_steps(error)))
    listed = "\n".join("- " + problem.replace("\n", "\n  ") for problem in problems)
    return f"Error: {len(problems)} things are wrong:\n{listed}"


def _never_fail_to_print() -> None:
    """Escape characters that the terminal's encoding lacks; write to nowhere what was closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _cannot_write(error: OSError) -> int:
    """End after the output could not be written; say nothing when its reader went away."""
    # What is still buffered goes nowhere, else the interpreter's last flush would fail again.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    try:
        if not isinstance(error, BrokenPipeError):
            notice(f"Error: cannot write the results: {error.strerror or error}")
        sys.stderr.flush()
    except OSError:
        os.dup2(nowhere, sys.stderr.fileno())
    return exit_codes.ERROR


def _defect(error: Exception) -> int:
    notice(f"Error: this is a defect of push-jobs: {type(error).__name__}: {error}")
    if os.environ.get("PUSHJOBS_DEBUG"):
        traceback.print_exception(type(error), error, error.__traceback__)
    else:
        notice("set PUSHJOBS_DEBUG=1 to see where it happened, and report it")
    return exit_codes.ERROR
