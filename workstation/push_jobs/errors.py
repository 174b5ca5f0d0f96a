"""Every error that this distribution raises; scripts need to know no foreign exception.

Texts are meant for people and safe to print: whatever came from outside was escaped before.
"""

from __future__ import annotations

from typing import Sequence, Tuple

from push_jobs.terminal import escape_line
from push_jobs_wire.errors import PushJobsError


class PushJobsClientError(PushJobsError):
    """The root: catch this one to catch them all."""


class UsageError(PushJobsClientError):
    """Raised when settings or arguments are wrong; ``problems`` has one text for each."""

    def __init__(self, *problems: str) -> None:
        self.problems: Tuple[str, ...] = problems
        super().__init__("\n".join(problems))


class AmbiguousId(UsageError):
    """Raised when an abbreviated job id fits several jobs; ``candidates`` are their ids."""

    def __init__(self, problem: str, candidates: Sequence[str]) -> None:
        self.candidates = tuple(candidates)
        super().__init__(problem)


class UnknownJob(PushJobsClientError):
    """Raised when the server has no such job in this organization."""


class ServerUnreachable(PushJobsClientError):
    """Raised when no answer came: ``address`` is HOST:PORT, ``reason`` says why.

    ``may_have_arrived`` is true when the request was possibly received before the connection broke.
    """

    def __init__(self, address: str, reason: str, may_have_arrived: bool = False) -> None:
        self.address = address
        self.reason = reason
        self.may_have_arrived = may_have_arrived
        super().__init__(f"cannot reach the server at {escape_line(address)}: {reason}")


class ConnectionLost(ServerUnreachable):
    """Raised when the connection broke after the request, before the whole answer had come."""

    def __init__(self, address: str) -> None:
        reason = "the connection was closed before the answer was complete"
        super().__init__(address, reason, may_have_arrived=True)


class UntrustedServer(ServerUnreachable):
    """Raised when the peer cannot prove that it is the server; no request was sent to it."""


class ApiError(PushJobsClientError):
    """Raised when the server refuses: ``status`` is HTTP's, ``messages`` its words, unescaped."""

    def __init__(self, status: int, messages: Sequence[str]) -> None:
        self.status = status
        self.messages = tuple(messages)
        words = "; ".join(escape_line(message) for message in messages) or "no reason was given"
        super().__init__(f"the server answered {status}: {words}")


class NotPermitted(ApiError):
    """Raised on 401 (the server does not believe who asks) and 403 (this user may not)."""


class BadAnswer(PushJobsClientError):
    """Raised when an answer is not what a push-jobs server sends."""


class WaitTimeout(PushJobsClientError):
    """Raised when a job has not ended within the time it was waited for; the job goes on."""
