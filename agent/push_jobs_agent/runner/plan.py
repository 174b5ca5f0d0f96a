"""From what a caller asks for to what would really be run, or the reason why not.

Everything that can be known before the start is checked here, so that a vote means something. The
same way is gone again at the start. Follows pushy-protocol 7.2 and operator-surfaces 2.5 and 2.6.
"""

from __future__ import annotations

import os

from push_jobs_agent.runner import accounts, environment, jobfile, locks
from push_jobs_agent.runner.entries import is_environment, is_seconds, is_text
from push_jobs_agent.runner.errors import Refused
from push_jobs_agent.runner.spool import check_job_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

    from push_jobs_agent.runner.accounts import Account
    from push_jobs_agent.runner.entries import Entry
    from push_jobs_agent.runner.options import Options
    from push_jobs_agent.runner.whitelist import Whitelist

EXTRA_TIME = 2.0
"""Seconds that a job may run longer than the server waits: the server's word comes first."""


class Request:
    """What a caller asks for, with every field of the right kind. Raises Refused."""

    def __init__(self, fields: Any) -> None:
        if not isinstance(fields, dict):
            raise Refused("the request is not usable: expected a mapping")
        self.job_id = check_job_id(fields.get("job_id"))
        self.node = _text(fields, "node") or ""
        command = fields.get("command")
        if not isinstance(command, str):
            raise Refused("the request names no command")
        self.command = command
        self.user = _text(fields, "user")
        self.dir = _text(fields, "dir")
        self.env: dict[str, str] = _kind(fields, "env", is_environment) or {}
        self.file = _text(fields, "file", is_text=lambda value: isinstance(value, str))
        self.capture = fields.get("capture") is True
        self.run_timeout: Optional[float] = _kind(fields, "run_timeout", is_seconds)


def _kind(fields: dict[str, Any], key: str, is_usable: Any) -> Any:
    value = fields.get(key)
    if value is not None and not is_usable(value):
        raise Refused(f"the {key} of the job is not usable")
    return value


def _text(fields: dict[str, Any], key: str, is_text: Any = is_text) -> Optional[str]:
    text: Optional[str] = _kind(fields, key, is_text)
    return text


class Plan:
    """All that is needed to start a job.

    Attributes:
        argv, env, dir: of the process; ``dir`` None is where the runner is.
        account: whom it runs as, None for the runner's own user.
        file: content of the job file, or None.
        timeout: seconds, or None; ``timeout_reason`` says whose.
        lock: path of the lock file, or None; ``lock_held``: as long as the job runs.
    """

    def __init__(self, request: Request, entry: Entry, argv: list[str], options: Options) -> None:
        self.job_id = request.job_id
        self.argv = argv
        self.account: Optional[Account] = _choose_account(request, entry, options)
        self.dir = _choose_dir(request, entry)
        self.file = None if request.file is None else jobfile.decode(request.file)
        caller, allowed = request.env, options.allowed_env
        made = environment.build(os.environ, caller, entry.env, allowed)
        if self.account is not None:
            made.update(self.account.variables)
            made.update(entry.env)
        self.env = environment.with_facts(made, request.job_id, request.node)
        self.capture = request.capture if entry.capture_output is None else entry.capture_output
        self.timeout, self.timeout_reason = _choose_timeout(request, entry)
        self.lock = options.lockfile if entry.lock is True else entry.lock or None
        self.lock_held = entry.lock is not True


def make_plan(request: Request, whitelist: Whitelist, options: Options) -> Plan:
    """What would be run for ``request``. Raises Refused with the reason against it."""
    entry, argv = whitelist.find(request.command)
    plan = Plan(request, entry, argv, options)
    if plan.lock:
        locks.give_back(locks.take(plan.lock))
    return plan


def _choose_account(request: Request, entry: Entry, options: Options) -> Optional[Account]:
    if entry.user is None:
        if request.user is None:
            return None
        account = accounts.find(request.user)
        if request.user not in options.allowed_users and account.uid != os.geteuid():
            raise Refused(f"the user {request.user!r} is not allowed for jobs on this node")
    else:
        if request.user not in (None, entry.user):
            raise Refused(
                f"the job asks for the user {request.user!r}, but the whitelist of this node"
                f" runs {request.command!r} as {entry.user!r}"
            )
        account = accounts.find(entry.user)
    accounts.check_possible(account)
    return account


def _choose_dir(request: Request, entry: Entry) -> Optional[str]:
    if entry.dir is not None and request.dir not in (None, entry.dir):
        raise Refused(
            f"the job asks for the directory {request.dir!r}, but the whitelist of this node"
            f" runs {request.command!r} in {entry.dir!r}"
        )
    path = entry.dir if entry.dir is not None else request.dir
    if path is None:
        return None
    if not path.startswith("/"):
        raise Refused(f"the directory {path!r} is no absolute path")
    if not os.path.isdir(path):
        raise Refused(f"the directory {path!r} does not exist")
    return path


def _choose_timeout(request: Request, entry: Entry) -> tuple[Optional[float], str]:
    choices = []
    if request.run_timeout is not None:
        reason = f"it ran longer than the {request.run_timeout:g} s of the job"
        choices.append((request.run_timeout + EXTRA_TIME, reason))
    if entry.timeout is not None:
        reason = f"it ran longer than the {entry.timeout:g} s of its whitelist entry"
        choices.append((entry.timeout, reason))
    return min(choices, default=(None, ""))
