"""Refused requests over Shovey: one line in the log, one in the audit trail, and no change."""

from __future__ import annotations

import logging
from typing import Any, Iterator, List, Tuple

import pytest
from shovey_desk import JOBS, NODE, OTHER, ShoveyDesk, open_shovey_desk

from push_jobs_server.audit import REFUSED

STRANGE = "00000000-0000-4000-8000-000000000000"
PIECE = {"seq": 0, "output": "x", "output_type": "stdout", "is_last": False}
Case = Tuple[str, Any, str, int]

CASES: List[Case] = [
    ("/shovey/stream/{job}/{node}", PIECE, NODE, 409),
    ("/shovey/stream/{job}/{node}", {**PIECE, "output_type": "stdin"}, NODE, 400),
    ("/shovey/stream/{job}/{node}", b"{", NODE, 400),
    ("/shovey/stream/{job}/{node}", {**PIECE, "seq": 1}, OTHER, 403),
    ("/shovey/jobs/{job}/{node}", {"status": "failed"}, OTHER, 403),
    ("/shovey/jobs/{job}/{node}", b"no JSON", NODE, 400),
    ("/shovey/jobs/" + STRANGE + "/{node}", {"status": "failed"}, NODE, 404),
    ("/shovey/jobs/{job}/" + OTHER, {"status": "failed"}, OTHER, 404),
    ("/shovey/jobs/cancel", {"run_id": STRANGE}, "alice", 404),
    ("/%73hovey//jobs/./%63ancel", {"run_id": STRANGE}, "alice", 404),
    ("/shovey/jobs/cancel", {"run_id": 1}, "alice", 400),
]


@pytest.fixture
def desk(sqlite_store_url: str) -> Iterator[ShoveyDesk]:
    with open_shovey_desk(sqlite_store_url) as made:
        made.beat(NODE)
        made.beat(OTHER)
        yield made


@pytest.mark.parametrize("path, body, who, status", CASES)
def test_a_refusal_is_logged_and_audited_once_and_changes_nothing(
    desk: ShoveyDesk, caplog: pytest.LogCaptureFixture, path: str, body: Any, who: str, status: int
) -> None:
    job = desk.start(NODE)
    desk.chunk(job, 0, "first")
    before = desk.run(job)
    caplog.clear()
    caplog.set_level(logging.INFO, "push_jobs_server.audit")
    reply = desk.call("PUT", path.format(job=job, node=NODE), body, who)
    assert reply.status == status
    desk.desk.wait_for_writer()
    [row] = [row for row in desk.audit() if row.result == REFUSED]
    assert (row.actor, row.details["status"]) == (who, status)
    assert row.action == ("job.cancel" if "ancel" in path else "request")
    [line] = [each.getMessage() for each in caplog.records if "refused" in each.getMessage()]
    assert who in line and str(status) in line and reply.error[0] in line
    assert desk.run(job) == before and desk.stream(job)["output"] == "first"


def test_looking_for_what_is_not_there_is_no_refusal(desk: ShoveyDesk) -> None:
    assert desk.call("GET", f"{JOBS}/{STRANGE}").status == 404
    desk.desk.wait_for_writer()
    assert [row for row in desk.audit() if row.result == REFUSED] == []


def refusal_of(desk: ShoveyDesk, node: str) -> Any:
    """What is shown of a node under ``refused``."""
    return desk.get(f"/organizations/acme/pushy/v1/nodes/{node}")["refusal"]


def test_a_node_whose_reports_are_refused_is_shown_so_until_one_is_accepted(
    desk: ShoveyDesk,
) -> None:
    job = desk.start(NODE)
    path, body = f"/shovey/jobs/{job}/{NODE}", {"status": "running"}
    for _ in range(2):
        assert desk.call("PUT", path, body, NODE, key=OTHER).status == 401
    shown = refusal_of(desk, NODE)
    assert (shown["kind"], shown["count"]) == ("bad_key", 2)
    assert shown["detail"].startswith("report refused: ") and refusal_of(desk, OTHER) is None
    assert desk.report(job, "running").status == 200
    assert refusal_of(desk, NODE) is None


def test_who_reports_for_another_node_says_nothing_of_that_node(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    path, body = f"/shovey/jobs/{job}/{NODE}", {"status": "running"}
    assert desk.call("PUT", path, body, OTHER, key=NODE).status == 401
    assert desk.call("PUT", path, body, OTHER).status == 403
    assert refusal_of(desk, NODE) is None and refusal_of(desk, OTHER) is None
