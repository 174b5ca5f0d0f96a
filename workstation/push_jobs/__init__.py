"""The push-jobs command line and a small Python client library.

Scripts need ``push_jobs.Client`` and ``push_jobs.PushJobsClientError``, nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from push_jobs.client import Client
    from push_jobs.errors import PushJobsClientError

__all__ = ["Client", "PushJobsClientError"]

_HOMES = {"Client": "push_jobs.client", "PushJobsClientError": "push_jobs.errors"}


def __getattr__(name: str) -> Any:
    """Load when needed: ``push_jobs.entry`` has to begin before slow modules are loaded."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
