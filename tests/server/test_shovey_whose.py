"""Whose runs these are: other organizations, namesakes of nodes, and jobs that left the memory."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Tuple

import pytest
from api_desk import public_pem
from shovey_desk import JOBS, NODE, ShoveyDesk, open_shovey_desk
from stored_jobs import created, job_id
from waiting import wait_until

from push_jobs_server import serf_parts
from push_jobs_server.records import Change, JobChanged
from push_jobs_server.serf_records import SerfRun
from push_jobs_server.settings import TABLE
from push_jobs_server.store import Store
from push_jobs_server.store.serf_reads import SerfReads
from push_jobs_wire.shovey import job_uuid
from push_jobs_wire.states import JobStatus

PIECE: Dict[str, Any] = {"seq": 0, "output": "x", "output_type": "stdout", "is_last": True}
LINGER = 0.05


@pytest.fixture
def desk(store_url: str) -> Iterator[ShoveyDesk]:
    with open_shovey_desk(store_url, job_linger=LINGER) as made:
        made.beat(NODE)
        yield made


def runs_of_two_organizations() -> List[Change]:
    """Jobs 1 and 3 of ``acme``, of which 3 has ended, and job 2 of ``other``."""
    changes: List[Change] = [JobChanged(job_id(3), JobStatus.COMPLETE, 2.0)]
    for number, org in ((1, "acme"), (2, "other"), (3, "acme")):
        changes += [created(number, (NODE,), org=org), SerfRun(job_id(number), NODE)]
    return changes


# Other organizations


@pytest.mark.parametrize(
    "path, user, body",
    [
        ("{jobs}/{run}/{node}", NODE, {"status": "succeeded"}),
        ("{jobs}/{run}/{node}", "alice", {"status": "succeeded"}),
        ("/shovey/stream/{run}/{node}", NODE, PIECE),
        ("/shovey/stream/{run}/{node}", "alice", PIECE),
        ("{jobs}/cancel", "alice", {"run_id": "{run}"}),
        ("{jobs}/cancel", "alice", {"run_id": "{run}", "nodes": [NODE]}),
    ],
)
def test_a_run_of_another_organization_is_not_there(
    desk: ShoveyDesk, path: str, user: str, body: Dict[str, Any]
) -> None:
    """``alice`` is an administrator there, too; the routes serve one organization."""
    store, other = desk.desk.store, job_id(2)
    store.write(runs_of_two_organizations())
    before = store.job("other", other)
    run = job_uuid(other)
    if "run_id" in body:
        body = {**body, "run_id": run}
    reply = desk.call("PUT", path.format(jobs=JOBS, run=run, node=NODE), body, user)
    assert (reply.status, reply.error) == (404, [f"shovey job {run} not found"])
    desk.desk.wait_for_writer()
    assert before is not None and store.job("other", other) == before
    assert SerfReads(store).arrivals(other, NODE, 0) == [] and desk.orders.taken == []


def test_open_runs_are_those_of_the_organization(store: Store) -> None:
    store.write(runs_of_two_organizations())
    reads = SerfReads(store)
    assert reads.open_runs("acme") == {(job_id(1), NODE)}
    assert reads.open_runs("other") == {(job_id(2), NODE)}
    for org, number in (("acme", 1), ("other", 2)):
        settings = TABLE.parse({"serf": {"organization": org}}, "test", "/")
        assert serf_parts.known(settings, store).runs == [(job_id(number), NODE)]


# Namesakes


def test_a_user_with_the_name_of_a_node_is_not_that_node(desk: ShoveyDesk) -> None:
    identity = desk.desk.identity
    identity.create_user(NODE, public_pem("namesake"))
    identity.add_user_to_org("acme", NODE)
    job = desk.start(NODE)
    paths: Tuple[Tuple[str, Dict[str, Any]], ...] = (
        (f"/shovey/stream/{job}/{NODE}", PIECE),
        (f"{JOBS}/{job}/{NODE}", {"status": "succeeded"}),
    )
    for path, body in paths:
        assert desk.call("PUT", path, body, NODE, key="namesake").status == 403
    part = desk.run(job)
    assert (part["status"], part["output"]) == ("created", "")
    for path, body in paths:
        assert desk.call("PUT", path, body, NODE).status == 200
    part = desk.run(job)
    assert (part["status"], part["output"]) == ("succeeded", "x")


# Jobs that left the memory


def in_memory(desk: ShoveyDesk, job: str) -> bool:
    found: List[bool] = []
    desk.tell(lambda engine: found.append(job in engine.jobs.by_id))
    return found[0]


def test_a_late_result_of_a_job_that_left_the_memory_is_shown(desk: ShoveyDesk) -> None:
    run = desk.start(NODE)
    job = run.replace("-", "")
    desk.report(run, "running")
    desk.call("PUT", JOBS + "/cancel", {"run_id": run})
    wait_until(lambda: not in_memory(desk, job), "the job to leave the memory")
    path = f"/organizations/acme/pushy/v1/jobs/{job}"
    (part,) = desk.get(path)["nodes"]
    assert (part["status"], part["late"]) == ("aborted", None)
    assert desk.report(run, "failed", exit_status=7, error="exit status 7").status == 200
    (part,) = desk.get(path)["nodes"]
    assert part["status"] == "aborted" and part["late"]["status"] == "failed"
    assert (part["late"]["exit_code"], part["late"]["reason"]) == (7, "exit status 7")
    assert desk.run(run)["status"] == "cancelled"
