"""Lock files that keep a job away from something else on this node, above all from chef-client.

Exclusive, never waiting, never truncating. Follows operator-surfaces 2.7 without its defects.
"""

from __future__ import annotations

import fcntl
import os

from push_jobs_agent.runner.errors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

CHEF_CLIENT = "/var/chef/cache/chef-client-running.pid"
"""The lock file of chef-client when its ``lockfile`` setting says nothing else."""


def take(path: str) -> Optional[int]:
    """A descriptor that holds the lock until it is closed.

    None when the folder of the file is missing: then nobody holds it, and chef-client never ran.

    Raises:
        Refused: when somebody else holds it, or it cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        fd = os.open(path, flags, 0o644)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"the lock file {path} cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        held = isinstance(error, BlockingIOError)
        what = "is held by another process" if held else f"cannot be taken: {error.strerror}"
        raise Refused(f"the lock {path} {what}") from None
    return fd


def give_back(fd: Optional[int]) -> None:
    """Release what ``take`` returned, also when a process that is about to start has a copy."""
    if fd is not None:
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)
