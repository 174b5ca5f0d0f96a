"""What the agent makes sure of before it serves: log, whitelist, state folder, being the only one.

Everything that is wrong here is a mistake in the settings, named with its key.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import Iterator, List, Optional

from push_jobs_agent import logs
from push_jobs_agent.config import Config
from push_jobs_agent.errors import AgentError
from push_jobs_agent.runner import whitelist
from push_jobs_agent.runner.errors import WhitelistError
from push_jobs_agent.runner.places import LONGEST_SOCKET_PATH, SESSION_LOCK, SOCKET
from push_jobs_wire.settings import SettingsError


@contextmanager
def prepared(config: Config) -> Iterator[None]:
    """Make everything ready for the agent, and hold its lock inside the block.

    Raises SettingsError that names all mistakes, or AgentError when another agent is at work.
    """
    problems = [*_log_problems(config), *_folder_problems(config)]
    if config["start_runner"]:  # somebody else's runner is somebody else's business
        problems += whitelist_problems(config["whitelist"])
    if problems:
        raise SettingsError(config.source or "settings", problems)
    lock = _lock(config["state_dir"])
    try:
        for note in config.notes:
            logs.log("warning", note, {"file": config.source})
        if config["start_runner"]:
            logs.log(
                "info", "session and runner run as one user; a service manager can keep them apart"
            )
        yield
    finally:
        os.close(lock)


def _log_problems(config: Config) -> List[str]:
    path = config["log_location"]
    try:
        as_json = config["log_format"] == "json"
        logs.set_up(config.node_name, config["log_level"], path, as_json)
    except OSError as error:
        return [log_problem(path, error)]
    return []


def log_problem(path: Optional[str], error: OSError) -> str:
    """What is wrong with a log that could not be opened."""
    return f"log_location: {path} cannot be written: {error.strerror}"


def _folder_problems(config: Config) -> List[str]:
    folder = config["state_dir"]
    if len(os.fsencode(os.path.join(folder, SOCKET))) > LONGEST_SOCKET_PATH:
        return [f"state_dir: {folder} is too long a path for a socket in it"]
    if not config["start_runner"]:
        return []  # the folder is the runner's
    try:
        if not os.path.isdir(folder):
            # Jobs of other users have to pass through to reach their own files below it.
            os.makedirs(folder)
            os.chmod(folder, 0o711)
    except OSError as error:
        return [f"state_dir: {folder} cannot be made: {error.strerror}"]
    if not os.access(folder, os.W_OK | os.X_OK):
        return [f"state_dir: {folder} cannot be written"]
    return []


def whitelist_problems(path: str) -> List[str]:
    """Why a runner would not start with this whitelist."""
    try:
        whitelist.load(path)
    except WhitelistError as error:
        return error.problems
    return []


def _open_lock(path: str) -> int:
    try:
        # Of a runner that runs as somebody else: we may read it, and that is enough.
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)


def _lock(folder: str) -> int:
    path = os.path.join(folder, SESSION_LOCK)
    try:
        lock = _open_lock(path)
    except OSError as error:
        raise AgentError(
            f"{path} cannot be made: {error.strerror}; where a service manager keeps session and "
            "runner apart, the runner makes it and has to start first"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise AgentError(
            f"another agent uses {folder}; stop it, or give this one a state_dir of its own"
        ) from None
    return lock
