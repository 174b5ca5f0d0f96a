"""The end of a push jobs server over ZeroMQ: session machine, helper and transport together.

It decides nothing about jobs: it carries in what happens and carries out what the machine asks for.
"""

from __future__ import annotations

import os
import random
import socket
from collections import deque
from typing import Any, Callable, Deque, Iterable, List, Mapping, Optional, Tuple
from uuid import uuid4

from push_jobs_agent import exit_codes
from push_jobs_agent.actions import (
    Action,
    Ask,
    Connect,
    Fetch,
    Log,
    Now,
    ReadOutput,
    ReadPart,
    Send,
)
from push_jobs_agent.config import Config
from push_jobs_agent.ends import AskRunner
from push_jobs_agent.fetcher import Fetcher
from push_jobs_agent.logs import log
from push_jobs_agent.output_reading import ReadSpoolPart, read_or_lose
from push_jobs_agent.reload import Reload
from push_jobs_agent.runner.errors import RunnerError
from push_jobs_agent.server_settings import ServerSettings, from_json
from push_jobs_agent.session import Session
from push_jobs_agent.transports.base import Incoming, Kind, Transport
from push_jobs_wire.messages import Origin

BATCH = 100
"""Messages of one channel taken per turn, so that a flood cannot starve timers and signals."""

LAST_WORDS = 0.5
"""Seconds that the last messages may take to leave when the agent ends."""

ReadSpool = Callable[[str, str], Tuple[bytes, bytes]]


