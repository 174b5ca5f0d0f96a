"""The Shovey API beyond the recorded exchanges: what ours promises."""

from __future__ import annotations

import json
from typing import Any, Iterator

import pytest
from api_desk import public_pem
from shovey_desk import JOBS, NODE, OTHER, ShoveyDesk, open_shovey_desk

from push_jobs_server.api.services import Failure
from push_jobs_server.api.shovey_body import read_quorum
from push_jobs_server.audit import REFUSED
from push_jobs_server.engine.serf_orders import NodeKind
from push_jobs_server.serf_records import SerfRun
from push_jobs_server.store.serf_reads import SerfReads


@pytest.fixture
def desk(store_url: str) -> Iterator[ShoveyDesk]:
    with open_shovey_desk(store_url, max_output=4096) as made:
        made.beat(NODE)
        made.beat(OTHER)
        yield made


# Starting


def test_the_life_of_a_job(desk: ShoveyDesk) -> None:
    job = desk.start(NODE, OTHER, command="backup", run_timeout=7)
    (order,) = desk.orders.taken
    assert (order.action, order.command, order.timeout) == ("start", "backup", 7)
    assert order.nodes == (NODE, OTHER) and order.kind is NodeKind.OTHER
    assert desk.get(f"{JOBS}/{job}")["nodes"] == {"created": [NODE, OTHER]}
    desk.report(job, "running")
    assert desk.get(f"{JOBS}/{job}")["nodes"] == {"running": [NODE], "created": [OTHER]}
    desk.report(job, "failed", exit_status=3, error="exit status 3")
    desk.report(job, "nacked", OTHER, error="command backup not in whitelist")
    shown = desk.get(f"{JOBS}/{job}")
    assert shown["status"] == "complete"
    assert shown["nodes"] == {"failed": [NODE], "nacked": [OTHER]}
    part = desk.run(job)
    assert (part["exit_status"], part["error"]) == (3, "exit status 3")
    assert part["end_time"] > shown["created_at"] and part["ack_time"].startswith("0001-")


