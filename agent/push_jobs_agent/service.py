"""The loop around the session machine: clocks, signals, helper, runner, transport and log.

It decides nothing about jobs: it carries in what happens and carries out what the machine asks for.
Everything runs in one thread and nothing here waits for anything but the next event.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections import deque
from typing import Any, Callable, Deque, List, Mapping, Optional, Tuple
from uuid import uuid4

from push_jobs_agent import exit_codes, logs
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
from push_jobs_agent.fetcher import Fetcher
from push_jobs_agent.logs import log
from push_jobs_agent.notify import Notifier
from push_jobs_agent.reload import Reload
from push_jobs_agent.runner.errors import RunnerError
from push_jobs_agent.runner_keeper import RunnerKeeper
from push_jobs_agent.server_settings import ServerSettings, from_json
from push_jobs_agent.session import Session
from push_jobs_agent.signals import STOP, Signals
from push_jobs_agent.transports.base import Incoming, Kind, Transport
from push_jobs_wire.messages import Origin

BATCH = 100
"""Messages of one channel taken per turn, so that a flood cannot starve timers and signals."""

LONGEST_SLEEP = 60.0
LAST_WORDS = 0.5
"""Seconds that the last messages may take to leave when the agent ends."""

RESULTS_WITHIN = 5.0
"""Seconds for the server to confirm results when the agent ends; the next agent repeats them."""

ReadSpool = Callable[[str, str], Tuple[bytes, bytes]]
ReadSettings = Callable[[Config], Optional[Reload]]
ReadSpoolPart = Callable[[str, str, str, int, int], Tuple[int, bytes]]


class Service:
    """One agent process.

    Args:
        config: the settings.
        version: the agent's version.
        transport: the way to the server.
        keeper: the way to the runner.
        read_output: reads both channels of an ended job from the spool in a state folder.
        read_settings: reads the settings again; None when those in effect have to be kept.
        read_part: reads a piece of one channel there.
        interactive: a person is watching: end when the server refuses us, instead of waiting.
    """

    def __init__(
        self,
        config: Config,
        version: str,
        transport: Transport,
        keeper: RunnerKeeper,
        read_output: ReadSpool,
        read_settings: ReadSettings,
        read_part: ReadSpoolPart,
        interactive: bool = False,
    ) -> None:
        self._config = config
        self._transport = transport
        self._keeper = keeper
        self._read_output = read_output
        self._read_settings = read_settings
        self._read_part = read_part
        self._interactive = interactive
        self._fetcher = Fetcher(config)
        self._notifier = Notifier(os.environ)
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
        self._signals: Optional[Signals] = None
        self._stop_at: Optional[float] = None
        self._free_since: Optional[float] = None
        self._exit: Optional[int] = None
        self._runner_is_outdated = False
        self._runner_may_go = False

    def run(self) -> int:
        """Work until a signal ends it; returns the exit code."""
        self._signals = Signals()
        log("info", "agent started", {"server": self._config["chef_server_url"]})
        self._notifier.ready()
        try:
            while self._exit is None:
                self._turn(self._signals)
        finally:
            self._notifier.stopping()
            self._finish()
            self._signals.close()
        log("info", "agent stopped", {"exit_code": self._exit})
        return self._exit

    # One turn

    def _turn(self, signals: Signals) -> None:
        self._sleep(signals)
        now = _now()
        for number in signals.take():
            self._signal(number, now)
        self._hear_runner(now)
        self._hear_helper(now)
        self._replace_runner(now)
        for incoming in self._transport.receive(BATCH):
            self._take(incoming, now)
        self._do(self._session.tick(now), now)
        self._notifier.alive(now.steady)
        self._end_if_drained(now)

    def _sleep(self, signals: Signals) -> None:
        now = _now()
        timeout = max(0.0, min(self._wake_ups(now)) - now.steady)
        readers = [signals.fd, self._keeper.reader, self._fetcher.fd]
        writers = [self._keeper.writer]
        self._transport.wait(
            [fd for fd in readers if fd is not None],
            [fd for fd in writers if fd is not None],
            timeout,
        )

    def _wake_ups(self, now: Now) -> List[float]:
        times = [
            now.steady + (self._notifier.interval or LONGEST_SLEEP),
            self._session.next_call(now),
            self._keeper.next_call(),
            self._fetcher.next_call(),
            self._stop_at,
            None if self._free_since is None else self._free_since + RESULTS_WITHIN,
        ]
        return [time for time in times if time is not None]

    # What comes in

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

    def _hear_runner(self, now: Now) -> None:
        words, lost = self._keeper.turn(now.steady)
        if lost:
            self._do(self._session.runner_lost(now, expected=self._runner_may_go), now)
            self._runner_may_go = False
            self._notifier.ready()  # it will not answer a reload any more
        for ask, reply in words:
            if ask is None:
                self._do(self._session.runner_event(reply, now), now)
            elif ask.op == "hello":
                self._do(self._session.runner_found(reply, now), now)
            elif ask.op == "reload":
                self._reloaded(reply, now)
            else:
                self._do(self._session.runner_answered(ask, reply, now), now)

    def _hear_helper(self, now: Now) -> None:
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
            self._exit = exit_codes.REFUSED if refused else exit_codes.NO_SETTINGS

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
            return self._session.part_read(action, *self._part(action), now)
        if isinstance(action, Ask):
            self._keeper.ask(action, now.steady)
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

    def _part(self, part: ReadPart) -> Tuple[int, bytes]:
        folder = self._config["state_dir"]
        try:
            return self._read_part(folder, part.job_id, part.stream, part.offset, part.most)
        except RunnerError as error:
            log("error", "output is lost", {"job_id": part.job_id, "reason": str(error)})
            return part.offset, b""

    # Signals and the end

    def _signal(self, number: int, now: Now) -> None:
        log("info", "signal", {"signal": signal.Signals(number).name})
        if number == signal.SIGHUP:
            self._reload(now)
        elif number == signal.SIGUSR1:
            self._do(self._session.refresh(now), now)
        elif self._session.settings is None and number in STOP:
            self._exit = exit_codes.INTERRUPTED.get(number, exit_codes.OK)
        elif self._stop_at is not None:
            self._exit = exit_codes.OK
        else:
            self._stop_at = now.steady + self._patience()
            self._do(self._session.drain(now), now)

    def _patience(self) -> float:
        """Seconds to wait for a job; one in a service manager's runner goes on without us."""
        if self._config["start_runner"]:
            return float(self._config["drain_timeout"])
        return RESULTS_WITHIN if self._session.free else 0.0

    def _reload(self, now: Now) -> None:
        logs.reopen()
        self._notifier.reloading()
        change = self._read_settings(self._config)
        if change is not None:
            self._take_over(change, now)
        if self._runner_is_outdated:
            self._notifier.ready()
        elif self._keeper.up:
            self._keeper.ask(Ask("reload"), now.steady)
        else:
            log("error", "the whitelist cannot be read again: the runner is gone")
            self._notifier.ready()

    def _take_over(self, change: Reload, now: Now) -> None:
        self._config = self._fetcher.config = self._keeper.config = change.config
        self._session.adjust(self._config["max_body_size"], self._config["abort_grace"])
        self._runner_is_outdated = self._runner_is_outdated or change.needs_runner
        if change.needs_fetch:
            self._do(self._session.refresh(now), now)

    def _replace_runner(self, now: Now) -> None:
        """Once no job is held, end a runner with old options; the keeper starts the next one."""
        if self._runner_is_outdated and self._session.free and self._keeper.up:
            log("info", "starting the runner again, with the changed settings")
            self._runner_is_outdated, self._runner_may_go = False, True
            self._keeper.ask(Ask("shutdown"), now.steady)

    def _reloaded(self, reply: Mapping[str, Any], now: Now) -> None:
        if reply.get("ok"):
            log("info", "read the whitelist again", {"names": len(reply.get("names") or ())})
            self._do(self._session.whitelist_loaded(reply.get("names"), now), now)
        else:
            for problem in reply.get("problems") or ["no reason given"]:
                log("error", "the whitelist is wrong; the old one is kept", {"problem": problem})
        self._notifier.ready()

    def _end_if_drained(self, now: Now) -> None:
        if self._stop_at is None or self._exit is not None:
            return
        if self._session.free and self._free_since is None:
            self._free_since = now.steady
        waited = self._free_since is not None and now.steady >= self._free_since + RESULTS_WITHIN
        if self._session.drained() or waited or now.steady >= self._stop_at:
            self._exit = exit_codes.OK

    def _finish(self) -> None:
        if self._session.job_id is not None:
            text = "a job goes on in the runner; the next agent reports it"
            log("warning", text, {"job_id": self._session.job_id})
        if self._config["start_runner"]:
            self._keeper.shut_down()
        self._keeper.close()
        self._fetcher.stop()
        self._transport.close(LAST_WORDS)


def _now() -> Now:
    return Now(time.monotonic(), time.time())