class PushyEnd:
    """One server over ZeroMQ.

    Args:
        config: the settings.
        version: the agent's version.
        transport: the way to the server.
        ask: sends a request to the runner.
        read_output: reads both channels of an ended job from the spool in a state folder.
        read_part: reads a piece of one channel there.
        interactive: a person is watching: end when the server refuses us, instead of waiting.
    """

    name = "pushy"

    def __init__(
        self,
        config: Config,
        version: str,
        transport: Transport,
        ask: AskRunner,
        read_output: ReadSpool,
        read_part: ReadSpoolPart,
        interactive: bool = False,
    ) -> None:
        self.exit_code: Optional[int] = None
        self._config = config
        self._transport = transport
        self._ask = ask
        self._read_output = read_output
        self._read_part = read_part
        self._interactive = interactive
        self._fetcher = Fetcher(config)
        origin = Origin(
            config.organization, config.node_name, str(uuid4()), client=socket.gethostname()
        )
        self._session = Session(
            origin,
            version,
            config["max_body_size"],
            config["abort_grace"],
            random.random,
            " ".join((os.uname().sysname, os.uname().release, os.uname().machine)),
        )

    @property
    def server(self) -> str:
        """See ``End``."""
        return str(self._config["chef_server_url"])

    @property
    def settled(self) -> bool:
        """True once the server has given settings."""
        return self._session.settings is not None

    @property
    def free(self) -> bool:
        """See ``End``."""
        return self._session.free

    @property
    def drained(self) -> bool:
        """See ``End``."""
        return self._session.drained()

    @property
    def running(self) -> List[str]:
        """See ``End``; at most one."""
        return [] if self._session.job_id is None else [self._session.job_id]

    def owns(self, job_id: str) -> bool:
        """Never: what no other end claims is this one's."""
        return False

    # The loop

    def readers(self) -> Iterable[Optional[int]]:
        """The helper; the loop waits with the transport's own poller."""
        return [self._fetcher.fd]

    def writers(self) -> Iterable[Optional[int]]:
        """None: see ``readers``."""
        return []

    def wake_ups(self, now: Now) -> Iterable[Optional[float]]:
        """See ``End``."""
        return [self._session.next_call(now), self._fetcher.next_call()]

    def turn(self, now: Now) -> None:
        """See ``End``."""
        for incoming in self._transport.receive(BATCH):
            self._take(incoming, now)
        self._do(self._session.tick(now), now)

    def _take(self, incoming: Incoming, now: Now) -> None:
        try:
            self._do(self._incoming(incoming, now), now)
        except Exception as error:
            # A defect of ours; what came from the network must not end the agent all the same.
            fields = {"kind": incoming.kind.value, "error": f"{type(error).__name__}: {error}"}
            log("critical", "a message could not be handled; please report this", fields)

    def _incoming(self, incoming: Incoming, now: Now) -> List[Action]:
        session = self._session
        if incoming.kind is Kind.COMMAND:
            return session.command_received(incoming.frames, now)
        if incoming.kind is Kind.BROADCAST:
            return session.broadcast_received(incoming.frames, now)
        if incoming.kind is Kind.CONNECTED:
            return session.connected(now)
        if incoming.kind is Kind.LOST:
            return session.connection_lost(now)
        return session.connection_refused(incoming.detail, now)

    def hear(self, now: Now) -> None:
        """Take the helper's answer."""
        answer = self._fetcher.receive(now.steady)
        if answer is None:
            return
        settings, problem = self._judge(answer)
        if settings is not None:
            self._do(self._session.settings_fetched(settings, now), now)
            return
        self._do(self._session.fetch_failed(problem, now), now)
        if self._interactive and self._session.settings is None and answer.get("lasting", True):
            refused = answer.get("status") in (401, 403)
            self.exit_code = exit_codes.REFUSED if refused else exit_codes.NO_SETTINGS

    def _judge(self, answer: Mapping[str, Any]) -> Tuple[Optional[ServerSettings], str]:
        if "error" in answer:
            return None, str(answer["error"])
        fields = dict(answer)
        if self._config["force_plain"]:
            fields["curve_key"] = None
        try:
            settings = from_json(fields)
        except (KeyError, TypeError, ValueError):
            # The helper comes from the disk: after an upgrade it is newer than this process.
            return None, "the helper's answer is not understood; restart the agent"
        if settings.curve_key is None and not self._config["allow_unencrypted"]:
            return None, "the server offers no encryption, and allow_unencrypted is not set"
        return settings, ""

    # What happens beside it

    def runner_found(self, hello: Mapping[str, Any], now: Now) -> None:
        """See ``End``."""
        self._do(self._session.runner_found(hello, now), now)

    def runner_answered(self, ask: Ask, reply: Mapping[str, Any], now: Now) -> None:
        """See ``End``."""
        self._do(self._session.runner_answered(ask, reply, now), now)

    def runner_event(self, event: Mapping[str, Any], now: Now) -> None:
        """See ``End``."""
        self._do(self._session.runner_event(event, now), now)

    def runner_lost(self, now: Now) -> None:
        """See ``End``."""
        self._do(self._session.runner_lost(now), now)

    def whitelist_loaded(self, names: Any, now: Now) -> None:
        """See ``End``."""
        self._do(self._session.whitelist_loaded(names, now), now)

    def refresh(self, now: Now) -> None:
        """See ``End``."""
        self._do(self._session.refresh(now), now)

    def reloaded(self, change: Reload, now: Now) -> None:
        """See ``End``."""
        self._config = self._fetcher.config = change.config
        self._session.adjust(self._config["max_body_size"], self._config["abort_grace"])
        if change.needs_fetch:
            self.refresh(now)

    def drain(self, now: Now) -> None:
        """See ``End``."""
        self._do(self._session.drain(now), now)

    def finish(self) -> None:
        """See ``End``."""
        self._fetcher.stop()
        self._transport.close(LAST_WORDS)

    # What goes out

    def _do(self, actions: List[Action], now: Now) -> None:
        todo: Deque[Action] = deque(actions)
        while todo:
            todo.extend(self._carry_out(todo.popleft(), now))

    def _carry_out(self, action: Action, now: Now) -> List[Action]:
        if isinstance(action, Send):
            taken = self._transport.send((action.header, action.body))
            return self._session.sent(action, taken, now)
        if isinstance(action, ReadOutput):
            return self._session.output_read(action.job_id, self._output(action.job_id), now)
        if isinstance(action, ReadPart):
            return self._session.part_read(
                action, *read_or_lose(self._read_part, self._config["state_dir"], action), now
            )
        if isinstance(action, Ask):
            self._ask(action, now.steady)
        elif isinstance(action, Fetch):
            return self._fetch(now)
        elif isinstance(action, Connect):
            self._transport.open(action.settings)
        elif isinstance(action, Log):
            log(action.level, action.text, action.fields)
        return []

    def _fetch(self, now: Now) -> List[Action]:
        try:
            self._fetcher.start(self._transport.public_key, now.steady)
        except OSError as error:
            return self._session.fetch_failed(f"cannot start a helper: {error.strerror}", now)
        return []

    def _output(self, job_id: str) -> Optional[Tuple[bytes, bytes]]:
        try:
            return self._read_output(self._config["state_dir"], job_id)
        except RunnerError as error:
            log("error", "no output for the outcome", {"job_id": job_id, "reason": str(error)})
            return None
