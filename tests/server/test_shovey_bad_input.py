"""Bad input of the Shovey routes: an answer, a line in the log, a row, and nothing else."""

from __future__ import annotations

import logging
from typing import Any, Dict, Iterator, List, NamedTuple

import pytest
from shovey_desk import JOBS, NODE, OTHER, ShoveyDesk, open_shovey_desk

from push_jobs_server.audit import REFUSED
from push_jobs_server.logs import _Formatter

JOB, NOBODY = "{job}", "00000000-0000-0000-0000-000000000000"
RUN, STREAM = f"{JOBS}/{JOB}/{NODE}", f"/shovey/stream/{JOB}/{NODE}"
PIECE: Dict[str, Any] = {"seq": 0, "output": "x", "output_type": "stdout", "is_last": False}
START: Dict[str, Any] = {"command": "ls", "nodes": [NODE]}


class Case(NamedTuple):
    """A request that is refused; ``JOB`` stands for the job that runs."""

    status: int
    method: str
    path: str
    user: str = "alice"
    body: Any = None


CASES = [
    # Bodies
    Case(400, "POST", JOBS, body=b"{"),
    Case(400, "POST", JOBS, body=b"[1]"),
    Case(400, "POST", JOBS, body={**START, "command": 5}),
    Case(400, "POST", JOBS, body={**START, "nodes": "n1.local"}),
    Case(400, "POST", JOBS, body={**START, "nodes": [1]}),
    Case(400, "POST", JOBS, body={**START, "quorum": "abc"}),
    Case(400, "POST", JOBS, body={**START, "quorum": "-1"}),
    Case(400, "POST", JOBS, body={**START, "quorum": 2}),
    Case(400, "POST", JOBS, body={**START, "run_timeout": 0}),
    Case(413, "POST", JOBS, body=b" " * 1_000_001),
    Case(400, "PUT", JOBS + "/cancel", body={"run_id": 5}),
    Case(400, "PUT", JOBS + "/cancel", body={"run_id": JOB, "nodes": [1]}),
    Case(400, "PUT", RUN, NODE, b"{"),
    Case(400, "PUT", RUN, NODE, {"status": "succeeded", "chunks": 5}),
    Case(400, "PUT", STREAM, NODE, b"{"),
    Case(400, "PUT", STREAM, NODE, {**PIECE, "output": 5}),
    Case(400, "PUT", STREAM, NODE, {**PIECE, "output_type": "both"}),
    Case(400, "PUT", STREAM, NODE, {**PIECE, "is_last": "true"}),
    Case(400, "PUT", STREAM, NODE, {**PIECE, "seq": "1"}),
    Case(409, "PUT", STREAM, NODE, PIECE),
    # Who may
    Case(403, "PUT", RUN, OTHER, {"status": "succeeded"}),
    Case(403, "PUT", STREAM, OTHER, {**PIECE, "seq": 1}),
    Case(403, "PUT", JOBS + "/cancel", NODE, {"run_id": JOB}),
    Case(403, "POST", JOBS, "bob", START),
    Case(403, "GET", "/status/all/nodes", "bob"),
    Case(401, "GET", JOBS, "nobody"),
    # What is not there
    Case(404, "PUT", f"{JOBS}/a%0Ab%22%E2%80%A8/{NODE}", body={"status": "succeeded"}),
    Case(404, "PUT", f"{JOBS}/{NOBODY}/{NODE}", NODE, {"status": "succeeded"}),
    Case(404, "PUT", f"{JOBS}/{JOB}/{OTHER}", OTHER, {"status": "succeeded"}),
    Case(404, "PUT", f"/shovey/stream/{NOBODY}/{NODE}", NODE, PIECE),
    Case(404, "PUT", JOBS + "/cancel", body={"run_id": NOBODY}),
    Case(404, "PUT", JOBS + "/cancel", body={"run_id": JOB, "nodes": ["away"]}),
    Case(404, "PUT", JOBS + "/cancel", body={"run_id": JOB, "nodes": [NODE, "away"]}),
    # Requests that mean nothing
    Case(400, "GET", "/shovey/foo"),
    Case(405, "DELETE", f"{JOBS}/{JOB}"),
]


