"""Signals as flags, with a descriptor that wakes the loop up. Handlers do nothing else."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import List, Optional

STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
ALL = (*STOP, signal.SIGHUP, signal.SIGUSR1)


class Signals:
    """Collects the signals of this process from now on; made in its main thread."""

    def __init__(self) -> None:
        self.fd, self._wake = os.pipe()
        self._arrived: List[int] = []
        for fd in (self.fd, self._wake):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._old = {number: signal.signal(number, self._note) for number in ALL}

    def take(self) -> List[int]:
        """The signals that arrived since the last call, in order."""
        try:
            while os.read(self.fd, 4096):
                pass
        except BlockingIOError:
            pass
        arrived, self._arrived = self._arrived, []
        return arrived

    def close(self) -> None:
        """Give the signals back."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._old.items():
            signal.signal(number, handler)
        os.close(self.fd)
        os.close(self._wake)

    def _note(self, number: int, _: Optional[FrameType]) -> None:
        self._arrived.append(number)