def test_the_pushy_routes_show_the_same_job(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    desk.report(job, "running")
    desk.chunk(job, 0, "hello\n")
    desk.chunk(job, 1, "world\n", is_last=True)
    desk.report(job, "succeeded", exit_status=0)
    path = f"/organizations/acme/pushy/jobs/{job.replace('-', '')}"
    assert desk.get(path)["nodes"] == {"succeeded": [NODE]}
    octets = {"Accept": "application/octet-stream"}
    reply = desk.call("GET", f"{path}/output/{NODE}/stdout", headers=octets)
    assert reply.body == b"hello\nworld\n"


def test_a_job_of_the_pushy_route_runs_on_nodes_over_serf(desk: ShoveyDesk) -> None:
    assert desk.desk.post({"command": "ls", "nodes": [NODE]}).status == 201
    desk.desk.wait_for_writer()  # nothing is sent before the node's part is stored
    assert [order.nodes for order in desk.orders.taken] == [(NODE,)]
    states = desk.get("/organizations/acme/pushy/node_states")
    assert states == [{"node_name": n, "availability": "available"} for n in (NODE, OTHER)]


@pytest.mark.parametrize(
    "quorum, nodes, needed",
    [
        ("75%", 3, 3),
        ("7%", 100, 7),
        ("33.3%", 3, 1),
        ("5.%", 20, 1),
        ("0%", 3, 0),
        ("1.9", 2, 1),
        ("1e0", 2, 1),
        (2, 3, 2),
        (0.5, 3, 0),
        (None, 3, 3),
        (True, 3, 3),
        ([], 3, 3),
        ("150%", 2, 3),
    ],
)
def test_quorums(quorum: Any, nodes: int, needed: int) -> None:
    assert read_quorum(quorum, nodes) == needed


@pytest.mark.parametrize(
    "quorum",
    ["abc", "", "%", " 1", "0x1", "NaN", "inf", "-inf", "-1", -1, 4, "4", "1e300", "9" * 400],
)
def test_quorums_that_are_refused(quorum: Any) -> None:
    with pytest.raises(Failure) as refused:
        read_quorum(quorum, 3)
    assert refused.value.status == 400


def test_a_missed_quorum_says_how_many_and_runs_nothing(desk: ShoveyDesk) -> None:
    body = {"command": "ls", "nodes": [NODE, "away"], "quorum": "100%"}
    reply, again = desk.twice(body)
    assert reply.status == 400
    (words,) = reply.error
    (job,) = desk.get(JOBS)
    assert words == (f"Not enough nodes were up to execute job {job} - got 1, needed at least 2")
    assert desk.orders.taken == []
    shown = desk.get(f"{JOBS}/{job}")
    assert (shown["status"], shown["nodes"]) == ("quorum_failed", {})
    assert (again.status, again.error) == (400, [words])


def test_a_quorum_of_zero_sends_nothing_to_nobody(desk: ShoveyDesk) -> None:
    job = desk.start("away", quorum="0")
    assert desk.orders.taken == []
    shown = desk.get(f"{JOBS}/{job}")
    assert (shown["status"], shown["nodes"]) == ("complete", {"down": ["away"]})


def test_nodes_that_came_twice_run_once(desk: ShoveyDesk) -> None:
    job = desk.start(NODE, NODE, OTHER)
    assert [order.nodes for order in desk.orders.taken] == [(NODE, OTHER)]
    assert desk.get(f"{JOBS}/{job}")["nodes"] == {"created": [NODE, OTHER]}


def test_an_agent_that_is_away_fails_a_start_at_once(desk: ShoveyDesk) -> None:
    reason = "the Serf agent of this server (127.0.0.1:7373) is away: Connection refused"
    desk.tell(lambda engine: setattr(engine.serf, "problem", reason))
    reply = desk.call("POST", JOBS, {"command": "ls", "nodes": [NODE]})
    assert (reply.status, reply.error) == (503, [reason])
    assert desk.get(JOBS) == [] and desk.orders.taken == []


def test_what_the_agent_refuses_ends_the_parts(desk: ShoveyDesk) -> None:
    job = desk.start(NODE, OTHER)
    (order,) = desk.orders.taken
    reason = "query exceeds limit of 1024 bytes"
    desk.tell(lambda engine: engine.serf.refused(order, (NODE,), reason))
    assert desk.get(f"{JOBS}/{job}")["nodes"] == {"failed": [NODE], "created": [OTHER]}
    assert desk.run(job)["error"] == reason


def test_a_repeated_signed_start_is_one_job(desk: ShoveyDesk) -> None:
    first, second = desk.twice({"command": "ls", "nodes": [NODE]})
    assert first.json == second.json and len(desk.orders.taken) == 1


# Who may do what


def test_readers_read_and_writers_write(desk: ShoveyDesk) -> None:
    identity = desk.desk.identity
    assert desk.call("GET", JOBS, user="bob").status == 403
    identity.create_group("acme", "pushy_job_readers")
    identity.add_to_group("acme", "pushy_job_readers", "user", "bob")
    assert desk.call("GET", JOBS, user="bob").status == 200
    assert desk.call("GET", "/status/all/nodes", user="bob").status == 200
    body = {"command": "ls", "nodes": [NODE]}
    assert desk.call("POST", JOBS, body, user="bob").status == 403
    identity.create_group("acme", "pushy_job_writers")
    identity.add_to_group("acme", "pushy_job_writers", "user", "bob")
    assert desk.call("POST", JOBS, body, user="bob").status == 200
    assert desk.call("POST", JOBS, body, user="alice").status == 403


def test_only_the_node_itself_and_operators_report(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    path = f"{JOBS}/{job}/{NODE}"
    stream = f"/shovey/stream/{job}/{NODE}"
    piece = {"seq": 0, "output": "x", "output_type": "stdout", "is_last": True}
    for user in (OTHER, "bob"):
        assert desk.call("PUT", path, {"status": "succeeded"}, user).status == 403
        assert desk.call("PUT", stream, piece, user).status == 403
    assert desk.run(job)["status"] == "created"
    assert desk.call("PUT", stream, piece, NODE).status == 200
    assert desk.call("PUT", path, {"status": "succeeded"}, "alice").status == 200
    assert desk.run(job)["status"] == "succeeded"


def test_a_user_with_the_name_of_a_node_is_not_the_node(desk: ShoveyDesk) -> None:
    desk.desk.identity.create_user(NODE, public_pem("laptop"))
    desk.desk.identity.add_user_to_org("acme", NODE)
    job = desk.start(NODE)
    path = f"{JOBS}/{job}/{NODE}"
    assert desk.call("PUT", path, {"status": "failed"}, NODE, key="laptop").status == 403
    assert desk.run(job)["status"] == "created"
    assert desk.call("PUT", path, {"status": "failed"}, NODE).status == 200


def test_refused_requests_are_in_the_audit_trail(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    desk.call("PUT", JOBS + "/cancel", {"run_id": job}, NODE)
    desk.call("PUT", f"{JOBS}/{job}/{NODE}", {"status": "failed"}, OTHER)
    desk.desk.wait_for_writer()
    rows = [row for row in desk.audit() if row.result == REFUSED]
    assert [(row.action, row.actor) for row in rows] == [("job.cancel", NODE), ("request", OTHER)]


def test_jobs_of_another_organization_are_not_there(desk: ShoveyDesk) -> None:
    path = "/organizations/other/pushy/jobs"
    body = json.dumps({"command": "ls", "nodes": ["a"]}).encode()
    made = desk.desk.call("POST", path, body=body)
    job_id = str(made.json["uri"]).rsplit("/", 1)[1]
    run_id = "-".join((job_id[:8], job_id[8:12], job_id[12:16], job_id[16:20], job_id[20:]))
    assert desk.call("GET", f"{JOBS}/{run_id}").status == 404
    assert desk.get(JOBS) == []
    desk.desk.store.write([SerfRun(job_id, "a")])  # of a time when it was the other one's turn
    piece = {"seq": 0, "output": "x", "output_type": "stdout", "is_last": True}
    for path, content in (
        (f"{JOBS}/{run_id}/a", {"status": "failed"}),
        (f"/shovey/stream/{run_id}/a", piece),
        (f"{JOBS}/cancel", {"run_id": run_id}),
    ):
        assert desk.call("PUT", path, content).status == 404
    reads = SerfReads(desk.desk.store)
    assert reads.open_runs("acme") == set()


# Reports


def test_a_result_is_final_and_a_later_one_stays_beside_it(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    desk.report(job, "succeeded", exit_status=0)
    assert desk.report(job, "failed", exit_status=9, error="late").status == 200
    assert desk.report(job, "running").status == 200
    part = desk.run(job)
    assert (part["status"], part["exit_status"], part["error"]) == ("succeeded", 0, "")


@pytest.mark.parametrize(
    "word, status",
    [
        ("invalid", "failed"),
        ("nacked", "nacked"),
        ("shutdown", "nacked"),
        ("killed", "crashed"),
        ("bad_fh", "failed"),
    ],
)
def test_every_word_for_an_end_ends_the_job(desk: ShoveyDesk, word: str, status: str) -> None:
    job = desk.start(NODE)
    desk.report(job, word, error="because")
    part = desk.run(job)
    assert (part["status"], part["error"]) == (word, "because")
    assert desk.get(f"{JOBS}/{job}")["status"] == "complete"
    ours = desk.get(f"/organizations/acme/pushy/v1/jobs/{job.replace('-', '')}")
    assert [node["status"] for node in ours["nodes"]] == [status]
    assert desk.stream(job)["is_last"] is (word != "bad_fh")


def test_words_that_mean_nothing_change_nothing(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    desk.report(job, "running")
    assert desk.report(job, "weird").status == 200
    assert desk.run(job)["status"] == "running"


def test_a_report_about_a_node_that_was_down_is_not_there(desk: ShoveyDesk) -> None:
    job = desk.start(NODE, "web01", quorum=1)
    assert desk.report(job, "succeeded", "web01").status == 404
    part = desk.run(job, "web01")
    assert (part["status"], part["exit_status"], part["output"]) == ("down", 0, "")
    desk.desk.skew = 10.0
    desk.report(job, "succeeded")
    # It ended when the job began.
    assert desk.run(job, "web01")["end_time"] == desk.get(f"{JOBS}/{job}")["created_at"]


def test_a_node_that_says_no_more_than_that_it_runs_has_failed(desk: ShoveyDesk) -> None:
    job = desk.start(NODE, OTHER, run_timeout=1)
    desk.report(job, "running")
    job_id = job.replace("-", "")
    desk.tell(lambda engine: engine.jobs.by_id[job_id].tick(engine.now + 3600.0))
    assert [desk.run(job, node)["status"] for node in (NODE, OTHER)] == ["failed", "failed"]
    assert desk.get(f"{JOBS}/{job}")["nodes"] == {"failed": [NODE, OTHER]}


@pytest.mark.parametrize(
    "seconds, known", [(0.5, True), (0, True), (-1, False), (True, False), ("1", False)]
)
def test_an_end_may_tell_how_long_the_run_took(desk: ShoveyDesk, seconds: Any, known: bool) -> None:
    job = desk.start(NODE)
    assert desk.report(job, "succeeded", exit_status=0, seconds=seconds).status == 200
    stored = desk.desk.store.job("acme", job.replace("-", ""))
    assert stored is not None
    outcome = stored.nodes[NODE].outcome
    assert outcome.ended_at is not None
    assert outcome.started_at == (outcome.ended_at - seconds if known else None)


def test_acknowledgement_and_report_in_any_order(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    desk.report(job, "invalid", error="x")
    desk.tell(lambda engine: engine.serf.acked(job.replace("-", ""), NODE))
    part = desk.run(job)
    assert part["status"] == "invalid" and not part["ack_time"].startswith("0001-")


# Cancel


def test_a_cancel_counts_at_once_and_is_sent(desk: ShoveyDesk) -> None:
    job = desk.start(NODE, OTHER)
    desk.report(job, "running")
    reply = desk.call("PUT", JOBS + "/cancel", {"run_id": job, "nodes": [NODE]})
    assert reply.json["nodes"] == {"cancelled": [NODE], "created": [OTHER]}
    assert reply.json["status"] == "running"
    assert [(each.action, each.nodes) for each in desk.orders.taken[1:]] == [("cancel", (NODE,))]
    assert desk.report(job, "failed", exit_status=255, error="signal: interrupt").status == 200
    assert desk.run(job)["status"] == "cancelled"
    desk.call("PUT", JOBS + "/cancel", {"run_id": job})
    assert desk.get(f"{JOBS}/{job}")["status"] == "cancelled"
    again = desk.call("PUT", JOBS + "/cancel", {"run_id": job})
    assert (again.status, again.json["status"]) == (200, "cancelled")


def test_our_own_cancel_says_that_the_node_was_told(desk: ShoveyDesk) -> None:
    job = desk.start(NODE).replace("-", "")
    path = f"/organizations/acme/pushy/v1/jobs/{job}/cancel"
    (node,) = desk.call("POST", path).json["nodes"]
    assert node == {"name": NODE, "cancel": "requested", "status": "aborted"}


def test_a_complete_job_stays_complete(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    desk.report(job, "succeeded")
    reply = desk.call("PUT", JOBS + "/cancel", {"run_id": job})
    assert (reply.status, reply.json["status"]) == (200, "complete")


# Statuses


def test_statuses_newest_first_and_bounded(desk: ShoveyDesk) -> None:
    for _ in range(120):
        desk.beat(NODE)
    desk.tell(lambda engine: engine.serf.gone(NODE, "its Serf agent failed"))
    found = desk.get(f"/status/node/{NODE}/all")
    assert [each["status"] for each in found[:2]] == ["down", "up"]
    assert len(found) == 100
    assert desk.get(f"/status/node/{NODE}/latest") == found[0]
    (first, second, third) = desk.get("/status/all/nodes")
    assert first["url"] == f"https://push.test/status/node/{NODE}/latest"
    assert (first["status"], second["status"]) == ("down", "up")
    assert third == {"node_name": "web01", "status": "no record"}
    assert desk.call("GET", "/status/node/web01/latest").status == 404


def test_a_heartbeat_that_says_down_is_not_believed(desk: ShoveyDesk) -> None:
    desk.beat(NODE, "down")
    assert desk.get(f"/status/node/{NODE}/latest")["status"] == "up"
