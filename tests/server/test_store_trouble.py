"""Databases in trouble: full, locked, gone, killed, missing, of another version."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List

import pytest
from alembic.autogenerate.api import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from databases import Postgres, sqlite_url
from sqlalchemy import text, update
from stored_jobs import created, job, job_id

from push_jobs_server import store as store_package
from push_jobs_server.records import JobChanged, OutputStored, SessionKeyStored
from push_jobs_server.store import Store, StoreError, StoreUnavailable, connections
from push_jobs_server.store.tables import SCHEMA_VERSION, jobs, metadata
from push_jobs_wire.states import JobStatus

ONE = job_id(1)


@pytest.fixture
def sqlite_store(sqlite_store_url: str) -> Iterator[Store]:
    opened = Store(sqlite_store_url)
    yield opened
    opened.close()


# The database can't be used now


def limit_pages(store: Store, pages: int) -> None:
    with store.writing() as database:
        database.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_takes_nothing_and_loses_nothing(sqlite_store: Store) -> None:
    sqlite_store.write([created(), created(2, nodes=("web1",))])
    with sqlite_store.reading() as database:
        pages = int(str(database.exec_driver_sql("PRAGMA page_count").scalar()))
    limit_pages(sqlite_store, pages)
    with pytest.raises(StoreUnavailable, match="disk is full.*has room on its disk"):
        sqlite_store.write([created(3, file="raw:" + "x" * 100_000), created(4)])
    assert [record.id for record in sqlite_store.jobs("acme")] == [ONE, job_id(2)]
    limit_pages(sqlite_store, 2**30)
    sqlite_store.write([created(3, file="raw:" + "x" * 100_000)])
    assert len(sqlite_store.jobs("acme")) == 3


def test_a_lock_that_is_not_given_back_is_a_reason_to_try_again(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LOCK_TIMEOUT", 0.05)
    ours, theirs = Store(store_url), Store(store_url)
    ours.write([created()])
    change = JobChanged(ONE, JobStatus.CRASHED, 2000.0)
    with theirs.writing() as database:
        database.execute(update(jobs).where(jobs.c.id == ONE).values(quorum=1))
        with pytest.raises(StoreUnavailable, match="lock"):
            ours.write([change])
        found = ours.job("acme", ONE)
        assert found is not None and found.request.quorum == 3
    ours.write([change])
    found = ours.job("acme", ONE)
    assert found is not None
    assert (found.status, found.request.quorum) == (JobStatus.CRASHED, 1)
    ours.close()
    theirs.close()


def test_a_restart_of_postgresql_goes_unnoticed(
    postgres: Postgres, postgresql_store_url: str
) -> None:
    store = Store(postgresql_store_url)
    store.write([created()])
    assert store.job("acme", ONE) is not None
    postgres.restart()
    assert store.job("acme", ONE) is not None
    store.write([created(2)])
    assert len(store.jobs("acme")) == 2
    store.close()


def test_a_connection_lost_in_a_transaction_undoes_it(
    postgres: Postgres, postgresql_store_url: str
) -> None:
    store = Store(postgresql_store_url)
    store.write([created()])
    with pytest.raises(StoreUnavailable):
        with store.writing() as database:
            database.execute(update(jobs).values(quorum=1))
            postgres.restart()
            database.execute(update(jobs).values(quorum=2))
    assert store.job("acme", ONE) == job()
    store.close()


@pytest.mark.usefixtures("postgres")
def test_no_postgresql_there_is_a_reason_to_try_again(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        Store(f"postgresql://me:hunter2@/db?host={tmp_path}")
    assert "hunter2" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_name_too_long_for_an_index_is_refused_for_good(postgresql_store_url: str) -> None:
    name = "".join(f"{number:x}" for number in range(4000))
    store = Store(postgresql_store_url)
    with pytest.raises(StoreError) as caught:
        store.write([created(nodes=[name])])
    assert not isinstance(caught.value, StoreUnavailable)
    store.close()


def test_check_tells_whether_the_database_answers(sqlite_store: Store) -> None:
    sqlite_store.check()
    with sqlite_store.writing() as database:
        database.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(StoreError):
        sqlite_store.check()


def test_errors_do_not_show_what_was_to_be_stored(store: Store) -> None:
    store.write([created()])
    with pytest.raises(StoreError) as caught:
        store.write(
            [
                SessionKeyStored("acme", "web1", b"hunter2"),
                created(2, request_key="request 1", command="hunter2", env={"A": "hunter2"}),
            ]
        )
    error: "BaseException | None" = caught.value
    assert "\n" not in str(error)
    assert "hunter2" not in str(error) and "request 1" not in str(error)
    while error is not None:
        assert "hunter2" not in str(error)
        error = error.__cause__ or error.__context__


# Killed

_WRITES = """
import sys
sys.path[:0] = sys.argv[2:]
from push_jobs_server.store import Store
from stored_jobs import created
store = Store(sys.argv[1])
for number in range(100000):
    store.write([created(number, file="raw:" + "x" * 5000)])
    print(number, flush=True)
