"""The version of a database's tables: read, compared, brought up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from push_jobs_server.store.connections import Connections
from push_jobs_server.store.errors import StoreError
from push_jobs_server.store.tables import SCHEMA_VERSION


def check(connections: Connections) -> None:
    """Raise StoreError, which says what to do, unless the tables are those of this program."""
    if connections.file_missing():
        raise StoreError(f"there is no database {connections.name}; {_MAKE}")
    with connections.reading() as connection:
        version = _version(connection)
    _refuse_newer(connections.name, version)
    if version is None:
        raise StoreError(f"the database {connections.name} has no tables of push-jobs yet; {_MAKE}")
    if version < SCHEMA_VERSION:
        raise StoreError(
            f"the database {connections.name} is of an older version ({version}, needed: "
            f"{SCHEMA_VERSION}); make a copy of it, then run push-jobs-server migrate"
        )


def migrate(connections: Connections) -> None:
    """Make the tables, or bring them up to date, in one transaction."""
    # Only here: a running server doesn't need Alembic, and it takes a moment to load.
    from alembic import command
    from alembic.config import Config

    connections.make_file()
    config = Config()
    # ConfigParser reads % as the start of a reference.
    folder = str(Path(__file__).with_name("migrations")).replace("%", "%%")
    config.set_main_option("script_location", folder)
    with connections.writing() as connection:
        _refuse_newer(connections.name, _version(connection))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


_MAKE = "run push-jobs-server init to make one"


def _refuse_newer(name: str, version: Optional[str]) -> None:
    if version is not None and version > SCHEMA_VERSION:
        raise StoreError(
            f"the database {name} was written by a newer push-jobs-server (version {version}, "
            f"known here: {SCHEMA_VERSION}); install that one, or restore an older copy"
        )


def _version(connection: Connection) -> Optional[str]:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if version is None else str(version)
