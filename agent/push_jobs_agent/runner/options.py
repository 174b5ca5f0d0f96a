"""The command line of the runner, read by hand: the usual module for it costs memory for good."""

from __future__ import annotations

from push_jobs_agent.runner import accounts
from push_jobs_agent.runner.errors import Refused, RunnerError
from push_jobs_agent.runner.locks import CHEF_CLIENT
from push_jobs_agent.runner.output import DEFAULT_LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from push_jobs_agent.runner.accounts import Account

USAGE = """usage: python -I -S .../push_jobs_agent/runner --state-dir FOLDER --whitelist FILE ...

  --state-dir FOLDER   socket, lock and spool; made when it is missing
  --whitelist FILE     JSON, or YAML when the name ends in .yml or .yaml
  --file-dir FOLDER    for the files of jobs (default: files below the state folder)
  --allow-user NAME    a user that callers may ask for; may be repeated
  --allow-env NAME     a variable that callers may set; may be repeated; '' allows none at all
                       (default: every variable that is no hazard)
  --lockfile FILE      of chef-client (default: {lockfile})
  --output-limit N     bytes kept of each output channel of a job (default: {limit})
  --session-user NAME  the session runs as this user (default: as the same user as the runner)
"""

SMALLEST_LIMIT = 1024


class UsageError(RunnerError):
    """Raised for a command line that cannot be used."""


class Options:
    """What the command line says.

    Args:
        arguments: without the name of the program.

    Raises:
        UsageError: for anything unknown, missing or badly written.
    """

    def __init__(self, arguments: list[str]) -> None:
        given = _collect(arguments)
        self.state_dir = _last(given, "--state-dir")
        self.whitelist = _last(given, "--whitelist")
        if not self.state_dir or not self.whitelist:
            raise UsageError("--state-dir and --whitelist are needed")
        self.file_dir = _last(given, "--file-dir")
        self.allowed_users = set(given.get("--allow-user", []))
        names = given.get("--allow-env")
        self.allowed_env: Optional[set[str]] = None if names is None else set(names) - {""}
        self.lockfile = _last(given, "--lockfile") or CHEF_CLIENT
        self.output_limit = _limit(_last(given, "--output-limit"))
        self.session_user = _account(_last(given, "--session-user"))


NAMES = (
    "--state-dir",
    "--whitelist",
    "--file-dir",
    "--allow-user",
    "--allow-env",
    "--lockfile",
    "--output-limit",
    "--session-user",
)


def _collect(arguments: list[str]) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {}
    rest = list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name not in NAMES:
            raise UsageError(f"unknown option {name}")
        if not equals:
            if not rest:
                raise UsageError(f"{name} needs a value")
            value = rest.pop(0)
        given.setdefault(name, []).append(value)
    return given


def _account(name: str) -> Optional[Account]:
    try:
        return accounts.find(name) if name else None
    except Refused as error:
        raise UsageError(f"--session-user: {error}") from None


def _last(given: dict[str, list[str]], name: str) -> str:
    return given.get(name, [""])[-1]


def _limit(text: str) -> int:
    if not text:
        return DEFAULT_LIMIT
    if not text.isdecimal() or int(text) < SMALLEST_LIMIT:
        raise UsageError(f"--output-limit is {text!r}, expected a number from {SMALLEST_LIMIT} on")
    return int(text)


def usage() -> str:
    """The help text."""
    return USAGE.format(lockfile=CHEF_CLIENT, limit=DEFAULT_LIMIT)
