"""Keeps a runner at hand: finds it, starts it where it has to, notices its death.

The runner is started with the standard library alone and in a session of its own, so that it and
its jobs outlive this process. What is said to it is the business of the session machine.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from typing import Any, List, Mapping, Optional, Tuple

from push_jobs_agent.actions import Ask
from push_jobs_agent.config import Config
from push_jobs_agent.logs import log
from push_jobs_agent.runner.places import SOCKET
from push_jobs_agent.runner_link import RunnerLink, RunnerLost

LOOK_AGAIN = 0.05
"""Seconds between two looks for the socket of a runner that is starting."""

LONGEST_LOOK = 1.0
"""The same for a runner that a service manager has to start."""

LONGEST_PAUSE = 30.0
"""Seconds between two starts of a runner that dies again and again."""

LAST_WORDS = 2.0
"""Seconds that a runner has to answer when it is told to end."""

RUNNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "runner")

Words = Tuple[Optional[Ask], Mapping[str, Any]]


class RunnerKeeper:
    """The one runner that belongs to a state folder.

    Args:
        config: the settings; a reload replaces them, which the next runner notices.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._path = os.path.join(config["state_dir"], SOCKET)
        self._link: Optional[RunnerLink] = None
        self._greeted = False
        self._process: Optional["subprocess.Popen[bytes]"] = None
        self._next_look = float("-inf")
        self._pause = LOOK_AGAIN
        self._next_start = float("-inf")
        self._starts = 0
        self._missing_logged = False

    @property
    def up(self) -> bool:
        """True while a runner is connected and has said hello."""
        return self._greeted

    @property
    def reader(self) -> Optional[int]:
        """The descriptor to read from, if there is a connection."""
        return None if self._link is None else self._link.fd

    @property
    def writer(self) -> Optional[int]:
        """The descriptor to wait for when there is more to write."""
        return self._link.fd if self._link is not None and self._link.sending else None

    def next_call(self) -> Optional[float]:
        """When ``turn`` wants to be called, in steady seconds."""
        return self._next_look if self._link is None else self._link.next_call()

    def turn(self, steady: float) -> Tuple[List[Words], bool]:
        """Look after the runner; returns what it said, and True when it was lost just now.

        The first words of a new runner are the reply to ``hello``.
        """
        if self._link is None:
            self._look(steady)
        if self._link is None:
            return [], False
        try:
            self._link.flush()
            words = self._link.receive()
            self._link.check_patience(steady)
        except RunnerLost as error:
            return [], self._lose(str(error))
        if any(ask is not None and ask.op == "hello" for ask, _ in words):
            self._greeted, self._starts, self._missing_logged = True, 0, False
            self._pause = LOOK_AGAIN
        return words, False

    def ask(self, ask: Ask, steady: float) -> None:
        """Send a request to the runner; a runner that is gone is noticed by the next ``turn``."""
        if self._link is not None:
            try:
                self._link.ask(ask, steady)
            except RunnerLost:
                pass  # the next turn reads what is left, then finds the same

    def shut_down(self) -> None:
        """Tell the runner to end once no job runs, and wait until it has understood."""
        if self._link is None:
            return
        until = time.monotonic() + LAST_WORDS
        try:
            self._link.ask(Ask("shutdown"), until)
            while time.monotonic() < until:
                select.select([self._link.fd], [], [], LAST_WORDS)
                self._link.flush()
                if any(ask is not None and ask.op == "shutdown" for ask, _ in self._link.receive()):
                    return
        except RunnerLost as error:
            log("debug", "hung up on the runner", {"reason": str(error)})

    def close(self) -> None:
        """Hang up; the runner lives on."""
        if self._link is not None:
            self._link.close()
        self._link, self._greeted = None, False

    def _lose(self, reason: str) -> bool:
        log("debug", "hung up on the runner", {"reason": reason})
        greeted = self._greeted
        self.close()
        return greeted

    def _look(self, steady: float) -> None:
        if steady < self._next_look:
            return
        self._next_look = steady + LOOK_AGAIN
        try:
            self._link = RunnerLink(self._path)
            self._link.ask(Ask("hello"), steady)
        except RunnerLost as error:
            self.close()
            if self.config["start_runner"]:
                self._start(steady)
            else:
                # One that is started again is soon back; one that is not can be waited for.
                self._next_look = steady + self._pause
                self._pause = min(2 * self._pause, LONGEST_LOOK)
                self._note_missing(str(error))

    def _note_missing(self, reason: str) -> None:
        if not self._missing_logged:
            log("warning", "waiting for the runner", {"reason": reason})
            self._missing_logged = True

    def _start(self, steady: float) -> None:
        alive = self._process is not None and self._process.poll() is None
        if alive or steady < self._next_start:
            return
        self._next_start = steady + min(LONGEST_PAUSE, 2.0**self._starts)
        self._starts += 1
        try:
            self._process = self._spawn()
        except OSError as error:
            log(
                "error",
                "cannot start the runner",
                {"reason": f"{error.filename}: {error.strerror}"},
            )
            return
        log("info", "started the runner", {"runner_pid": self._process.pid})

    def _spawn(self) -> "subprocess.Popen[bytes]":
        path = self.config["log_location"]
        output = None if path is None else open(path, "ab")
        try:
            return subprocess.Popen(
                runner_command(self.config),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            if output is not None:
                output.close()


def runner_command(config: Config) -> List[str]:
    """The command line of a runner with these settings."""
    command = [sys.executable, "-I", "-S", RUNNER]
    for option, name in (
        ("--state-dir", "state_dir"),
        ("--whitelist", "whitelist"),
        ("--file-dir", "file_dir"),
        ("--lockfile", "lockfile"),
        ("--output-limit", "output_limit"),
    ):
        if config[name] is not None:
            command.append(f"{option}={config[name]}")
    command.extend(f"--allow-user={user}" for user in config["allowed_users"])
    allowed = config["allowed_overwritable_env_vars"]
    if allowed is not None:
        # An empty list is not the same as no list: nothing is allowed then.
        command.extend(f"--allow-env={name}" for name in allowed or [""])
    return command
