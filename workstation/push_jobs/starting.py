"""Sends the request that starts a job until it is answered, and still starts one job only.

A lost answer does not tell whether the job was stored. The very same signed request is sent again,
with the same ``Idempotency-Key``: a server that has the job answers with it.
"""

from __future__ import annotations

import secrets
import time
from typing import Callable, Iterator, Optional

from push_jobs.connection import Connection
from push_jobs.errors import ApiError, PushJobsClientError, ServerUnreachable, UntrustedServer

START_PATIENCE = 30.0
"""Seconds for which a start is sent again when its answer got lost or the server is busy."""

_TEMPORARY = (502, 503, 504)
_DOUBT = "the job may have started all the same: see the list of jobs"


def temporary(error: PushJobsClientError) -> bool:
    """Return whether the same request may succeed a little later."""
    if isinstance(error, ApiError):
        return error.status in _TEMPORARY
    return not isinstance(error, UntrustedServer)


def send_start(
    connection: Connection,
    body: bytes,
    patience: float,
    on_trouble: Optional[Callable[[PushJobsClientError], None]],
) -> object:
    """Return the parsed answer to the start of a job; ``patience`` is in seconds.

    ``on_trouble`` is called each time before it is sent again. Raises PushJobsClientError.
    """
    headers = {"Idempotency-Key": secrets.token_urlsafe(24)}
    request = connection.prepare_post("/pushy/jobs", body, headers)
    deadline: Optional[float] = None
    in_doubt = reached = False
    for pause in _pauses():
        try:
            return connection.submit_json(request)
        except (ServerUnreachable, ApiError) as error:
            in_doubt = in_doubt or _in_doubt(error)
            reached = reached or in_doubt or isinstance(error, ApiError)
            now = time.monotonic()
            deadline = now + patience if deadline is None else deadline
            if not (reached and temporary(error)) or now + pause > deadline:
                if not in_doubt:
                    raise
                raise _doubtful(error) from error
            if on_trouble is not None:
                on_trouble(error)
        time.sleep(pause)
    raise AssertionError("the pauses never end")


def _pauses() -> Iterator[float]:
    pause = 0.2
    while True:
        yield pause
        pause = min(2 * pause, 5.0)


def _in_doubt(error: PushJobsClientError) -> bool:
    """Whether a server may have stored the job although it did not say so."""
    if isinstance(error, ServerUnreachable):
        return error.may_have_arrived
    return isinstance(error, ApiError) and error.status in (502, 504)


def _doubtful(error: PushJobsClientError) -> PushJobsClientError:
    """Return the error with the words that the job may have started."""
    if isinstance(error, ServerUnreachable):
        reason = f"{error.reason}; {_DOUBT}"
        return ServerUnreachable(error.address, reason, may_have_arrived=True)
    if isinstance(error, ApiError) and temporary(error):
        return ApiError(error.status, [*error.messages, _DOUBT])
    return error
