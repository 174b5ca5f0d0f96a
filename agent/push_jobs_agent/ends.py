"""What the loop of the agent asks of each end of a connection to a server.

An agent holds one or both: the session of a push jobs server over ZeroMQ, and the commands of a
goiardi or a push jobs server over Serf. The loop owns signals, the runner and the end of it all;
what travels is each end's own business. One thread calls all of this.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable, List, Mapping, Optional, Protocol

from push_jobs_agent.actions import Ask, Now
from push_jobs_agent.reload import Reload

AskRunner = Callable[[Ask, float], None]
"""Sends a request to the runner; the second argument is the steady time."""


class End(Protocol):
    """One server's end in this agent."""

    name: str
    """As in ``Ask.end``."""

    @property
    def server(self) -> str:
        """Whom it talks to, for people."""

    @property
    def settled(self) -> bool:
        """True once there is something to be lost by ending at once."""

    @property
    def free(self) -> bool:
        """True when no job is held, and none is thought about."""

    @property
    def drained(self) -> bool:
        """True when no job is held and the server knows all that it can be told now."""

    @property
    def running(self) -> List[str]:
        """The ids of the jobs that run for this server."""

    @property
    def exit_code(self) -> Optional[int]:
        """The exit code of an agent that this end makes useless, or None."""

    def owns(self, job_id: str) -> bool:
        """True for a job that is known to belong to this server."""

    # The loop

    def readers(self) -> Iterable[Optional[int]]:
        """Descriptors to wait for."""

    def writers(self) -> Iterable[Optional[int]]:
        """Descriptors to wait for until something can be written."""

    def wake_ups(self, now: Now) -> Iterable[Optional[float]]:
        """When ``turn`` wants to be called, in steady seconds."""

    def hear(self, now: Now) -> None:
        """Take what helpers have found out."""

    def turn(self, now: Now) -> None:
        """Take what came in, and turn all timers."""

    # What happens beside it

    def runner_found(self, hello: Mapping[str, Any], now: Now) -> None:
        """A runner is there; of its jobs only those of this end are listed."""

    def runner_answered(self, ask: Ask, reply: Mapping[str, Any], now: Now) -> None:
        """The runner answered a request of this end."""

    def runner_event(self, event: Mapping[str, Any], now: Now) -> None:
        """The runner tells something about a job of this end."""

    def runner_lost(self, now: Now) -> None:
        """The runner is gone."""

    def whitelist_loaded(self, names: Any, now: Now) -> None:
        """The runner read its whitelist again."""

    def refresh(self, now: Now) -> None:
        """An operator wants the server to be asked again how to reach it."""

    def reloaded(self, change: Reload, now: Now) -> None:
        """The settings were read again."""

    def drain(self, now: Now) -> None:
        """Take no new job from now on."""

    def finish(self) -> None:
        """Let go of everything; the agent ends."""