@pytest.fixture
def desk(store_url: str, caplog: pytest.LogCaptureFixture) -> Iterator[ShoveyDesk]:
    with open_shovey_desk(store_url) as made:
        made.beat(NODE)
        made.beat(OTHER)
        with caplog.at_level(logging.INFO, "push_jobs_server"):
            yield made


def filled(value: Any, job: str) -> Any:
    """A path or body with the id of the job that runs."""
    if isinstance(value, dict):
        return {name: filled(each, job) for name, each in value.items()}
    return value.replace(JOB, job) if isinstance(value, str) else value


def state(desk: ShoveyDesk, job: str) -> List[Any]:
    """All that a refused request could have changed."""
    stored = desk.desk.store.job("acme", job.replace("-", ""))
    pieces = [desk.stream(job, f"?output_type={kind}") for kind in ("stdout", "stderr")]
    return [stored, pieces, desk.get(JOBS), desk.run(job), list(desk.orders.taken)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method}-{case.path}")
def test_a_refusal_is_logged_and_audited_once_and_changes_nothing(
    desk: ShoveyDesk, caplog: pytest.LogCaptureFixture, case: Case
) -> None:
    job = desk.start(NODE)
    desk.report(job, "running")
    desk.chunk(job, 0, "begun")
    before = state(desk, job)
    caplog.clear()
    path = filled(case.path, job)
    key = {"key": "mallory"} if case.user == "nobody" else {}
    reply = desk.call(case.method, path, filled(case.body, job), case.user, **key)
    assert reply.status == case.status
    desk.desk.wait_for_writer()
    (row,) = [row for row in desk.audit() if row.result == REFUSED]
    assert (row.actor, row.details["status"], row.details["path"]) == (
        case.user,
        case.status,
        path,
    )
    (record,) = caplog.records
    what = f"{case.method} {path} of {case.user} ({row.address})"
    assert record.levelname == "INFO"
    assert record.getMessage() == f"refused {what}: {case.status} {reply.error[0]}"
    for as_json in (False, True):
        line = _Formatter(as_json).format(record)
        assert len(line.splitlines()) == 1 and line.isascii()
    assert state(desk, job) == before


def test_a_flood_of_refusals_is_counted_in_the_log_as_in_the_trail(
    desk: ShoveyDesk, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(30):
        desk.call("PUT", JOBS + "/cancel", {"run_id": NOBODY})
    desk.desk.refusals.flush(force=True)
    desk.desk.wait_for_writer()
    rows = [row for row in desk.audit() if row.result == REFUSED]
    assert len(caplog.records) == len(rows) == 11
    assert rows[-1].details["more"] == 20
    assert caplog.messages[-1] == f"refused 20 more requests of {rows[-1].address}"


def test_what_goiardi_takes_is_taken(desk: ShoveyDesk) -> None:
    """Members of wrong types that it answers with 200: as if they were not there."""
    job = desk.start(NODE, OTHER, quorum=["1"], run_timeout="5")
    stored = desk.desk.store.job("acme", job.replace("-", ""))
    assert stored is not None
    assert (stored.request.quorum, stored.request.run_timeout) == (2, 300)
    assert desk.call("PUT", f"{JOBS}/{job}/{NODE}", {"status": 5}, NODE).status == 200
    assert desk.run(job)["status"] == "created"
    assert desk.report(job, "failed", exit_status="x").status == 200
    assert desk.run(job)["status"] == "failed"
    reply = desk.call("PUT", JOBS + "/cancel", {"run_id": job, "nodes": "zz"})
    assert reply.json["nodes"] == {"failed": [NODE], "cancelled": [OTHER]}
