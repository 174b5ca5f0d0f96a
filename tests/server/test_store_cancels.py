"""Cancels in the store, and the way of an older database to have a place for them."""

from __future__ import annotations

from stored_jobs import created, job_id

from push_jobs_server.records import Cancel, CancelStored, JobChanged
from push_jobs_server.store import Store
from push_jobs_wire.states import JobStatus

FIRST = Cancel("alice", "user", 1001.25, ("web1", "db1"), 2.5, "wrong release \u00fc")
SECOND = Cancel("robot", "client", 1002.0, ("web2",))


def cancels(store: Store, number: int = 1) -> "tuple[Cancel, ...]":
    record = store.job("acme", job_id(number))
    assert record is not None
    return record.cancels


def test_cancels_come_back_in_their_order(store: Store) -> None:
    one = job_id(1)
    store.write([created(), created(2), CancelStored(one, 1, SECOND)])
    store.write([CancelStored(one, 0, FIRST)])
    assert cancels(store) == (FIRST, SECOND)
    assert cancels(store, 2) == ()
    open_jobs = {record.id: record.cancels for record in store.unfinished()}
    assert open_jobs == {one: (FIRST, SECOND), job_id(2): ()}


def test_a_cancel_that_is_written_again_stays_the_first(store: Store) -> None:
    store.write([created()])
    for cancel in (FIRST, SECOND):
        change = JobChanged(job_id(1), JobStatus.ABORTED, 1003.0)
        store.write([CancelStored(job_id(1), 0, cancel), change])
    assert cancels(store) == (FIRST,)
