"""Databases for the tests of the server."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Iterator

import pytest
from databases import Missing, Postgres, sqlite_url
from sqlalchemy import delete

from push_jobs_server.store import Store
from push_jobs_server.store.tables import identity_version, metadata


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for this test process; missing is a failure in CI, else a skip."""
    try:
        server = Postgres()
    except Missing as reason:
        if os.environ.get("CI"):
            pytest.fail(str(reason))
        pytest.skip(str(reason))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgresql_with_tables(postgres: Postgres) -> Iterator[str]:
    """One database with tables for many tests: making another one takes 150 ms."""
    with postgres.database() as url:
        Store.migrate(url)
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with tables, to be copied for each test."""
    folder = tmp_path_factory.mktemp("template")
    Store.migrate(sqlite_url(folder))
    (made,) = folder.iterdir()
    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Tests that take it, or a fixture below, run on both."""
    return str(request.param)


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, database_kind: str, tmp_path: Path
) -> Iterator[str]:
    """The URL of an empty database."""
    if database_kind == "sqlite":
        yield sqlite_url(tmp_path)
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database() as url:
        yield url


@pytest.fixture
def store_url(request: pytest.FixtureRequest, database_kind: str) -> str:
    """The URL of a database with empty tables. Tests that change tables take ``database_url``."""
    return str(request.getfixturevalue(f"{database_kind}_store_url"))


@pytest.fixture
def sqlite_store_url(sqlite_template: Path, tmp_path: Path) -> str:
    """As ``store_url``, on SQLite only."""
    shutil.copy2(sqlite_template, tmp_path)
    return sqlite_url(tmp_path)


@pytest.fixture
def postgresql_store_url(postgresql_with_tables: str) -> str:
    """As ``store_url``, on PostgreSQL only."""
    store = Store(postgresql_with_tables)
    with store.writing() as database:
        for table in reversed(metadata.sorted_tables):
            if table is not identity_version:  # its one row is part of the schema
                database.execute(delete(table))
    store.close()
    return postgresql_with_tables


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store."""
    opened = Store(store_url)
    yield opened
    opened.close()
