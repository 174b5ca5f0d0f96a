"""A real runner process for tests, and a client that talks to it as the session does.

Nothing here sleeps without a condition: everything waits with a deadline.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from waiting import wait_until

import push_jobs_agent.runner

PROGRAM = os.path.dirname(push_jobs_agent.runner.__file__)
PATIENCE = 20.0
"""Seconds until a test gives up waiting."""


def is_alive(pid: int) -> bool:
    """True for a process that is neither gone nor a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text[text.rindex(")") + 2] not in "ZX"


class HungUp(Exception):
    """Raised when a message was expected."""


class RunnerClient:
    """One connection to a runner."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(PATIENCE)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")
        self._number = 0
        self._events: List[Dict[str, Any]] = []

    def ask(self, op: str, **fields: Any) -> Dict[str, Any]:
        """The reply to a request; events that come before it are kept."""
        self._number += 1
        request = {"id": self._number, "op": op, **fields}
        self.send_line(json.dumps(request).encode())
        while True:
            message = self.receive()
            if message.get("id") == self._number:
                return message
            self._events.append(message)

    def send_line(self, line: bytes) -> None:
        """Send a line as it is."""
        self._socket.sendall(line + b"\n")

    def receive(self) -> Dict[str, Any]:
        """The next message; fails when the runner hung up."""
        line = self._file.readline()
        if not line:
            raise HungUp("the runner hung up")
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    def hung_up(self) -> bool:
        """True once the runner has closed the connection; news of output may come before that."""
        try:
            while True:
                line = self._file.readline()
                if b'"output"' not in line:
                    return line == b""
        except ConnectionError:
            return True

    def start(self, command: str, **fields: Any) -> str:
        """Start a job, which must work; returns its id."""
        fields = request(command, **fields)
        reply = self.ask("start", request=fields)
        assert reply["ok"], reply
        return str(fields["job_id"])

    def ended(self, job_id: str) -> Dict[str, Any]:
        """The job as its ``ended`` event tells it."""
        return self.told("ended", job_id)

    def told(self, name: str, job_id: str) -> Dict[str, Any]:
        """The job as the next event of this name tells it."""
        while True:
            for event in self._events:
                if event.get("event") == name and event["job"]["job_id"] == job_id:
                    self._events.remove(event)
                    job = event["job"]
                    assert isinstance(job, dict)
                    return job
            self._events.append(self.receive())

    def run(self, command: str, **fields: Any) -> Dict[str, Any]:
        """Start a job and wait for its end."""
        return self.ended(self.start(command, **fields))

    def refusal(self, command: str, **fields: Any) -> str:
        """Why a job would not be run; a check and a start must say the same."""
        asked = request(command, **fields)
        replies = [self.ask(op, request=asked) for op in ("check", "start")]
        assert [reply["ok"] for reply in replies] == [False, False], replies
        assert replies[0]["reason"] == replies[1]["reason"]
        return str(replies[0]["reason"])

    def jobs(self) -> Dict[str, Dict[str, Any]]:
        """All jobs the runner knows, by id."""
        return {job["job_id"]: job for job in self.ask("hello")["jobs"]}

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()


def request(command: str, **fields: Any) -> Dict[str, Any]:
    """A request as the session makes it."""
    return {
        "job_id": uuid.uuid4().hex,
        "org": "acme",
        "node": "web01.example.com",
        "command": command,
        "user": None,
        "dir": None,
        "env": None,
        "file": None,
        "capture": True,
        "run_timeout": None,
        **fields,
    }


class RunnerProcess:
    """A real runner below ``folder``, with a whitelist that can be written again."""

    def __init__(self, folder: Path, whitelist: Mapping[str, Any], *options: str) -> None:
        self.state_dir = folder / "s"
        self.whitelist = folder / "whitelist.json"
        self.log = folder / "runner.log"
        self.options = options
        self.process: Optional["subprocess.Popen[bytes]"] = None
        self._clients: List[RunnerClient] = []
        self.write(whitelist)

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.state_dir / "runner.sock"

    @property
    def pid(self) -> int:
        """Of the runner."""
        assert self.process is not None
        return self.process.pid

    def write(self, whitelist: Any) -> None:
        """Write the whitelist file; text goes in as it is."""
        text = whitelist if isinstance(whitelist, str) else json.dumps(whitelist)
        self.whitelist.write_text(text)

    def command(self) -> List[str]:
        """The command line."""
        paths = ["--state-dir", str(self.state_dir), "--whitelist", str(self.whitelist)]
        return [sys.executable, "-I", "-S", PROGRAM, *paths, *self.options]

    def start(self, env: Optional[Mapping[str, str]] = None) -> "RunnerProcess":
        """Start the process and wait until it answers."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stderr=log, env=env
            )
        self.wait_until_it_answers()
        return self

    def wait_until_it_answers(self) -> RunnerClient:
        """A connection to a runner that was just started."""
        wait_until(self._answers, "an answer of the runner")
        return self._clients[-1]

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"it ended with {self.process.returncode}"
        try:
            return bool(self.connect().ask("hello")["ok"])
        except (OSError, HungUp):
            return False

    def connect(self) -> RunnerClient:
        """A new connection; the one before is replaced by it."""
        client = RunnerClient(self.socket)
        self._clients.append(client)
        return client

    def kill(self) -> None:
        """Kill it as hard as possible."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def wait(self) -> int:
        """Its exit code."""
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def stop(self) -> None:
        """End it and its jobs, whatever state they are in."""
        for client in self._clients:
            client.close()
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
