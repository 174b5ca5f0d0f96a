"""The end of a server whose commands come over Serf: machine, socket, disk and reports together.

It decides nothing about jobs: it carries in what happens and carries out what the machine asks for.
Everything but the reports' way over HTTP runs in the loop's own thread.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any, Deque, Iterable, List, Mapping, Optional

from push_jobs_agent import config as settings
from push_jobs_agent import serf_settings
from push_jobs_agent.actions import (
    Action,
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
from push_jobs_agent.config import Config
from push_jobs_agent.ends import AskRunner
from push_jobs_agent.logs import log
from push_jobs_agent.output_reading import ReadSpoolPart, read_or_lose
from push_jobs_agent.reload import Reload
from push_jobs_agent.reporter import Reporter
from push_jobs_agent.serf_pulse import Pulse
from push_jobs_agent.serf_runs import SerfRuns
from push_jobs_agent.serf_store import SerfStore
from push_jobs_agent.transports.serf import SerfTransport, Turn
from push_jobs_wire import serf_rpc, shovey
from push_jobs_wire.serf_link import SerfLink
from push_jobs_wire.serf_rpc import Record
from push_jobs_wire.settings import SettingsError

LAST_WORDS = 2.0
"""Seconds that reports on their way may take when the agent ends; the next agent repeats them."""


class SerfEnd:
    """One server over Serf.

    Args:
        config: the settings.
        ask: sends a request to the runner.
        read_part: reads a piece of one channel of a job from the spool in a state folder.

    Raises SettingsError or AgentError when it cannot work with these settings.
    """

    name = "serf"
    settled = True
    exit_code: Optional[int] = None

    def __init__(self, config: Config, ask: AskRunner, read_part: ReadSpoolPart) -> None:
        self._config = config
        self._ask = ask
        self._read_part = read_part
        self._store = SerfStore(_folder(config))
        self._key = settings.signing_key(config["sign_pub_key"])
        self._accepted = self._store.accepted()
        self._runs = SerfRuns(
            config.node_name,
            self._key,
            config["time_slew"],
            config["abort_grace"],
            self._accepted,
            self._store.runs(config.node_name),
            self._store.needs_256(self._key),
        )
        self._link = SerfLink(config["serf_auth_key"], f"query:{shovey.QUERY}")
        self._transport = SerfTransport(serf_settings.address(config["serf_addr"]), self._link)
        self._pulse = Pulse(config.node_name)
        self._reporter = Reporter(config)
        self._wanted = False
        self._missing_logged = False

    @property
    def server(self) -> str:
        """See ``End``."""
        return str(self._config["shovey_url"])

    @property
    def free(self) -> bool:
        """See ``End``."""
        return not self._runs.running

    @property
    def drained(self) -> bool:
        """See ``End``."""
        return self._runs.empty

    @property
    def running(self) -> List[str]:
        """See ``End``."""
        return self._runs.running

    def owns(self, job_id: str) -> bool:
        """See ``End``."""
        return self._runs.owns(job_id)

    # The loop

    def readers(self) -> Iterable[Optional[int]]:
        """See ``End``."""
        return [self._transport.reader, self._reporter.fd]

    def writers(self) -> Iterable[Optional[int]]:
        """See ``End``."""
        return [self._transport.writer]

    def wake_ups(self, now: Now) -> Iterable[Optional[float]]:
        """See ``End``."""
        transport = self._transport.next_call() if self._wanted else None
        return [self._runs.next_call(), self._pulse.next_call(), transport]

    def hear(self, now: Now) -> None:
        """Take what the server answered."""
        for answer in self._reporter.take():
            self._do(self._runs.answered(answer, now), now)

    def turn(self, now: Now) -> None:
        """See ``End``. Nobody is told that we are there before jobs can be run."""
        if self._wanted:
            self._take(self._transport.turn(now.steady), now)
        self._do(self._runs.tick(now), now)

    # Serf

    def _take(self, turn: Turn, now: Now) -> None:
        for record in turn.records:
            self._record(record, now)
        if turn.lost is not None:
            self._lost(turn.lost)
            return
        if turn.entered:
            self._entered(now)
        if self._pulse.due(now.steady):
            self._pulse.sent(
                self._link.query(shovey.HEARTBEAT, self._pulse.payload, []), now.steady
            )

    def _entered(self, now: Now) -> None:
        log("info", "connected to the Serf agent", {"address": self._config["serf_addr"]})
        self._missing_logged = False
        self._pulse.connected(now.steady)
        self._link.event(shovey.JOIN_EVENT, self._config.node_name.encode(), coalesce=True)

    def _lost(self, reason: str) -> None:
        self._pulse.lost()
        if not self._missing_logged:
            self._missing_logged = True
            log("warning", "no connection to the Serf agent; trying again", {"reason": reason})

    def _record(self, record: Record, now: Now) -> None:
        try:
            self._heard(record, now)
        except Exception as error:
            # A defect of ours; what came from the network must not end the agent all the same.
            fields = {"kind": record.command, "error": f"{type(error).__name__}: {error}"}
            log("critical", "a message could not be handled; please report this", fields)

    def _heard(self, record: Record, now: Now) -> None:
        body: Mapping[str, Any] = record.body or {}
        if record.first and record.error:
            fields = {"request": record.command, "reason": record.error[:200]}
            log("warning", "the Serf agent refuses a request", fields)
            self._pulse.refused(record.seq)
        elif record.command == "query" and self._pulse.reply(record.seq, body, now.steady):
            log("warning", "no server answers our heartbeats over Serf")
        elif record.command == "stream" and body.get("Event") == "query":
            if body.get("Name") == shovey.QUERY:
                payload = serf_rpc.payload_of(body.get("Payload"))
                self._do(self._runs.query(payload, now), now)

    # What happens beside it

    def runner_found(self, hello: Mapping[str, Any], now: Now) -> None:
        """See ``End``."""
        self._wanted = True
        self._do(self._runs.runner_found(hello, now), now)

    def runner_answered(self, ask: Ask, reply: Mapping[str, Any], now: Now) -> None:
        """See ``End``."""
        self._do(self._runs.runner_answered(ask, reply, now), now)

    def runner_event(self, event: Mapping[str, Any], now: Now) -> None:
        """See ``End``."""
        self._do(self._runs.runner_event(event, now), now)

    def runner_lost(self, now: Now) -> None:
        """See ``End``."""
        self._do(self._runs.runner_lost(now), now)

    def whitelist_loaded(self, names: Any, now: Now) -> None:
        """Nobody is told: the server of the Shovey API has no place for it."""

    def refresh(self, now: Now) -> None:
        """Nothing is fetched from this server."""

    def reloaded(self, change: Reload, now: Now) -> None:
        """See ``End``; the file with the server's key may be another one now."""
        self._config = self._reporter.config = change.config
        try:
            self._key = settings.signing_key(self._config["sign_pub_key"])
        except SettingsError as error:
            log("error", "the old signing key is kept", {"reason": str(error)})
        slew, grace = self._config["time_slew"], self._config["abort_grace"]
        self._runs.adjust(self._key, slew, grace, self._store.needs_256(self._key))

    def drain(self, now: Now) -> None:
        """See ``End``."""
        self._do(self._runs.drain(now), now)

    def finish(self) -> None:
        """See ``End``."""
        self._transport.close()
        self._reporter.close(LAST_WORDS)

    # What goes out

    def _do(self, actions: List[Action], now: Now) -> None:
        todo: Deque[Action] = deque(actions)
        while todo:
            todo.extend(self._carry_out(todo.popleft(), now))

    def _carry_out(self, action: Action, now: Now) -> List[Action]:
        if isinstance(action, Put):
            self._reporter.put(action)
        elif isinstance(action, ReadPart):
            return self._runs.part_read(
                action, *read_or_lose(self._read_part, self._config["state_dir"], action), now
            )
        elif isinstance(action, Keep):
            return self._runs.kept(action, self._write(action), now)
        elif isinstance(action, Ask):
            self._ask(action, now.steady)
        elif isinstance(action, Log):
            log(action.level, action.text, action.fields)
        elif isinstance(action, (Drop, Remember, Need256)):
            self._note(action)
        return []

    def _write(self, keep: Keep) -> Optional[str]:
        try:
            self._store.keep(keep.job_id, keep.record, keep.durable)
        except OSError as error:
            return error.strerror or str(error)
        return None

    def _note(self, action: Action) -> None:
        try:
            if isinstance(action, Drop):
                self._store.drop(action.job_id)
            elif isinstance(action, Remember):
                entry = (action.wall, action.action, action.job_id)
                self._store.remember(entry, self._accepted, action.durable)
            else:
                self._store.need_256(self._key)
        except OSError as error:
            fields = {"folder": _folder(self._config), "reason": error.strerror}
            log("error", "the folder of jobs over Serf cannot be written", fields)


def _folder(config: Config) -> str:
    """Where jobs over Serf are written down. Raises SettingsError when nothing says where."""
    folder = serf_settings.state_dir(config.values, os.environ)
    if folder is None:
        text = "serf_state_dir is missing: it is needed where a service manager starts the runner"
        raise SettingsError(config.source or "settings", [text])
    return folder
