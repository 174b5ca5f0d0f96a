"""The loop of the runner: one thread that owns the socket, the signals and the jobs.

It never waits for a job, a disk excepted. Losing the session changes nothing but who is told.
Signals: HUP reloads the whitelist, TERM ends the runner once no job runs, however often it is sent
(several changes during one job may each ask for it); INT ends the jobs, too.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time

from push_jobs_agent.runner.connection import Connection, ConnectionLost, may_connect
from push_jobs_agent.runner.entries import is_seconds
from push_jobs_agent.runner.errors import NotListed, Refused, RunnerError, WhitelistError
from push_jobs_agent.runner.jobs import Jobs
from push_jobs_agent.runner.log import log
from push_jobs_agent.runner.whitelist import load
from push_jobs_agent.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from push_jobs_agent.runner.options import Options
    from push_jobs_agent.runner.whitelist import Whitelist

ABORT_GRACE = 3.0
"""Seconds between asking and killing when the caller does not say."""

LAST_WORDS = 1.0
"""Seconds that the session has at the end to take what was not sent."""


class Server:
    """The runner. From the start on it catches the signals of this process.

    Args:
        options: of the command line.
        whitelist: loaded from where they say.
    """

    def __init__(self, options: Options, whitelist: Whitelist) -> None:
        self._options = options
        self._selector = selectors.DefaultSelector()
        self._jobs = Jobs(options, whitelist, self._selector, self._tell_ended, self._tell_output)
        self._session: Optional[Connection] = None
        self._stopping = False
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "hello": self._hello,
            "check": self._check,
            "start": self._start,
            "abort": self._abort,
            "release": self._release,
            "reload": self._reload,
            "shutdown": self._shutdown,
        }
        self._catch_signals()

    def run(self, listener: socket.socket) -> None:
        """Work until told to stop; ``listener`` hears of new sessions."""
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener))
        self._jobs.recover(time.monotonic())
        while not (self._stopping and self._jobs.idle):
            self._turn()
        if self._session is not None:
            self._session.finish(LAST_WORDS)

    def _turn(self) -> None:
        wait = max(0.0, self._jobs.next_call() - time.monotonic())
        for key, _ in self._selector.select(wait):
            # An earlier callback of the same round may have closed this one.
            if self._selector.get_map().get(key.fileobj) is key:
                key.data()
        self._jobs.tick(time.monotonic())

    # Signals

    def _catch_signals(self) -> None:
        self._wake, writer = socket.socketpair()
        self._wake.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda number, frame: None)
        self._selector.register(self._wake, selectors.EVENT_READ, self._on_signals)

    def _on_signals(self) -> None:
        numbers = self._wake.recv(4096)
        if signal.SIGHUP in numbers:
            self._reload({})
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stop(signal.SIGINT in numbers)
        if signal.SIGCHLD in numbers:
            self._jobs.look(time.monotonic())

    def _stop(self, at_once: bool) -> None:
        self._stopping = True
        if at_once:
            self._jobs.abort_all(ABORT_GRACE, "the runner was stopped", time.monotonic())
        elif not self._jobs.idle:
            log("stops when the running job has ended; INT ends the job, too")

    # The session

    def _accept(self, listener: socket.socket) -> None:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        if not may_connect(peer, self._options.session_user):
            log("refused a connection from a user that is no session of ours")
            peer.close()
            return
        self._drop("a newer one took its place")
        self._session = Connection(peer)
        self._selector.register(self._session, selectors.EVENT_READ, self._on_session)

    def _drop(self, reason: str) -> None:
        if self._session is not None:
            log(f"lost the connection to the session: {reason}")
            self._selector.unregister(self._session)
            self._session.close()
            self._session = None

    def _on_session(self) -> None:
        assert self._session is not None
        try:
            self._session.flush()
            for request in self._session.receive():
                self._send(self._answer(request))
        except ConnectionLost as error:
            self._drop(str(error))
        self._watch()

    def _send(self, message: dict[str, Any]) -> None:
        if self._session is None:
            return
        try:
            self._session.send(message)
        except ConnectionLost as error:
            self._drop(str(error))
        self._watch()

    def _watch(self) -> None:
        """Wake up when the session takes more, if anything waits for it."""
        if self._session is not None:
            writing = selectors.EVENT_WRITE if self._session.waiting else 0
            events = selectors.EVENT_READ | writing
            self._selector.modify(self._session, events, self._on_session)

    def _tell_ended(self, job: dict[str, Any]) -> None:
        self._send({"event": "ended", "job": job})

    def _tell_output(self, job: dict[str, Any]) -> None:
        self._send({"event": "output", "job": job})

    # Requests

    def _answer(self, request: Any) -> dict[str, Any]:
        """The reply to a request. Whatever goes wrong, jobs need this process to live on."""
        if not isinstance(request, dict):
            return {"id": None, "ok": False, "reason": "a request is a mapping"}
        operation = self._operations.get(str(request.get("op")), self._unknown)
        reply: dict[str, Any]
        try:
            reply = {"ok": True, **operation(request)}
        except NotListed as error:
            reply = {"ok": False, "reason": str(error), "listed": False}
        except RunnerError as error:
            reply = {"ok": False, "reason": str(error)}
        except OSError as error:
            reply = {"ok": False, "reason": f"the runner failed: {error}"}
        except Exception as error:
            log(f"defect in {request.get('op')!r}: {type(error).__name__}: {error}")
            reply = {"ok": False, "reason": "the runner failed; its log says more"}
        return {"id": request.get("id"), **reply}

    def _unknown(self, request: dict[str, Any]) -> dict[str, Any]:
        raise RunnerError(f"unknown operation {request.get('op')!r}")

    def _hello(self, request: dict[str, Any]) -> dict[str, Any]:
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "names": self._jobs.whitelist.names,
            "jobs": self._jobs.listing(),
        }

    def _check(self, request: dict[str, Any]) -> dict[str, Any]:
        self._refuse_when_stopping()
        self._jobs.check(request.get("request"))
        return {}

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        self._refuse_when_stopping()
        started_at = self._jobs.start(request.get("request"), time.monotonic())
        return {"started_at": started_at}

    def _refuse_when_stopping(self) -> None:
        if self._stopping:
            raise Refused("the runner of this node is about to stop")

    def _abort(self, request: dict[str, Any]) -> dict[str, Any]:
        grace: Any = request.get("grace")
        seconds = float(grace) if is_seconds(grace) or grace == 0 else ABORT_GRACE
        reason = str(request.get("reason") or "aborted")
        self._jobs.abort(request.get("job_id"), seconds, reason, time.monotonic())
        return {}

    def _release(self, request: dict[str, Any]) -> dict[str, Any]:
        self._jobs.release(request.get("job_id"))
        return {}

    def _reload(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            self._jobs.whitelist = load(self._options.whitelist)
        except WhitelistError as error:
            for problem in error.problems:
                log(f"the old whitelist is kept: {problem}")
            return {"ok": False, "problems": error.problems}
        log("the whitelist was loaded")
        return {"names": self._jobs.whitelist.names}

    def _shutdown(self, request: dict[str, Any]) -> dict[str, Any]:
        self._stopping = True
        return {}
