"""The loop of the agent: clocks, signals, runner, log and the ends of connections to servers.

It decides nothing about jobs. Everything runs in one thread and nothing here waits for anything but
the next event.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence

from push_jobs_agent import exit_codes, logs
from push_jobs_agent.actions import Ask, Now
from push_jobs_agent.config import Config
from push_jobs_agent.ends import End
from push_jobs_agent.logs import log
from push_jobs_agent.notify import Notifier
from push_jobs_agent.reload import Reload
from push_jobs_agent.runner_keeper import RunnerKeeper
from push_jobs_agent.signals import STOP, Signals

LONGEST_SLEEP = 60.0

RESULTS_WITHIN = 5.0
"""Seconds for the servers to take results when the agent ends; the next agent repeats them."""

ReadSettings = Callable[[Config], Optional[Reload]]
Wait = Callable[[Sequence[int], Sequence[int], float], Any]


class Service:
    """One agent process.

    Args:
        config: the settings.
        ends: one for each server; a job of the runner that no end owns belongs to the first one.
        keeper: the way to the runner.
        wait: sleeps until a descriptor to read from or to write to is ready, or for some seconds.
        read_settings: reads the settings again; None when those in effect have to be kept.
    """

    def __init__(
        self,
        config: Config,
        ends: Sequence[End],
        keeper: RunnerKeeper,
        wait: Wait,
        read_settings: ReadSettings,
    ) -> None:
        self._config = config
        self._ends = list(ends)
        self._keeper = keeper
        self._wait = wait
        self._read_settings = read_settings
        self._notifier = Notifier(os.environ)
        self._stop_at: Optional[float] = None
        self._free_since: Optional[float] = None
        self._exit: Optional[int] = None
        self._runner_is_outdated = False
        self._runner_may_go = False

    def run(self) -> int:
        """Work until a signal ends it; returns the exit code."""
        signals = Signals()
        log("info", "agent started", {"server": ", ".join(end.server for end in self._ends)})
        self._notifier.ready()
        try:
            while self._exit is None:
                self._turn(signals)
        finally:
            self._notifier.stopping()
            self._finish()
            signals.close()
        log("info", "agent stopped", {"exit_code": self._exit})
        return self._exit

    @property
    def _free(self) -> bool:
        return all(end.free for end in self._ends)

    # One turn

    def _turn(self, signals: Signals) -> None:
        self._sleep(signals)
        now = _now()
        for number in signals.take():
            self._signal(number, now)
        self._hear_runner(now)
        for end in self._ends:
            end.hear(now)
        self._replace_runner(now)
        for end in self._ends:
            end.turn(now)
            if end.exit_code is not None:
                self._exit = end.exit_code
        self._notifier.alive(now.steady)
        self._end_if_drained(now)

    def _sleep(self, signals: Signals) -> None:
        now = _now()
        timeout = max(0.0, min(self._wake_ups(now)) - now.steady)
        readers = [signals.fd, self._keeper.reader]
        writers = [self._keeper.writer]
        for end in self._ends:
            readers += end.readers()
            writers += end.writers()
        self._wait(
            [fd for fd in readers if fd is not None],
            [fd for fd in writers if fd is not None],
            timeout,
        )

    def _wake_ups(self, now: Now) -> List[float]:
        times = [
            now.steady + (self._notifier.interval or LONGEST_SLEEP),
            self._keeper.next_call(),
            self._stop_at,
            None if self._free_since is None else self._free_since + RESULTS_WITHIN,
        ]
        for end in self._ends:
            times += end.wake_ups(now)
        return [time for time in times if time is not None]

    # The runner

    def _hear_runner(self, now: Now) -> None:
        words, lost = self._keeper.turn(now.steady)
        if lost:
            self._lost(now)
        for ask, reply in words:
            if ask is None:
                self._owner(_job_id(reply.get("job"))).runner_event(reply, now)
            elif ask.op == "hello":
                self._found(reply, now)
            elif ask.op == "reload":
                self._reloaded(reply, now)
            else:
                self._answered(ask, reply, now)

    def _lost(self, now: Now) -> None:
        running = ", ".join(self._running())
        level = "info" if self._runner_may_go else "error"
        log(level, "the runner is gone", {"job_id": running} if running else {})
        for end in self._ends:
            end.runner_lost(now)
        self._runner_may_go = False
        self._notifier.ready()  # it will not answer a reload any more

    def _owner(self, job_id: str) -> End:
        """The end that a job of the runner belongs to."""
        return next((end for end in self._ends if end.owns(job_id)), self._ends[0])

    def _found(self, hello: Mapping[str, Any], now: Now) -> None:
        log("info", "the runner is there", {"runner_pid": hello.get("pid")})
        jobs = hello.get("jobs") or []
        owners = [self._owner(_job_id(job)) for job in jobs]
        for end in self._ends:
            mine = [job for job, owner in zip(jobs, owners) if owner is end]
            end.runner_found({**hello, "jobs": mine}, now)

    def _answered(self, ask: Ask, reply: Mapping[str, Any], now: Now) -> None:
        for end in self._ends:
            if end.name == ask.end:
                end.runner_answered(ask, reply, now)

    # Signals and the end

    def _signal(self, number: int, now: Now) -> None:
        log("info", "signal", {"signal": signal.Signals(number).name})
        if number == signal.SIGHUP:
            self._reload(now)
        elif number == signal.SIGUSR1:
            for end in self._ends:
                end.refresh(now)
        elif number in STOP and not any(end.settled for end in self._ends):
            self._exit = exit_codes.INTERRUPTED.get(number, exit_codes.OK)
        elif self._stop_at is not None:
            self._exit = exit_codes.OK
        else:
            self._stop_at = now.steady + self._patience()
            for end in self._ends:
                end.drain(now)

    def _patience(self) -> float:
        """Seconds to wait for jobs; one in a service manager's runner goes on without us."""
        if self._config["start_runner"]:
            return float(self._config["drain_timeout"])
        return RESULTS_WITHIN if self._free else 0.0

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
        self._config = self._keeper.config = change.config
        self._runner_is_outdated = self._runner_is_outdated or change.needs_runner
        for end in self._ends:
            end.reloaded(change, now)

    def _replace_runner(self, now: Now) -> None:
        """Once no job is held, end a runner with old options; the keeper starts the next one."""
        if self._runner_is_outdated and self._free and self._keeper.up:
            log("info", "starting the runner again, with the changed settings")
            self._runner_is_outdated, self._runner_may_go = False, True
            self._keeper.ask(Ask("shutdown"), now.steady)

    def _reloaded(self, reply: Mapping[str, Any], now: Now) -> None:
        if reply.get("ok"):
            log("info", "read the whitelist again", {"names": len(reply.get("names") or ())})
            for end in self._ends:
                end.whitelist_loaded(reply.get("names"), now)
        else:
            for problem in reply.get("problems") or ["no reason given"]:
                log("error", "the whitelist is wrong; the old one is kept", {"problem": problem})
        self._notifier.ready()

    def _end_if_drained(self, now: Now) -> None:
        if self._stop_at is None or self._exit is not None:
            return
        if self._free and self._free_since is None:
            self._free_since = now.steady
        waited = self._free_since is not None and now.steady >= self._free_since + RESULTS_WITHIN
        drained = all(end.drained for end in self._ends)
        if drained or waited or now.steady >= self._stop_at:
            self._exit = exit_codes.OK

    def _running(self) -> Iterator[str]:
        for end in self._ends:
            yield from end.running

    def _finish(self) -> None:
        for job_id in self._running():
            text = "a job goes on in the runner; the next agent reports it"
            log("warning", text, {"job_id": job_id})
        if self._config["start_runner"]:
            self._keeper.shut_down()
        self._keeper.close()
        for end in self._ends:
            end.finish()


def _job_id(job: Any) -> str:
    """The id of a job as the runner tells it; of anything else nothing that an end owns."""
    return str(job.get("job_id")) if isinstance(job, dict) else ""


def _now() -> Now:
    return Now(time.monotonic(), time.time())
