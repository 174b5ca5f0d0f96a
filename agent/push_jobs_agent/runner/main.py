"""Starting the runner: options, lock, whitelist, socket; and saying why when that is not possible.

Exit codes: 0 stopped, 1 cannot work here, 43 options or whitelist are wrong.
"""

from __future__ import annotations

import fcntl
import os
import socket

from push_jobs_agent.runner.errors import RunnerError, WhitelistError
from push_jobs_agent.runner.log import log
from push_jobs_agent.runner.options import Options, UsageError, usage
from push_jobs_agent.runner.places import LOCK, LONGEST_SOCKET_PATH, SESSION_LOCK, SOCKET
from push_jobs_agent.runner.server import Server
from push_jobs_agent.runner.whitelist import load

CANNOT_WORK = 1
WRONG_CONFIG = 43


def main(arguments: list[str]) -> int:
    """Run until stopped; returns the exit code.

    Args:
        arguments: of the command line, without the name of the program.
    """
    if arguments in (["--help"], ["-h"]):
        print(usage(), end="")
        return 0
    try:
        _run(Options(arguments))
    except (UsageError, WhitelistError) as error:
        for line in str(error).splitlines():
            log(line)
        return WRONG_CONFIG
    except RunnerError as error:
        log(str(error))
        return CANNOT_WORK
    except OSError as error:
        log(f"cannot work: {error.filename or 'system'}: {error.strerror}")
        return CANNOT_WORK
    return 0


def _run(options: Options) -> None:
    _keep_standard_channels()
    whitelist = load(options.whitelist)
    _make_folder(options.state_dir)
    lock = _lock(os.path.join(options.state_dir, LOCK))
    if not options.file_dir:
        _make_folder(os.path.join(options.state_dir, "files"))
    path = os.path.join(options.state_dir, SOCKET)
    try:
        server = Server(options, whitelist)
        with _listen(path) as listener:
            _admit(options, path)
            server.run(listener)
            os.unlink(path)
    finally:
        os.close(lock)


def _admit(options: Options, path: str) -> None:
    """Let the session's user connect, and hold the lock by which it is the only one."""
    if options.session_user is None:
        return
    gid = options.session_user.gid
    lock = os.path.join(options.state_dir, SESSION_LOCK)
    os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for name, mode in ((lock, 0o640), (path, 0o660)):
        os.chown(name, -1, gid)
        os.chmod(name, mode)


def _keep_standard_channels() -> None:
    """Without this, a runner that was started with closed channels would mix them up with pipes."""
    fd = os.open(os.devnull, os.O_RDWR)
    while fd <= 2:
        fd = os.dup(fd)
    os.close(fd)


def _make_folder(path: str) -> None:
    """Make a folder that other users, jobs among them, can pass through but not look into."""
    if not os.path.isdir(path):
        os.makedirs(path, 0o711)
        os.chmod(path, 0o711)


def _lock(path: str) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # This kind is not shared with a child that has not become its command yet.
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        folder = os.path.dirname(path)
        raise RunnerError(f"another runner works in {folder}; stop that one first") from None
    return fd


def _listen(path: str) -> socket.socket:
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise RunnerError(
            f"the path of the socket, {path}, is too long; choose a shorter state folder"
        )
    if os.path.lexists(path):
        os.unlink(path)  # of a dead runner: we hold the lock
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(8)
    return listener
