"""Making the process of a job. Knows nothing of spool, whitelist or results.

The child waits for ``go`` before it does anything, so that whoever made it can first write down
that it exists; if that one dies, the child ends without a trace. What keeps it from becoming the
command is told through the same socket pair, which closes by itself when the command takes over.
"""

from __future__ import annotations

import errno
import os
import signal
import socket

from push_jobs_agent.runner.tree import look_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, Optional

    from push_jobs_agent.runner.accounts import Account

NOT_STARTED = 126
NOT_FOUND = 127
"""Exit codes that a shell uses, too, for a command that it cannot run."""

_OURS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGVTALRM}
_IGNORED = {each for each in signal.valid_signals() if signal.getsignal(each) is signal.SIG_IGN}
"""What Python ignores, and what whoever started the runner did: nohup, or a shell with ``&``."""
RESET = _OURS | _IGNORED


class Child:
    """The process of a job, in a session of its own.

    Attributes:
        pid, start: see ``tree``.
        outputs: read ends of both channels; empty when they go nowhere.
    """

    def __init__(self, pid: int, control: int, outputs: list[int]) -> None:
        self.pid = pid
        process = look_at(pid)
        self.start = process.start if process is not None else 0
        self.outputs = outputs
        self._control = control

    def go(self) -> None:
        """Let the child become the command."""
        try:
            os.write(self._control, b"!")
        except OSError:
            # Somebody killed it already; the exit status tells.
            pass

    def status(self) -> Optional[tuple[Optional[int], Optional[int]]]:
        """Exit code and signal once the process has ended, else None.

        It stays a zombie until ``collect``: as long as that is there, its pid means nobody else.
        """
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return None
        if found.si_code == os.CLD_EXITED:
            return found.si_status, None
        return None, found.si_status

    def failure(self) -> Optional[str]:
        """Why the process never became the command; ask once, after it has ended."""
        try:
            text = os.read(self._control, 65536).decode("utf-8", "replace")
        except OSError:
            text = ""
        os.close(self._control)
        return text or None

    def abandon(self) -> None:
        """End the child instead of letting it go."""
        os.close(self._control)
        self.collect()

    def collect(self) -> None:
        """Let the zombie go."""
        os.waitpid(self.pid, 0)


def spawn(
    argv: list[str],
    env: dict[str, str],
    directory: Optional[str],
    account: Optional[Account],
    capture: bool,
) -> Child:
    """Make a process that becomes a command after ``go``.

    Args:
        directory: where it runs, None for here.
        account: whom it runs as, None for us.
        capture: whether both channels go through pipes or nowhere.

    Raises:
        OSError: when the system has no room for it.
    """
    inner, outer = _channels(capture)
    try:
        pid = _fork()
    except OSError:
        for fd in inner + outer:
            os.close(fd)
        raise
    if pid == 0:
        _become(inner, outer, argv, env, directory, account)
    for fd in inner:
        os.close(fd)
    for fd in outer:
        os.set_blocking(fd, False)
    return Child(pid, outer[0], outer[1:])


def _channels(capture: bool) -> tuple[list[int], list[int]]:
    """The child's ends and ours: of the control channel, then of both outputs."""
    pair = socket.socketpair()
    inner, outer = [pair[0].detach()], [pair[1].detach()]
    for _ in range(2 if capture else 0):
        reader, writer = os.pipe()
        inner.append(writer)
        outer.append(reader)
    return inner, outer


def _fork() -> int:
    """Fork with signals held back: the child must never run, or wake up, our own handlers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, RESET)
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _become(
    inner: list[int],
    outer: list[int],
    argv: list[str],
    env: dict[str, str],
    directory: Optional[str],
    account: Optional[Account],
) -> NoReturn:
    """Runs in the child and never returns."""
    codes = {}
    doing = "cannot prepare the process of the job"
    try:
        _reset_signals()
        os.setsid()
        for fd in outer:
            os.close(fd)
        _redirect(inner[1:])
        if not os.read(inner[0], 1):
            os._exit(NOT_STARTED)
        if account is not None:
            doing = f"cannot become the user {account.name!r}"
            _change_user(account)
        if directory is not None:
            doing = f"cannot enter the directory {directory!r}"
            os.chdir(directory)
        doing = f"cannot run {argv[0]!r}"
        codes = {errno.ENOENT: NOT_FOUND, errno.ENOTDIR: NOT_FOUND}
        _execute(argv, env)
    except OSError as error:
        _tell(inner[0], f"{doing}: {error.strerror}")
        os._exit(codes.get(error.errno or 0, NOT_STARTED))
    except BaseException as error:
        _tell(inner[0], f"{doing}: {error}")
    finally:
        os._exit(NOT_STARTED)


def _execute(argv: list[str], env: dict[str, str]) -> NoReturn:
    """Become the command, looked for as ``os.execvpe`` does; that one takes a millisecond more."""
    places = [""] if "/" in argv[0] else env.get("PATH", os.defpath).split(os.pathsep)
    missing: Optional[OSError] = None
    refused: Optional[OSError] = None
    for place in places:
        try:
            os.execve(os.path.join(place, argv[0]), argv, env)
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = error
        except OSError as error:
            refused = refused or error
    raise refused or missing or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in RESET:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _redirect(outputs: list[int]) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd, source in enumerate([nowhere, *(outputs or [nowhere, nowhere])]):
        os.dup2(source, fd)


def _change_user(account: Account) -> None:
    if os.geteuid() == 0:
        os.setgroups(account.groups)
        os.setgid(account.gid)
        os.setuid(account.uid)


def _tell(control: int, text: str) -> None:
    try:
        os.write(control, text.encode("utf-8", "replace"))
    except OSError:
        pass
