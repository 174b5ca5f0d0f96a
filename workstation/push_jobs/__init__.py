"""The push-jobs command line and a small Python client library.

Scripts need ``push_jobs.Client`` and ``push_jobs.PushJobsClientError``, nothing else.
"""

from push_jobs.client import Client
from push_jobs.errors import PushJobsClientError

__all__ = ["Client", "PushJobsClientError"]
