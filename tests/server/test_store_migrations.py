"""An older database is brought up to date and keeps its jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from stored_jobs import created, job, job_id

from push_jobs_server import store as store_package
from push_jobs_server.records import Cancel, CancelStored
from push_jobs_server.store import Store, StoreError
from push_jobs_server.store.changes import ChangeSet, Statements


def test_a_database_of_the_first_version_keeps_its_jobs(database_url: str) -> None:
    config = Config()
    folder = Path(str(store_package.__file__)).with_name("migrations")
    config.set_main_option("script_location", str(folder))
    engine: Any = create_engine(database_url, future=True)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement, rows in ChangeSet([created()]).steps(Statements(connection.dialect.name)):
            statement.run(connection, rows)
    engine.dispose()
    with pytest.raises(StoreError, match="push-jobs-server migrate"):
        Store(database_url)
    Store.migrate(database_url)
    store = Store(database_url)
    assert store.job("acme", job_id(1)) == job()
    cancel = Cancel("alice", "user", 1001.25, ("web1", "db1"))
    store.write([CancelStored(job_id(1), 0, cancel)])
    found = store.job("acme", job_id(1))
    assert found is not None and found.cancels == (cancel,)
    store.close()
