"""Finding and killing all processes of a job, by walking /proc.

To a job belong: its first process, the members of its session and process group, whoever carries
its folder in the environment (so a daemon that left the session is found), and all their
descendants. A pid alone proves nothing, pids come back: a process is known by pid and start time,
and what is older than the job is never looked at. This process and its ancestors are never touched:
a job may have started them. Nothing here waits.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

FOLDER_VARIABLE = "CHEF_PUSH_JOB_SPOOL"
"""Names the job's folder in the spool. The job's id alone would not do: several agents of one
machine may run the same job."""

FIRST_PAUSE = 0.001
LONGEST_PAUSE = 0.1
"""Seconds between two looks at a tree that is being killed."""


class Process:
    """A process as /proc/PID/stat shows it.

    Attributes:
        alive: False for what only waits to be collected by its parent.
        start: clock ticks since the machine started.
    """

    __slots__ = ("pid", "alive", "parent", "group", "session", "start")

    def __init__(self, pid: int, fields: list[bytes]) -> None:
        self.pid = pid
        # The first thread of a process can be over while others still run.
        self.alive = fields[0] not in (b"Z", b"X") or int(fields[17]) > 1
        self.parent = int(fields[1])
        self.group = int(fields[2])
        self.session = int(fields[3])
        self.start = int(fields[19])


def look_at(pid: int) -> Optional[Process]:
    """The process with a pid, None when there is none."""
    text = _read(f"/proc/{pid}/stat")
    # The name of the program stands in parentheses and may itself hold some.
    fields = text[text.rfind(b")") + 2 :].split()
    return Process(pid, fields) if len(fields) > 19 else None


def boot_id() -> str:
    """What tells this run of the machine from all others: start times count within it only."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def members(folder: str, pid: int, start: int) -> list[Process]:
    """All living processes of a job.

    Args:
        folder: of the job in the spool, as its processes carry it in their environment.
        pid: of the first process, 0 when it is not known.
        start: of the first process, in clock ticks; what is older does not belong to the job.
    """
    table = _table()
    spared = _ancestors(table)
    first = table.get(pid)
    if first is not None and first.start != start:
        pid = 0  # Somebody else has that pid now, so nobody of that session can be left.
    found = [
        process
        for process in table.values()
        if process.start >= start
        and process.pid not in spared
        and (_is_near(process, pid) or _carries(process, folder))
    ]
    return [process for process in _with_descendants(found, table, spared) if process.alive]


def _table() -> dict[int, Process]:
    found = (look_at(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {process.pid: process for process in found if process is not None}


def _ancestors(table: dict[int, Process]) -> set[int]:
    spared: set[int] = set()
    pid = os.getpid()
    while pid in table and pid not in spared:
        spared.add(pid)
        pid = table[pid].parent
    return spared


def _is_near(process: Process, pid: int) -> bool:
    return pid > 0 and pid in (process.pid, process.session, process.group)


def _carries(process: Process, folder: str) -> bool:
    if not process.alive:
        return False
    environment = b"\0" + _read(f"/proc/{process.pid}/environ")
    return f"\0{FOLDER_VARIABLE}={folder}\0".encode() in environment


def _with_descendants(
    found: list[Process], table: dict[int, Process], spared: set[int]
) -> list[Process]:
    children: dict[int, list[Process]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process)
    known = {process.pid for process in found} | spared
    reached = list(found)
    for process in reached:
        fresh = [child for child in children.get(process.pid, []) if child.pid not in known]
        known.update(child.pid for child in fresh)
        reached += fresh
    return reached


def _read(path: str) -> bytes:
    """A file of /proc, empty when it cannot be read: then the process is gone or not ours."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    pieces = []
    try:
        while True:
            piece = os.read(fd, 65536)
            pieces.append(piece)
            if not piece:
                break
    except OSError:
        pieces.clear()
    finally:
        os.close(fd)
    return b"".join(pieces)


class Killer:
    """Ends a job's tree: asks politely, waits as long as needed but not longer, then kills.

    Args:
        folder, pid, start: see ``members``.
        grace: seconds between asking and killing.
        now: monotonic seconds.
    """

    def __init__(self, folder: str, pid: int, start: int, grace: float, now: float) -> None:
        self._job = (folder, pid, start)
        self._deadline = now + grace
        self._asked: set[tuple[int, int]] = set()
        self._pause = FIRST_PAUSE
        self._hard = False
        self._next = now

    def hurry(self, grace: float, now: float) -> None:
        """Kill in ``grace`` seconds at the latest."""
        self._deadline = min(self._deadline, now + grace)
        self.look_now(now)

    def look_now(self, now: float) -> None:
        """Something ended; maybe it was the last one."""
        self._next, self._pause = now, FIRST_PAUSE

    @property
    def next_call(self) -> float:
        """When ``step`` wants to be called, in monotonic seconds."""
        return self._next

    def step(self, now: float) -> bool:
        """Send what is due; True when nobody is left."""
        if not self._hard and now >= self._deadline:
            self._hard, self._pause = True, FIRST_PAUSE
        left = members(*self._job)
        for process in left:
            self._signal(process)
        self._next = now + self._pause
        if not self._hard:
            self._next = min(self._next, self._deadline)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return not left

    def _signal(self, process: Process) -> None:
        key = (process.pid, process.start)
        if not self._hard and key in self._asked:
            return
        again = look_at(process.pid)
        if again is None or again.start != process.start:
            return
        self._asked.add(key)
        try:
            os.kill(process.pid, signal.SIGKILL if self._hard else signal.SIGTERM)
        except OSError:
            # It ended just now, or runs as somebody this process has no power over.
            pass
