"""The store: what must survive, in SQLite or PostgreSQL.

``Store`` reads and writes, ``writer.Writer`` is the one thread that writes.
"""

from push_jobs_server.store.errors import StoreError, StoreUnavailable
from push_jobs_server.store.store import Store

__all__ = ["Store", "StoreError", "StoreUnavailable"]
