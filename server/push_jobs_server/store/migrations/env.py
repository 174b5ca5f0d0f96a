"""Run by Alembic inside ``Store.migrate``: the connection and its transaction are given."""

from __future__ import annotations

from alembic import context

from push_jobs_server.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite can't alter most of a table in place: later revisions copy it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
