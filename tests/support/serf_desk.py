"""The machine of runs over Serf on a desk: clock, runner, server and disk are all ours.

No sockets, no processes, no sleeping. What is on the disk outlives ``restart``, as it would.
"""

from __future__ import annotations

import json
from collections import deque
from functools import lru_cache
from typing import Any, Deque, Dict, List, Mapping, NamedTuple, Optional, Tuple

from cryptography.hazmat.primitives.asymmetric import rsa

from push_jobs_agent.accepted import Accepted, Entry
from push_jobs_agent.actions import (
    Action,
    Answer,
    Ask,
    Drop,
    Keep,
    Log,
    Need256,
    Now,
    Put,
    ReadPart,
    Remember,
)
from push_jobs_agent.serf_run import Run
from push_jobs_agent.serf_runs import SerfRuns
from push_jobs_wire import shovey
from push_jobs_wire.messages import STREAMS

NODE = "web1.example.com"
RUN = "1c29a55f-be32-4ea0-a302-bae080ab6f83"
OTHER = "327fe5d2-3770-4171-ad4f-66932f27b13d"
JOB = RUN.replace("-", "")
START = Now(1000.0, 1767225600.0)


@lru_cache(maxsize=2)
def signing_key(number: int = 0) -> rsa.RSAPrivateKey:
    """The server's key; another number, another key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Said(NamedTuple):
    """What the server was told: where, and what."""

    path: str
    fields: Mapping[str, Any]


class SerfDesk:
    """The machine with everything around it.

    Attributes:
        asked: what the runner was asked.
        puts: what is on its way to the server.
        said: all that the server was told, accepted or not.
        journal: what is written down of runs.
        output: what the spool holds, by job, of both channels.
        full: no run can be written down.
    """

    def __init__(self) -> None:
        self.now = START
        self.asked: List[Ask] = []
        self.puts: Deque[Put] = deque()
        self.said: List[Said] = []
        self.logs: List[Log] = []
        self.journal: Dict[str, Any] = {}
        self.accepted: List[Entry] = []
        self.need_256 = False
        self.output: Dict[str, Tuple[bytes, bytes]] = {}
        self.full = False
        self.restart()
        self.found()

    def restart(self) -> None:
        """Another agent on the same disk; nothing is on its way any more."""
        self.puts.clear()
        self.asked.clear()
        numbers = signing_key().public_key().public_numbers()
        runs = [Run.restored(job, NODE, record) for job, record in self.journal.items()]
        self.runs = SerfRuns(
            NODE,
            (numbers.n, numbers.e),
            900.0,
            10.0,
            Accepted(self.accepted),
            runs,
            self.need_256,
        )

    # The end's part

    def do(self, actions: List[Action]) -> None:
        """Carry out actions."""
        todo = deque(actions)
        while todo:
            todo.extend(self._carry_out(todo.popleft()))

    def _carry_out(self, action: Action) -> List[Action]:
        if isinstance(action, Put):
            self.puts.append(action)
            self.said.append(Said(action.path, json.loads(action.body)))
        elif isinstance(action, ReadPart):
            return self.runs.part_read(action, *self._part(action), self.now)
        elif isinstance(action, Keep):
            if not self.full:
                self.journal[action.job_id] = json.loads(json.dumps(action.record))
            problem = "No space left on device" if self.full else None
            return self.runs.kept(action, problem, self.now)
        elif isinstance(action, Drop):
            self.journal.pop(action.job_id, None)
        elif isinstance(action, Remember):
            self.accepted.append((action.wall, action.action, action.job_id))
        elif isinstance(action, Ask):
            self.asked.append(action)
        elif isinstance(action, Need256):
            self.need_256 = True
        elif isinstance(action, Log):
            self.logs.append(action)
        return []

    def _part(self, part: ReadPart) -> Tuple[int, bytes]:
        content = self.output.get(part.job_id, (b"", b""))[STREAMS.index(part.stream)]
        return part.offset, content[part.offset : part.offset + part.most]

    def advance(self, seconds: float) -> None:
        """Let time pass, turning timers when they want it."""
        end = self.now.steady + seconds
        for _ in range(1000):
            due = self.runs.next_call()
            wake = min(end, end if due is None else max(due, self.now.steady))
            self.now = Now(wake, self.now.wall + wake - self.now.steady)
            self.do(self.runs.tick(self.now))
            if wake >= end:
                return
        raise AssertionError("the machine wants to be called for ever without time passing")

    # Serf

    def payload(
        self,
        action: str = "start",
        run: str = RUN,
        also_256: bool = False,
        changes: Optional[Mapping[str, Optional[str]]] = None,
        **more: str,
    ) -> bytes:
        """A signed command; a change of None leaves a field out."""
        if action == "cancel":
            fields = shovey.cancel_payload(run, self.now.wall)
        else:
            fields = shovey.start_payload(run, "chef-client", 300, self.now.wall)
            fields["action"] = action
        changed: Dict[str, Optional[str]] = {**fields, **(changes or {}), **more}
        kept = {name: value for name, value in changed.items() if value is not None}
        return shovey.encode(shovey.signed(kept, signing_key(), also_256))

    def hear(self, payload: bytes) -> None:
        """A query named shovey comes."""
        self.do(self.runs.query(payload, self.now))

    # The runner

    def found(self, *jobs: Mapping[str, Any]) -> None:
        """A runner is there and has these jobs."""
        self.do(self.runs.runner_found({"ok": True, "jobs": list(jobs)}, self.now))

    def reply(self, **reply: Any) -> None:
        """The runner answers what it was asked last."""
        answer = {"ok": True, **reply}
        self.do(self.runs.runner_answered(self.asked[-1], answer, self.now))

    def printed(self, stdout: bytes, stderr: bytes = b"", job_id: str = JOB) -> None:
        """The job has printed so much by now."""
        self.output[job_id] = (stdout, stderr)
        event = {"event": "output", "job": job(job_id, stdout=stdout, stderr=stderr)}
        self.do(self.runs.runner_event(event, self.now))

    def ended(self, result: str = "succeeded", job_id: str = JOB, **fields: Any) -> None:
        """The job has ended."""
        stdout, stderr = self.output.get(job_id, (b"", b""))
        told = job(job_id, result, stdout=stdout, stderr=stderr, **fields)
        self.do(self.runs.runner_event({"event": "ended", "job": told}, self.now))

    def ops(self) -> List[str]:
        """What the runner was asked, in order."""
        return [ask.op for ask in self.asked]

    # The server

    def answer(
        self, status: int = 200, goiardi: bool = False, problem: str = "", unknown: bool = False
    ) -> None:
        """The server answers what is on its way for the longest time."""
        put = self.puts.popleft()
        self.do(self.runs.answered(Answer(put, status, problem, goiardi, unknown), self.now))

    def accept_all(self, goiardi: bool = False) -> None:
        """The server accepts everything, until nothing is on its way any more."""
        for _ in range(1000):
            if not self.puts:
                return
            self.answer(goiardi=goiardi)
        raise AssertionError("the machine reports for ever")

    def statuses(self) -> List[str]:
        """The reports that the server was told, in order."""
        return [said.fields["status"] for said in self.said if "status" in said.fields]

    def chunks(self, stream: str = "stdout") -> List[Tuple[int, str, bool]]:
        """The chunks that the server was told: number, text, whether it is the last one."""
        return [
            (said.fields["seq"], said.fields["output"], said.fields["is_last"])
            for said in self.said
            if said.fields.get("output_type") == stream
        ]

    def start(self) -> None:
        """A job comes and is started; the server knows."""
        self.hear(self.payload())
        self.reply()
        self.accept_all()


def job(
    job_id: str = JOB,
    result: Optional[str] = None,
    stdout: bytes = b"",
    stderr: bytes = b"",
    **changes: Any,
) -> Dict[str, Any]:
    """A job in the runner's words; it runs when it has no result."""
    fields: Dict[str, Any] = {
        "job_id": job_id,
        "state": "running" if result is None else "ended",
        "result": result,
        "exit_code": 0 if result == "succeeded" else None,
        "signal": None,
        "reason": None,
        "cause": None,
        "capture": True,
        "stdout_size": len(stdout),
        "stderr_size": len(stderr),
    }
    return {**fields, **changes}
