"""Collects what the session wants done, and puts what it says into signed frames. Pure.

All parts of one session share one outbox, so that their actions keep their order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, Optional, Tuple, Union

from push_jobs_agent.actions import Action, Ask, Log, Now, Send
from push_jobs_agent.outcome import fit, shorten
from push_jobs_agent.server_settings import ServerSettings
from push_jobs_wire import framing
from push_jobs_wire.messages import Heartbeat, JobRef, Origin, Output, Reply, encode_node
from push_jobs_wire.states import NodeInput

SERVER_RESERVE = 2048
"""Bytes below the server's own limit that an agent keeps free (pushy-protocol 4.8)."""

LONGEST_ID = 64


class Outbox:
    """The actions of one session since they were last taken."""

    def __init__(self, origin: Origin, max_body_size: int) -> None:
        self.origin = origin
        self.last_job_message = float("-inf")
        self.own_limit = max_body_size
        self._settings: Optional[ServerSettings] = None
        # Never starts again: two messages of one second must not look like one message repeated.
        self._sequence = 0
        self._actions: List[Action] = []

    @property
    def extended(self) -> bool:
        """True when the server speaks our extensions."""
        return self._settings is not None and self._settings.extensions > 0

    @property
    def limit(self) -> int:
        """Largest body in bytes that both sides accept."""
        assert self._settings is not None
        return min(self.own_limit, self._settings.max_body_size - SERVER_RESERVE)

    def address(self, settings: ServerSettings) -> None:
        """From now on speak to the server that has given these settings."""
        self._settings = settings

    def take(self) -> List[Action]:
        """All actions since the last call, in order."""
        actions, self._actions = self._actions, []
        return actions

    def do(self, action: Action) -> None:
        """Add an action."""
        self._actions.append(action)

    def ask(self, op: str, **fields: Any) -> None:
        """Add a request to the runner."""
        self.do(Ask(op, fields))

    def log(self, level: str, text: str, **fields: Any) -> None:
        """Add a line for the log; fields that are None are left out."""
        self.do(Log(level, text, {k: v for k, v in fields.items() if v is not None}))

    def beat(self, heartbeat: Heartbeat, now: Now) -> None:
        """Send a heartbeat."""
        self._send(heartbeat, now)

    def reply(
        self,
        kind: NodeInput,
        job_id: Optional[str],
        now: Now,
        reason: Optional[str] = None,
    ) -> None:
        """Send a reply about a job; an id that no server accepts goes out as null."""
        usable = job_id is not None and 0 < len(job_id.encode()) <= LONGEST_ID
        short = None if reason is None else shorten(reason)
        message = Reply(kind, JobRef(job_id if usable else None), reason=short)
        self._send(self._spoken(message), now)
        self.last_job_message = now.steady

    def output(self, output: Output, now: Now) -> None:
        """Send a piece of output."""
        self._send(output, now, output=output)

    def outcome(self, reply: Reply, output: Optional[Tuple[bytes, bytes]], now: Now) -> None:
        """Send the outcome of a job with the output of both channels, or with none."""
        message = self._spoken(reply)
        if output is not None:
            empty = replace(message, stdout="", stderr="")
            room = self.limit - len(self._encode(empty, now))
            stdout, stderr = fit(*output, room)
            message = replace(message, stdout=stdout, stderr=stderr)
        self._send(message, now, outcome=reply.job.id)
        self.last_job_message = now.steady

    def _spoken(self, reply: Reply) -> Reply:
        """What an old server would not understand is not sent to it."""
        return reply if self.extended else Reply(reply.kind, reply.job)

    def _encode(self, message: Union[Heartbeat, Reply, Output], now: Now) -> bytes:
        timestamp = framing.format_timestamp(now.wall)
        return encode_node(self.origin, message, self._sequence + 1, timestamp)

    def _send(
        self,
        message: Union[Heartbeat, Reply, Output],
        now: Now,
        outcome: Optional[str] = None,
        output: Optional[Output] = None,
    ) -> None:
        if self._settings is None:
            return
        body = self._encode(message, now)
        self._sequence += 1
        header = framing.seal_hmac(self._settings.session_key, body)
        self.do(Send(header, body, outcome, output))
