"""Tells systemd how the agent is doing (sd_notify). Does nothing where nobody listens."""

from __future__ import annotations

import os
import socket
import time
from typing import Mapping, Optional


class Notifier:
    """Speaks to the service manager named in the environment, if there is one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        watchdog = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.interval: Optional[float] = None
        """Seconds between two signs of life; None when nobody wants any."""
        if watchdog.isdigit() and int(watchdog) > 0 and mine:
            self.interval = int(watchdog) / 2e6
        self._last_alive = 0.0

    def ready(self) -> None:
        """The agent is up (again)."""
        self._say("READY=1")

    def reloading(self) -> None:
        """The agent reads its settings and its whitelist again; ``ready`` follows."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The agent is about to end."""
        self._say("STOPPING=1")

    def alive(self, steady: float) -> None:
        """Give a sign of life, if one is due."""
        if self.interval is not None and steady >= self._last_alive + self.interval:
            self._last_alive = steady
            self._say("WATCHDOG=1")

    def _say(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
            end.setblocking(False)
            try:
                end.sendto(text.encode("ascii"), self._address)
            except OSError:
                pass  # a service manager that does not listen is no reason to stop
