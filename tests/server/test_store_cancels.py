"""Cancels in the store, and the way of an older database to have a place for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from stored_jobs import created, job, job_id

from push_jobs_server import store as store_package
from push_jobs_server.records import Cancel, CancelStored, JobChanged
from push_jobs_server.store import Store, StoreError
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


def test_a_database_of_before_gets_the_table_and_keeps_its_jobs(database_url: str) -> None:
    config = Config()
    folder = Path(str(store_package.__file__)).with_name("migrations")
    config.set_main_option("script_location", str(folder))
    Store.migrate(database_url)
    store = Store(database_url)
    store.write([created()])
    store.close()
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE job_cancels")
        config.attributes["connection"] = connection
        command.stamp(config, "0001")
    engine.dispose()
    with pytest.raises(StoreError, match="push-jobs-server migrate"):
        Store(database_url)
    Store.migrate(database_url)
    store = Store(database_url)
    assert store.job("acme", job_id(1)) == job()
    store.write([CancelStored(job_id(1), 0, FIRST)])
    assert cancels(store) == (FIRST,)
    store.close()
