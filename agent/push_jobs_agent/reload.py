"""Reading the settings again while the agent runs: what is taken over, what needs a restart.

A file with any mistake changes nothing. Every mistake and every setting that waits is named in the
log; values are not, some of them are secret. What changed is carried out by the service.
Source: operator-surfaces 9.2 row 5.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, List, Mapping, Optional, Tuple

from push_jobs_agent import config as settings
from push_jobs_agent import logs, startup
from push_jobs_agent.config import TABLE, Config
from push_jobs_agent.logs import log
from push_jobs_wire.settings import SettingsError, Values

AT_ONCE = (
    "log_level",
    "log_location",
    "log_format",
    "max_body_size",
    "drain_timeout",
    "abort_grace",
    "time_slew",
    "sign_pub_key",
)
WITH_NEW_FETCH = (
    "client_key",
    "ca_file",
    "trusted_certs_dir",
    "https_proxy",
    "http_proxy",
    "no_proxy",
)
WITH_NEW_RUNNER = (
    "whitelist",
    "file_dir",
    "output_limit",
    "allowed_users",
    "allowed_overwritable_env_vars",
    "lockfile",
)
"""The runner takes these from its command line alone, so it has to be started again for them."""

NEEDS_RESTART = tuple(
    name for name in TABLE.fields if name not in (*AT_ONCE, *WITH_NEW_FETCH, *WITH_NEW_RUNNER)
)
"""Who this node is, where its jobs are, and whom it talks to in which way."""


@dataclass(frozen=True)
class Reload:
    """What reading the settings again came to.

    Attributes:
        config: what is in effect from now on.
        taken: names of the changed settings that are in it.
        waiting: names of the changed settings that need a restart.
    """

    config: Config
    taken: Tuple[str, ...]
    waiting: Tuple[str, ...]

    @property
    def needs_fetch(self) -> bool:
        """True when the server should be asked in the new way."""
        return any(name in WITH_NEW_FETCH for name in self.taken)

    @property
    def needs_runner(self) -> bool:
        """True when the runner has to be started with other options, or ours to log elsewhere."""
        ours = ("log_location",) if self.config["start_runner"] else ()
        return any(name in (*WITH_NEW_RUNNER, *ours) for name in self.taken)


def merge(old: Config, new: Config) -> Reload:
    """What becomes of the settings in effect when the file says something new. Pure."""
    changed = [name for name in TABLE.fields if new[name] != old[name]]
    taken = tuple(name for name in changed if name not in NEEDS_RESTART)
    values = Values({**old.values, **{name: new[name] for name in taken}})
    config = replace(old, values=values, source=new.source, notes=new.notes)
    return Reload(config, taken, tuple(name for name in changed if name in NEEDS_RESTART))


def reload(old: Config, path: Optional[str], options: Mapping[str, Any]) -> Optional[Reload]:
    """Read the settings again and switch the log over; None when the old ones have to be kept.

    ``path`` and ``options`` are those of the command line, which still goes before the file.
    """
    try:
        new = settings.load(path, options, host_name=old.node_name)
        change = merge(old, new)
        _use_log(change.config, _problems(new, change))
    except SettingsError as error:
        for problem in error.problems:
            fields = {"file": error.source, "problem": problem}
            log("error", "the settings are wrong; the old ones are kept", fields)
        return None
    for note in new.notes:
        log("warning", note, {"file": new.source})
    log("info", "read the settings again", {"changed": ", ".join(change.taken) or "nothing"})
    for name in change.waiting:
        log("warning", "a changed setting needs a restart", {"setting": name})
    return change


def _problems(new: Config, change: Reload) -> List[str]:
    problems = settings.file_problems(new)
    if change.needs_runner:
        # The next runner would not start with a wrong one; the present one can keep its old one.
        path = change.config["whitelist"]
        if not _is_another_users(change.config, path):
            problems.extend(startup.whitelist_problems(path))
    return problems


def _is_another_users(config: Config, path: str) -> bool:
    """Whether the runner, as the user that it is, may see what we may not."""
    return not config["start_runner"] and os.path.exists(path) and not os.access(path, os.R_OK)


def _use_log(config: Config, problems: List[str]) -> None:
    """Go on in the log that is wanted now. Raises SettingsError when anything is wrong."""
    path = config["log_location"]
    try:
        handler = logs.open_log(path)
    except OSError as error:
        problems.append(startup.log_problem(path, error))
    else:
        if not problems:
            as_json = config["log_format"] == "json"
            logs.use(handler, config.node_name, config["log_level"], as_json)
            return
        handler.close()
    raise SettingsError(config.source or "settings", problems)
