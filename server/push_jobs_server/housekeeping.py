"""The thread that keeps the history within its limits, and the counts of refused requests stored.

It works on the database alone, in short transactions; the engine never hears of it.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Callable, Dict, Optional

from push_jobs_server import audit
from push_jobs_server.records import Audited
from push_jobs_server.store import Store, StoreError
from push_jobs_server.store.retention import (
    Keep,
    Removed,
    orgs_with_jobs,
    remove_audit,
    remove_jobs,
    remove_refused,
)
from push_jobs_wire.settings import Values

log = logging.getLogger("push_jobs_server.history")

DAY = 86400.0
_TICK = 15.0
"""Seconds between two looks at what is due."""


def keep_of(settings: Values) -> Keep:
    """What the settings want to be kept of jobs."""
    days, most = float(settings["history.keep_days"]), int(settings["history.keep_jobs"])
    return Keep(days * DAY if days else None, most or None, window_of(settings))


def window_of(settings: Values) -> float:
    """Seconds after its end in which a job has to stay.

    A repeated request has to find the job that it started, else it would start another one: its
    time stamp may be ahead of our clock by the skew, and is good for as long again.
    """
    return max(float(settings["history.late_window"]), 2 * float(settings["request_skew"]))


class Housekeeper:
    """Sweeps at the start and then at intervals until it is stopped.

    Args:
        store: where the history is.
        settings: ``history.*`` and ``audit.*`` count here.
        flush: called every now and then, to store what was only counted so far.
        clock: gives seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        settings: Values,
        flush: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._settings = settings
        self._flush = flush
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)

    def start(self) -> None:
        """Begin with a sweep."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current transaction."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        interval = float(self._settings["history.interval"])
        due = time.monotonic()
        while not self._stop.is_set():
            self._guarded(self._flush)
            if time.monotonic() >= due:
                self._guarded(self.sweep)
                due = time.monotonic() + interval
            self._stop.wait(min(_TICK, max(0.0, due - time.monotonic())))

    def _guarded(self, work: Callable[[], None]) -> None:
        """A database that is away is no reason to end, nor is a defect: there is a next time."""
        try:
            work()
        except StoreError as error:
            log.warning("the history could not be tidied up, trying again later: %s", error)
        except Exception:
            log.exception("defect in the housekeeping")

    def sweep(self) -> None:
        """Remove once what is beyond the limits."""
        keep = keep_of(self._settings)
        if keep.seconds is not None or keep.jobs is not None:
            for org in orgs_with_jobs(self._store):
                removed = remove_jobs(self._store, org, keep, self._clock(), self._stop.wait)
                self._tell(removed)
        self._sweep_audit()

    def _sweep_audit(self) -> None:
        days = float(self._settings["audit.keep_days"])
        if days:
            remove_audit(self._store, self._clock() - days * DAY, self._stop.wait)
        remove_refused(self._store, int(self._settings["audit.keep_refused"]), self._stop.wait)

    def _tell(self, removed: Optional[Removed]) -> None:
        if removed is None:
            return
        fields = {"org": removed.org, "jobs": removed.jobs}
        log.info("old jobs removed", extra={"fields": fields})
        entry = audit.made(
            self._clock(),
            uuid.uuid4().hex,
            "job.expire",
            org=removed.org,
            actor="push-jobs-server",
            actor_kind=audit.SERVER,
            details=purge_details(removed),
        )
        self._store.write([Audited(entry)])


def purge_details(removed: Removed) -> Dict[str, object]:
    """What the audit trail says about removed jobs; times in seconds since the epoch."""
    return {
        "jobs": removed.jobs,
        "created_from": removed.oldest,
        "created_to": removed.newest,
    }
