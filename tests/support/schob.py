"""A scripted schob: what a node of goiardi does with its Serf agent, with its own weaknesses.

It takes queries from a real Serf agent, checks them, runs real programs and reports over HTTP. Like
schob it ends when its agent goes away or a command is no JSON. Source: shovey 3.6, 4.3, 5.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from schob_http import Reporter
from schob_run import Habits, Run

from push_jobs_wire import serf_rpc, shovey
from push_jobs_wire.errors import RemoteError
from push_jobs_wire.serf_link import SerfLink
from push_jobs_wire.serf_rpc import Record

_SLEW = 900.0


@dataclass
class Node:
    """What a node is set up with.

    Args:
        name: of the node, its client and its Serf agent.
        agent: RPC address of its Serf agent, ``HOST:PORT``.
        auth_key: RPC key of that agent; the real schob can't have any.
        url: the server.
        key: the client's private key.
        server_key: verifies commands.
        whitelist: command lines by the names of jobs.
        interval: seconds between two heartbeats; the first one comes after as many.
        habits: what goes wrong.
    """

    name: str
    agent: str
    url: str
    key: RSAPrivateKey
    server_key: RSAPublicKey
    whitelist: Dict[str, str]
    interval: float = 30.0
    auth_key: Optional[str] = None
    habits: Habits = field(default_factory=Habits)


class Schob(threading.Thread):
    """Runs until ``close``, or until it dies of what real ones die of: ``died`` says of what.

    Attributes:
        commands: the payloads of all commands that it got.
        answers: what came back to its heartbeats.
    """

    def __init__(self, node: Node) -> None:
        super().__init__(name=f"schob-{node.name}", daemon=True)
        self.node = node
        self.reporter = Reporter(node.url, node.name, node.key)
        self.died: Optional[str] = None
        self.commands: List[bytes] = []
        self.answers: List[bytes] = []
        self._runs: Dict[str, Run] = {}
        self._link = SerfLink(node.auth_key, "*")
        self._next_beat: Optional[float] = None
        self._stopping = False
        self._wake_read, self._wake_write = socket.socketpair()

    @property
    def ready(self) -> bool:
        """True once it hears of commands."""
        return self._link.ready

    # For the test

    def has_heard(self, job: str) -> bool:
        """True when it got a command about a job."""
        return any(job.encode() in payload for payload in self.commands)

    def beat(self) -> None:
        """Send a heartbeat now."""
        self._next_beat = 0.0
        self._wake_write.send(b"x")

    def close(self) -> None:
        """End it and its programs without a word, as the death of a node does."""
        self._stopping = True
        self.reporter.close()
        if self.is_alive():
            self._wake_write.send(b"x")
            self.join()
        for run in list(self._runs.values()):
            run.kill()
        self.node.habits.may_end.set()
        self._wake_read.close()
        self._wake_write.close()

    # The thread

    def run(self) -> None:
        """Talk with the agent to the end."""
        host, _, port = self.node.agent.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), 10.0) as connection:
                self._link.opened()
                self._talk(connection)
        except (OSError, RemoteError) as error:
            self.died = str(error)

    def _talk(self, connection: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (connection, self._wake_read):
                selector.register(each, selectors.EVENT_READ)
            while not self._stopping:
                self._beat_when_due()
                connection.sendall(self._link.waiting)
                self._link.sent(len(self._link.waiting))
                ready = [key.fileobj for key, _ in selector.select(self._pause())]
                if self._wake_read in ready:
                    self._wake_read.recv(100)
                if connection in ready:
                    self._hear(connection.recv(65536))

    def _pause(self) -> Optional[float]:
        due = self._next_beat
        return None if due is None or not self.ready else max(0.0, due - time.monotonic())

    def _beat_when_due(self) -> None:
        if not self.ready:
            return
        now, name = time.monotonic(), self.node.name
        if self._next_beat is None:
            self._link.event(shovey.JOIN_EVENT, name.encode(), coalesce=True)
            self._next_beat = now + self.node.interval
        elif now >= self._next_beat:
            payload = shovey.encode({"node": name, "status": "up"})
            self._link.query(shovey.HEARTBEAT, payload, [])
            self._next_beat = now + self.node.interval

    def _hear(self, data: bytes) -> None:
        if not data:
            raise RemoteError("the Serf agent went away")
        for record in self._link.received(data):
            self._take(record)

    def _take(self, record: Record) -> None:
        body: Mapping[str, Any] = record.body or {}
        if record.command == "query" and body.get("Type") == "response":
            self.answers.append(serf_rpc.payload_of(body["Payload"]))
        elif record.command == "stream" and body.get("Name") == shovey.QUERY:
            payload = serf_rpc.payload_of(body["Payload"])
            self.commands.append(payload)
            # Raises RemoteError for what is no JSON object of texts: that ends a schob.
            fields = shovey.decode(payload)
            threading.Thread(target=self._obey, args=(fields,), daemon=True).start()

    # Commands

    def _obey(self, fields: Dict[str, str]) -> None:
        run_id, command = fields.get("run_id", ""), fields.get("command", "")
        try:
            uuid.UUID(run_id)
        except ValueError:
            return
        reason = self._why_not(fields)
        if reason is not None:
            self._new(run_id, "", None).report("invalid", error=reason)
        elif fields["action"] == shovey.CANCEL and run_id in self._runs:
            self._runs[run_id].cancel()
        elif fields["action"] == shovey.START:
            self._start(run_id, command, int(fields["timeout"]))

    def _start(self, run_id: str, command: str, timeout: int) -> None:
        if command not in self.node.whitelist:
            text = f"job {command} is not in the whitelist"
            self._new(run_id, "", None).report("nacked", error=text)
            return
        run = self._runs[run_id] = self._new(run_id, self.node.whitelist[command], timeout)
        run.work()
        del self._runs[run_id]

    def _new(self, run_id: str, line: str, timeout: Optional[int]) -> Run:
        place: Tuple[str, str] = (self.node.name, run_id)
        return Run(self.reporter, place, line, timeout, self.node.habits)

    def _why_not(self, fields: Mapping[str, str]) -> Optional[str]:
        """Why a command is invalid, or None."""
        command, run_id = fields.get("command", ""), fields["run_id"]
        if not fields.get("action"):
            return f"No action given for command {command} with job ID {run_id}"
        numbers = self.node.server_key.public_numbers()
        try:
            shovey.verify(fields, (numbers.n, numbers.e))
        except shovey.NotVerified as error:
            words = f"Command id {run_id} running '{command}' could not be verified!"
            return f"{words} {error.reason}"
        if abs(shovey.parse_time(fields["time"]) - time.time()) > _SLEW:
            return "Authentication failed. Please check your system's clock."
        return None
