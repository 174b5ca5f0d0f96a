"""`push-jobs-runner`: starts the runner for a service manager, with the agent's settings.

The settings are read with all of Python at hand; then this process becomes the lean runner, which
knows its options from its command line alone. Source: operator-surfaces 9.1 row 11.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import List, Optional, Sequence

from push_jobs_agent import config as settings
from push_jobs_agent import exit_codes
from push_jobs_agent.command_line import Parser, tell
from push_jobs_agent.config import Config
from push_jobs_agent.runner_keeper import runner_command
from push_jobs_wire.settings import SettingsError

PROGRAM = "push-jobs-runner"
_EXAMPLE = """example, as a service manager starts it (the session has start_runner: false):
  push-jobs-runner --config /etc/chef/push-jobs-client.yml --session-user push-jobs-client

Signals: HUP loads the whitelist again; TERM ends the runner as soon as no job runs; INT ends the
jobs, too.
"""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Become the runner; returns an exit code when that is not possible."""
    options = _parser().parse_args(argv)
    try:
        command = _command(settings.load(options.config, {}, host_name="this node"))
    except SettingsError as error:
        return tell(error)
    if options.session_user:
        command.append(f"--session-user={options.session_user}")
    try:
        os.execv(command[0], command)
    except OSError as error:
        print(f"{PROGRAM}: {command[0]} cannot be run: {error.strerror}", file=sys.stderr)
        return exit_codes.UNEXPECTED


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description="Runs the jobs of a node that the session asks for and the whitelist allows.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-c", "--config", metavar="PATH", help="settings file of the agent")
    user = "user that the session runs as (default: the same as the runner)"
    parser.add_argument("--session-user", metavar="NAME", help=user)
    return parser


def _command(config: Config) -> List[str]:
    """The runner's command line. Raises SettingsError when the session would start one, too."""
    if config["start_runner"]:
        text = "start_runner: has to be false when a service manager starts the runner"
        raise SettingsError(config.source or "settings", [text])
    return runner_command(config)


if __name__ == "__main__":
    sys.exit(main())
