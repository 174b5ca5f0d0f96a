"""The histories of all jobs and organizations, and how long each is kept. Pure.

A job's history lives while the job does and for a while after its end; an organization's events are
kept for a fixed time. Time comes in as seconds since the epoch (pushy-api 4.8).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Deque, Dict, Iterable, List, Optional, Set, Tuple

from push_jobs_server.engine.events import JOB_COMPLETE, OUTPUT, START, Event
from push_jobs_server.feeds.history import History

_ORG_EVENTS = (START, JOB_COMPLETE)
_JOB_LIMIT = 50_000
_JOB_LIMIT_PER_NODE = 10
"""A job tells four events per node; only a node that misbehaves causes more than this."""
_OUTPUT_LIMIT = 10_000
_ORG_LIMIT = 50_000


@dataclass(frozen=True)
class FeedRules:
    """How long events are kept, in seconds: of a job after its end, and of an organization."""

    job_linger: float = 5.0
    org_expiration: float = 60.0


class Hub:
    """All histories of a server.

    Args:
        rules: how long events are kept.
        run: names this run of the server. It is in the ids of whatever readers may have read in the
            run before, so that an id of that one is never mistaken for one of these.
    """

    def __init__(self, rules: FeedRules, run: str) -> None:
        self._rules = rules
        self._run = run
        self._jobs: Dict[Tuple[str, str], History] = {}
        self._outputs: Dict[Tuple[str, str], History] = {}
        self._orgs: Dict[str, History] = {}
        self._ended: Deque[Tuple[float, Tuple[str, str]]] = deque()

    def restore(self, events: Iterable[Event]) -> None:
        """Take what is known of an unfinished job after a restart."""
        for event in events:
            if event.name == START:
                self._begin(event, f"job-{self._run}-")
            self._jobs[event.org, event.job_id].add(event.name, event.at, event.data)

    def publish(self, events: Iterable[Event], now: float) -> Set[History]:
        """Append events; the histories that have got longer."""
        self._forget(now)
        touched: Set[History] = set()
        for event in events:
            if event.name == START:
                self._begin(event, "job-")
            touched.update(self._take(event, now))
        return touched

    def _begin(self, event: Event, prefix: str) -> None:
        limit = _JOB_LIMIT + _JOB_LIMIT_PER_NODE * int(event.data["node_count"])
        self._jobs[event.org, event.job_id] = History(prefix, limit)

    def _take(self, event: Event, now: float) -> List[History]:
        key = (event.org, event.job_id)
        if event.name == OUTPUT:
            return self._take_output(key, event)
        history = self._jobs.get(key)
        if history is None:  # it was broken off
            return []
        history.add(event.name, event.at, event.data)
        if event.name == JOB_COMPLETE:
            history.closed = True
            self._ended.append((now + self._rules.job_linger, key))
        touched = [history]
        output = self._outputs.get(key)
        if output is not None and history.closed:
            output.closed = True
            touched.append(output)
        if event.name in _ORG_EVENTS:
            org = self.org(event.org, now)
            org.add(event.name, event.at, {"job": event.job_id, **event.data})
            touched.append(org)
        return touched

    def _take_output(self, key: Tuple[str, str], event: Event) -> List[History]:
        """Output costs nothing while nobody reads it: what was before is in the store."""
        history = self._outputs.get(key)
        if history is None:
            return []
        history.add(event.name, event.at, event.data)
        return [history]

    def output(self, org: str, job_id: str, now: float) -> Optional[History]:
        """Which channels of a job grow, from now on; None when it has ended."""
        job = self.job(org, job_id, now)
        if job is None or job.closed:
            return None
        return self._outputs.setdefault((org, job_id), History("output-", _OUTPUT_LIMIT))

    def break_off(self, events: Iterable[Event]) -> Set[History]:
        """The changes of these events can't be stored: end the feeds of their jobs."""
        keys = {(event.org, event.job_id) for event in events}
        kinds = (self._jobs, self._outputs)
        broken = {kind.pop(key) for kind in kinds for key in keys if key in kind}
        for history in broken:
            history.closed = True
        return broken

    def job(self, org: str, job_id: str, now: float) -> Optional[History]:
        """The history of a job that has not ended, or not long ago."""
        self._forget(now)
        return self._jobs.get((org, job_id))

    def org(self, org: str, now: float) -> History:
        """The history of an organization, without what is too old by now."""
        history = self._orgs.setdefault(org, History(f"org-{self._run}-", _ORG_LIMIT))
        history.expire(now - self._rules.org_expiration)
        return history

    def horizon(self, now: float) -> float:
        """Before this time nothing is known of an organization."""
        return now - self._rules.org_expiration

    def _forget(self, now: float) -> None:
        while self._ended and self._ended[0][0] <= now:
            key = self._ended.popleft()[1]
            self._jobs.pop(key, None)
            self._outputs.pop(key, None)