"""


def test_what_was_committed_outlives_a_kill(store_url: str) -> None:
    support = str(Path(str(sys.modules["stored_jobs"].__file__)).parent)
    command = [sys.executable, "-c", _WRITES, store_url, support]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        announced: List[int] = []
        for line in writer.stdout:
            announced.append(int(line))
            if len(announced) == 30:
                writer.kill()
    assert writer.returncode == -signal.SIGKILL
    store = Store(store_url)
    for number in announced:
        assert store.job("acme", job_id(number)) == job(number, file="raw:" + "x" * 5000)
    store.write([created(200_000)])
    store.close()


def test_sqlite_syncs_each_commit_and_lets_readers_read(sqlite_store: Store) -> None:
    with sqlite_store.writing() as database:
        settings = [
            database.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("synchronous", "journal_mode", "foreign_keys")
        ]
    assert settings == [2, "wal", 1]


def test_readers_can_not_write(sqlite_store: Store) -> None:
    sqlite_store.write([created()])
    with pytest.raises(StoreError):
        with sqlite_store.reading() as database:
            database.execute(update(jobs).values(quorum=1))


# Versions


def test_the_migrations_make_the_tables_that_the_program_uses(database_url: str) -> None:
    Store.migrate(database_url)
    store = Store(database_url)
    with store.writing() as database:
        assert compare_metadata(MigrationContext.configure(database), metadata) == []
    store.close()


def test_the_newest_migration_is_the_version_that_the_program_needs() -> None:
    config = Config()
    folder = Path(str(store_package.__file__)).with_name("migrations")
    config.set_main_option("script_location", str(folder))
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA_VERSION]


def test_migrating_again_keeps_everything(store: Store, store_url: str) -> None:
    store.write([created(), OutputStored(ONE, "web1", b"", b"")])
    Store.migrate(store_url)
    assert store.job("acme", ONE) == job()


def test_a_database_without_tables_is_refused(database_url: str) -> None:
    with pytest.raises(StoreError, match="push-jobs-server init"):
        Store(database_url)


def test_a_missing_file_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no database .*push-jobs-server init"):
        Store(sqlite_url(tmp_path))
    assert list(tmp_path.iterdir()) == []


def make_version(url: str, version: str) -> None:
    Store.migrate(url)
    store = Store(url)
    with store.writing() as database:
        database.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})
    store.close()


def test_an_older_database_is_refused(database_url: str) -> None:
    make_version(database_url, "0000")
    with pytest.raises(StoreError, match=f"older version .0000, needed: {SCHEMA_VERSION}.*migrate"):
        Store(database_url)


def test_a_newer_database_is_refused_and_not_touched(database_url: str) -> None:
    make_version(database_url, "9999")
    for attempt in (Store, Store.migrate):
        with pytest.raises(StoreError, match="newer push-jobs-server .version 9999"):
            attempt(database_url)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "push-jobs.db").write_bytes(b"something else entirely, and rather long" * 100)
    for attempt in (Store, Store.migrate):
        with pytest.raises(StoreError, match="not a database"):
            attempt(sqlite_url(tmp_path))


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    Store.migrate(sqlite_url(tmp_path))
    store = Store(sqlite_url(tmp_path))
    store.write([created()])
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}
    store.close()


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere/push-jobs.db: No such file"):
        Store.migrate(sqlite_url(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "url", ["", "push-jobs.db", "mysql://x/y", "sqlite://", "sqlite:///:memory:"]
)
def test_an_url_that_can_not_be_used_is_explained(url: str) -> None:
    with pytest.raises(StoreError, match="use sqlite:////.* or postgresql://"):
        Store(url)


def test_a_backup_of_the_running_database_is_complete(sqlite_store: Store, tmp_path: Path) -> None:
    sqlite_store.write([created()])
    source = sqlite3.connect(tmp_path / "push-jobs.db")
    copy = sqlite3.connect(tmp_path / "copy.db")
    source.backup(copy)
    copy.close()
    source.close()
    restored = Store(f"sqlite:///{tmp_path}/copy.db")
    assert restored.job("acme", ONE) == job()
    restored.close()
