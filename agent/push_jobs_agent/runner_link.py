"""The session's end of the runner's socket: one JSON object per line, never waiting.

It numbers requests and finds the request again that a reply belongs to. It neither starts the
runner nor knows what its words mean.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Dict, List, Mapping, Optional, Tuple

from push_jobs_agent.actions import Ask
from push_jobs_agent.errors import AgentError

MAX_LINE = 4 * 1024 * 1024
PATIENCE = 30.0
"""Seconds until a runner that does not answer counts as lost."""


class RunnerLost(AgentError):
    """Raised when the connection to the runner is of no use any more."""


class RunnerLink:
    """One connection to a runner.

    Args:
        path: the runner's socket.
    Raises:
        RunnerLost: when nobody listens there.
    """

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._waiting: Dict[int, Tuple[Ask, float]] = {}
        self._in = bytearray()
        self._out = bytearray()
        self._number = 0
        try:
            self._socket.setblocking(False)
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise RunnerLost(f"no runner listens on {path}: {error.strerror or error}") from None

    @property
    def fd(self) -> int:
        """The descriptor to wait for."""
        return self._socket.fileno()

    @property
    def sending(self) -> bool:
        """True while something has to be written when the descriptor lets us."""
        return bool(self._out)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def ask(self, ask: Ask, steady: float) -> None:
        """Send a request; its reply comes out of ``receive``. Raises RunnerLost."""
        self._number += 1
        line = json.dumps({"id": self._number, "op": ask.op, **ask.fields})
        self._waiting[self._number] = (ask, steady + PATIENCE)
        self._out += line.encode("ascii") + b"\n"
        self.flush()

    def flush(self) -> None:
        """Write what can be written now. Raises RunnerLost."""
        try:
            while self._out:
                del self._out[: self._socket.send(self._out)]
        except BlockingIOError:
            pass
        except OSError as error:
            raise RunnerLost(f"the runner hung up: {error.strerror}") from None

    def receive(self) -> List[Tuple[Optional[Ask], Mapping[str, Any]]]:
        """Replies with their requests, and events with None. Raises RunnerLost."""
        try:
            while True:
                data = self._socket.recv(65536)
                if not data:
                    raise RunnerLost("the runner hung up")
                self._in += data
                if len(data) < 65536:
                    break
        except BlockingIOError:
            pass
        except OSError as error:
            raise RunnerLost(f"the runner hung up: {error.strerror}") from None
        return self._lines()

    def check_patience(self, steady: float) -> None:
        """Raise RunnerLost when a request has waited for too long."""
        if any(until < steady for _, until in self._waiting.values()):
            raise RunnerLost(f"the runner has not answered for {PATIENCE:.0f} s")

    def next_call(self) -> Optional[float]:
        """When ``check_patience`` wants to be called, in steady seconds."""
        return min((until for _, until in self._waiting.values()), default=None)

    def _lines(self) -> List[Tuple[Optional[Ask], Mapping[str, Any]]]:
        *lines, rest = bytes(self._in).split(b"\n")
        if len(rest) > MAX_LINE:
            raise RunnerLost(f"the runner sent a line of more than {MAX_LINE} bytes")
        self._in = bytearray(rest)
        return [self._pair(line) for line in lines]

    def _pair(self, line: bytes) -> Tuple[Optional[Ask], Mapping[str, Any]]:
        try:
            words = json.loads(line)
            number = words.get("id")
        except (ValueError, AttributeError, RecursionError):
            raise RunnerLost("the runner sent something that is no JSON object") from None
        if "event" in words:
            return None, words
        if number not in self._waiting:
            raise RunnerLost(f"the runner answered a request {number!r} that nobody made")
        return self._waiting.pop(number)[0], words
