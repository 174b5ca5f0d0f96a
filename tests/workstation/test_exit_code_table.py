"""Scripts rely on the exit codes: the whole table is fixed here."""

from __future__ import annotations

from typing import List

import pytest
from pushy_stub import Record
from stub_jobs import NOT_STARTED

from push_jobs import exit_codes
from push_jobs.errors import (
    AmbiguousId,
    ApiError,
    BadAnswer,
    NotPermitted,
    PushJobsClientError,
    ServerUnreachable,
    UnknownJob,
    UntrustedServer,
    UsageError,
)
from push_jobs.models import Job
from push_jobs.reading import read_job


def job(status: str, nodes: List[str]) -> Job:
    """Return a job whose nodes have these statuses."""
    members = [{**NOT_STARTED, "name": f"n{at}", "status": word} for at, word in enumerate(nodes)]
    record: Record = {
        "id": "0" * 32,
        "command": "true",
        "status": status,
        "requestor": "alice",
        "requestor_kind": "user",
        "quorum": 1,
        "run_timeout": 60,
        "capture": False,
        "created_at": "2024-05-14T09:26:53Z",
        "updated_at": "2024-05-14T09:26:53Z",
        "file_specified": False,
        "nodes": members,
    }
    return read_job(record)


@pytest.mark.parametrize(
    "status, nodes, code",
    [
        ("complete", ["succeeded", "succeeded"], 0),
        ("complete", ["succeeded", "failed"], 3),
        ("complete", ["succeeded", "crashed"], 3),
        ("complete", ["succeeded", "unavailable"], 3),
        ("complete", ["succeeded", "nacked"], 3),
        ("complete", ["timed_out"], 3),
        ("complete", ["unavailable"], 3),
        ("complete", ["nacked", "nacked"], 7),
        ("quorum_failed", ["nacked", "was_ready"], 4),
        ("quorum_failed", ["unavailable"], 4),
        ("quorum_failed", ["nacked", "nacked"], 7),
        ("timed_out", ["timed_out", "succeeded"], 5),
        ("aborted", ["aborted", "succeeded"], 6),
        ("crashed", ["crashed"], 1),
    ],
)
def test_how_a_job_ended(status: str, nodes: List[str], code: int) -> None:
    assert exit_codes.of_job(job(status, nodes)) == code


@pytest.mark.parametrize("status", ["new", "voting", "running"])
def test_a_job_that_goes_on_has_no_exit_code(status: str) -> None:
    with pytest.raises(ValueError):
        exit_codes.of_job(job(status, ["new"]))


@pytest.mark.parametrize(
    "error, code",
    [
        (PushJobsClientError("x"), 1),
        (ApiError(500, []), 1),
        (BadAnswer("x"), 1),
        (UnknownJob("x"), 1),
        (UsageError("x"), 2),
        (AmbiguousId("x", []), 2),
        (NotPermitted(403, []), 7),
        (NotPermitted(401, []), 7),
        (ServerUnreachable("h:1", "x"), 8),
        (UntrustedServer("h:1", "x"), 8),
    ],
)
def test_what_ends_a_command(error: PushJobsClientError, code: int) -> None:
    assert exit_codes.of_error(error) == code


def test_every_code_has_a_meaning() -> None:
    assert list(exit_codes.MEANINGS) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 130]
