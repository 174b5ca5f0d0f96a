"""The agent's conversation with one server. Pure: no socket, clock, thread, file or process.

Messages, replies of the runner and the time go in; actions come out (``actions``). The parts are
the job (``slot``), what has to be reported (``reports``), the connection's health (``health``), new
settings (``refetch``) and the check of all that comes in (``guard``). Whatever a server sends that
is not right is refused, counted and logged.
Sources: pushy-protocol 2.7, 3.4, 5, 7, 9.2; architecture 4 and 5.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from push_jobs_agent.actions import Action, Ask, Connect, Fetch, Log, Now, ReadPart, Send
from push_jobs_agent.guard import Guard
from push_jobs_agent.health import Health
from push_jobs_agent.outbox import Outbox
from push_jobs_agent.refetch import Refetch
from push_jobs_agent.refusals import Refusals
from push_jobs_agent.reports import Reports
from push_jobs_agent.runnable import RunnableNames
from push_jobs_agent.server_settings import ServerSettings
from push_jobs_agent.slot import Slot
from push_jobs_agent.spooled import read_job
from push_jobs_wire import messages
from push_jobs_wire.errors import RemoteError
from push_jobs_wire.messages import EXTENSIONS, Heartbeat, JobRef, Origin
from push_jobs_wire.states import AgentState

CALM_AFTER = 2.0
"""Seconds after a message about a job in which no socket is closed: it might still be in it."""

STALE_AFTER = 45.0
"""Seconds that settings may wait for a calm moment; an old server lets us in for 60 (3.3)."""

BYTES_PER_ID = 70
"""Room in bytes for one job id in a heartbeat; the list takes half of a message at most."""

NAMES_PART = 4
"""Names of the whitelist take this part of a message at most."""


class Session:
    """The session machine.

    Args:
        origin: who this agent is.
        version: version of the agent, told to servers that speak our extensions.
        max_body_size: largest message in bytes that the agent may send.
        abort_grace: seconds between the polite and the hard end of an aborted job.
        chance: returns a number from 0 to 1, for everything that is spread by chance.
        platform: what the node runs on, told like the version.
    """

    def __init__(
        self,
        origin: Origin,
        version: str,
        max_body_size: int,
        abort_grace: float,
        chance: Callable[[], float],
        platform: Optional[str] = None,
    ) -> None:
        self.settings: Optional[ServerSettings] = None
        self._version, self._platform = version, platform
        self._names = RunnableNames()
        self._outbox = Outbox(origin, max_body_size)
        self._reports = Reports(self._outbox)
        self._slot = Slot(self._outbox, self._reports, abort_grace)
        self._health = Health()
        self._refetch = Refetch(chance)
        self._guard = Guard()
        self._refusals = Refusals(self._outbox.log)
        self._incarnation_id: Optional[str] = None
        self._waiting: Optional[Tuple[ServerSettings, float]] = None

    # State that the service looks at

    @property
    def state(self) -> AgentState:
        """What the heartbeats say."""
        return self._slot.state

    @property
    def job_id(self) -> Optional[str]:
        """The job that is committed or runs."""
        return None if self.state is AgentState.IDLE else self._slot.job_id

    @property
    def online(self) -> bool:
        """True while the server is connected and heard."""
        return self._health.up and self._health.online

    @property
    def free(self) -> bool:
        """True when no job is held, and none is thought about."""
        return self._slot.free

    def drained(self) -> bool:
        """True when no job is held and the server knows all results that it can be told now."""
        told = self._reports.empty or not self._health.ready
        return self._slot.free and told

    # What happens

    def tick(self, now: Now) -> List[Action]:
        """Turn all timers."""
        self._slot.tick(now)
        self._watch(now)
        self._beat_if_due(now)
        if self._health.ready:
            self._reports.tick(now)
        self._renew(now)
        return self._outbox.take()

    def next_call(self, now: Now) -> float:
        """When ``tick`` wants to be called, in steady seconds."""
        calm = self._calm(now)
        times = [
            self._slot.next_call(),
            self._health.next_call(),
            self._refetch.next_call(calm),
        ]
        if self._health.ready:
            times.append(self._reports.next_call())
        if self._outbox.last_job_message + CALM_AFTER > now.steady:
            times.append(self._outbox.last_job_message + CALM_AFTER)
        return min((time for time in times if time is not None), default=now.steady + 60.0)

    def command_received(self, frames: Sequence[bytes], now: Now) -> List[Action]:
        """Frames have come on the command channel."""
        try:
            message = self._guard.command(frames, now.wall)
        except RemoteError as error:
            self._refusals.refused("command", str(error), now)
        else:
            if not self._health.proven:
                self._health.answered()
                self._refetch.of_use()
            self._obey(message, now)
        return self._outbox.take()

    def broadcast_received(self, frames: Sequence[bytes], now: Now) -> List[Action]:
        """Frames have come on the heartbeat channel."""
        try:
            message = self._guard.broadcast(frames, now.wall)
        except RemoteError as error:
            self._refusals.refused("heartbeat", str(error), now)
        else:
            if self._health.server_beat():
                self._outbox.log("info", "the server is back")
            self._compare_incarnation(message.incarnation_id, now)
        return self._outbox.take()

    def connected(self, now: Now) -> List[Action]:
        """The transport has reached the server, for the first time or again."""
        self._outbox.log("info", "connected to the server")
        self._health.connected(now)
        self._reports.connected()
        self._beat_if_due(now)
        return self._outbox.take()

    def connection_lost(self, now: Now) -> List[Action]:
        """The transport has lost the server; it goes on trying."""
        if self._health.up:
            self._outbox.log("warning", "lost the connection to the server", job_id=self.job_id)
        self._health.lost()
        return self._outbox.take()

    def connection_refused(self, detail: str, now: Now) -> List[Action]:
        """The server does not let us in; old settings will not help any more."""
        self._refusals.refused("connection", detail, now)
        self._health.lost()
        self._refetch.want("refused", now.steady, forced=True, within=1.0)
        self._refetch.is_back(now.steady)
        return self._outbox.take()

    def sent(self, send: Send, taken: bool, now: Now) -> List[Action]:
        """The transport took a message, or could not."""
        if send.outcome is not None:
            self._reports.sent(send.outcome, taken, now)
        if not taken:
            if send.output is not None:
                self._reports.streams.not_taken(send.output)
            self._outbox.log("warning", "could not send a message", job_id=send.outcome)
            self._refetch.want("cannot send", now.steady + 5.0, forced=True, within=5.0)
        return self._outbox.take()

    def settings_fetched(self, settings: ServerSettings, now: Now) -> List[Action]:
        """The server has given new settings; they are used as soon as nothing is disturbed."""
        self._refetch.succeeded(now.steady, settings.lifetime)
        self._waiting = (settings, now.steady)
        self._renew(now)
        return self._outbox.take()

    def fetch_failed(self, reason: str, now: Now) -> List[Action]:
        """The server gave no settings; a connection that exists is left alone."""
        pause = self._refetch.failed(now.steady)
        text = "no settings from the server"
        self._outbox.log("error", text, reason=reason, retry_in_s=round(pause, 1))
        return self._outbox.take()

    def refresh(self, now: Now) -> List[Action]:
        """An operator wants new settings to be fetched when nothing is disturbed."""
        self._refetch.want("operator", now.steady, forced=False)
        return self._outbox.take()

    def adjust(self, max_body_size: int, abort_grace: float) -> None:
        """An operator changed these settings; see the arguments of the class."""
        self._outbox.own_limit = max_body_size
        self._slot.grace = abort_grace

    def drain(self, now: Now) -> List[Action]:
        """Refuse new jobs from now on."""
        self._slot.draining = True
        return self._outbox.take()

    def runner_found(self, hello: Mapping[str, Any], now: Now) -> List[Action]:
        """A runner is connected; ``hello`` is its first reply."""
        listed = hello.get("jobs")
        jobs = [read_job(job) for job in listed or []]
        self._learn(hello.get("names"), now)
        self._slot.runner_found([job for job in jobs if job is not None], now)
        self._renew(now)
        return self._outbox.take()

    def whitelist_loaded(self, names: Any, now: Now) -> List[Action]:
        """The runner read its whitelist again: these names and patterns can be run now."""
        self._learn(names, now)
        return self._outbox.take()

    def runner_lost(self, now: Now) -> List[Action]:
        """The runner is gone; no job can be taken until there is one again."""
        self._slot.runner_lost(now)
        return self._outbox.take()

    def runner_answered(self, ask: Ask, reply: Mapping[str, Any], now: Now) -> List[Action]:
        """The runner has answered a request of this session."""
        if ask.op == "check":
            self._slot.checked(ask.fields, reply, now)
        elif ask.op == "start":
            self._slot.started(ask.fields, reply, now)
        elif not reply.get("ok"):
            job_id, reason = ask.fields.get("job_id"), reply.get("reason")
            self._outbox.log(
                "debug", f"the runner could not {ask.op}", job_id=job_id, reason=reason
            )
        return self._outbox.take()

    def runner_event(self, event: Mapping[str, Any], now: Now) -> List[Action]:
        """The runner tells of something by itself."""
        job = read_job(event.get("job"))
        if event.get("event") == "ended" and job is not None and job.ended:
            self._slot.ended(job, now)
            if self._health.ready:
                self._reports.tick(now)
        elif event.get("event") == "output" and job is not None:
            self._reports.streams.hold(job)
        return self._outbox.take()

    def part_read(self, part: ReadPart, offset: int, data: bytes, now: Now) -> List[Action]:
        """Some bytes of output were read from the spool; none when nothing is there."""
        self._reports.streams.part_read(part, offset, data, now)
        if self._health.ready:
            self._reports.tick(now)
        return self._outbox.take()

    def output_read(
        self, job_id: str, output: Optional[Tuple[bytes, bytes]], now: Now
    ) -> List[Action]:
        """The output of a job was read from the spool; None when it could not be read."""
        if self.settings is not None:
            self._reports.output_read(job_id, output, now)
        return self._outbox.take()

    # How it happens

    def _obey(self, message: messages.ServerMessage, now: Now) -> None:
        if isinstance(message, messages.Commit):
            self._slot.commit(message, now)
        elif isinstance(message, messages.Run):
            self._slot.run(message.job_id, now)
        elif isinstance(message, messages.Abort):
            self._slot.abort(message, now)
        elif isinstance(message, messages.Confirm):
            self._reports.confirmed(message.job_id)
        elif isinstance(message, messages.OutputAck):
            self._reports.streams.acknowledged(message)
        elif isinstance(message, messages.Unknown):
            self._refusals.refused("command", f"unknown type {message.type!r}", now)
        elif isinstance(message, messages.ServerHeartbeat):
            self._refusals.refused("command", "a heartbeat on the command channel", now)

    def _compare_incarnation(self, incarnation_id: Optional[str], now: Now) -> None:
        """A restarted server has other keys; come back within one interval, spread by chance."""
        if self._incarnation_id is None:
            self._incarnation_id = incarnation_id
        elif incarnation_id not in (None, self._incarnation_id) and self.settings is not None:
            within = self.settings.interval
            self._refetch.want("new incarnation", now.steady, forced=False, within=within)

    def _watch(self, now: Now) -> None:
        if self._health.unanswered(now):
            self._outbox.log("warning", "the server said nothing after connecting")
            self._refetch.want("unanswered", now.steady, forced=True)

    def _beat_if_due(self, now: Now) -> None:
        was_online = self._health.online
        if self._health.tick(now):
            self._outbox.beat(self._heartbeat(), now)
            self._health.beat_sent(now)
        if was_online and not self._health.online and self.settings is not None:
            self._outbox.log("warning", "no heartbeats of the server; it counts as offline")
            within = self.settings.interval
            self._refetch.want("silence", now.steady, forced=True, within=within)

    def _learn(self, names: Any, now: Now) -> None:
        """Tell the server of other names at once, if it was told of any on this connection."""
        if self._names.learn(names) and self.online and not self._health.first_beat:
            self._outbox.beat(self._heartbeat(), now)

    def _heartbeat(self) -> Heartbeat:
        """The first one of a connection tells what the server needs to take us up again.

        Later ones leave the ids of jobs out: a job that is on its way here is not in the list, and
        would be taken for lost.
        """
        job = JobRef(self.job_id)
        if not self._outbox.extended:
            return Heartbeat(self.state, job, extensions=EXTENSIONS)
        room = self._outbox.limit // NAMES_PART
        if not self._health.first_beat:
            runnable = self._names.take(room)
            return Heartbeat(self.state, job, extensions=EXTENSIONS, runnable=runnable)
        self._names.begin()
        held = [] if self.job_id is None else [self.job_id]
        ids: Dict[str, None] = dict.fromkeys(held + self._reports.jobs())
        most = self._outbox.limit // 2 // BYTES_PER_ID
        return Heartbeat(
            self.state,
            job,
            extensions=EXTENSIONS,
            jobs=tuple(ids)[:most],
            version=self._version,
            platform=self._platform,
            runnable=self._names.take(room),
        )

    def _calm(self, now: Now) -> bool:
        """True when a new connection would disturb nothing that is being said about a job."""
        if now.steady < self._outbox.last_job_message + CALM_AFTER or not self._slot.settled:
            return False
        return self._slot.free or self._outbox.extended

    def _renew(self, now: Now) -> None:
        """Fetch settings, or connect with those that wait, when their time has come."""
        calm = self._calm(now)
        if self._waiting is not None and self._slot.runner_up:
            settings, since = self._waiting
            if calm or self._refetch.forced or not self._health.up:
                self._connect(settings, now)
            elif now.steady > since + STALE_AFTER:
                self._waiting = None
                self._refetch.want("stale settings", now.steady, forced=False)
        cause = self._refetch.take(now.steady, calm)
        if cause is not None:
            self._outbox.do(Log("info", "fetching settings", {"cause": cause}))
            self._outbox.do(Fetch(cause))

    def _connect(self, settings: ServerSettings, now: Now) -> None:
        self._waiting = None
        self.settings = settings
        self._incarnation_id = settings.incarnation_id
        self._guard.trust(settings)
        self._outbox.address(settings)
        self._health.opened(settings, now)
        self._outbox.do(Connect(settings))
