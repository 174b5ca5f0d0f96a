"""Organizations can't see, name or answer for one another: every route is tried."""

from __future__ import annotations

import logging
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from api_desk import Desk, open_desk, public_pem, signed
from memory_node import MemoryNode
from waiting import wait_until

from push_jobs_server.records import NodeChanged, OutputStored
from push_jobs_wire.states import NodeInput, NodeStatus

ACME, OTHER = "/organizations/acme/pushy", "/organizations/other/pushy"
CCPK = "?ccpk=rq:rM%3E%7DU%3F%40Lns47E1%25kR.o%40n%25FcmmsL%2F%40%7BH8%5Dyf7"
JOB = {"command": "secret-command", "nodes": ["web01"], "capture_output": True}
NO_ACCESS = "'bob' is not associated with organization 'other'"


@pytest.fixture
def desk(sqlite_store_url: str, caplog: pytest.LogCaptureFixture) -> Iterator[Desk]:
    """bob may do everything in acme, alice in both; web01 is a client of acme alone."""
    with open_desk(sqlite_store_url) as made:
        made.identity.add_to_group("acme", "admins", "user", "bob")
        yield made
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def others_job(desk: Desk) -> str:
    """A job of the other organization with output, and with a node that has acme's name."""
    reply = desk.call("POST", OTHER + "/jobs", body=b'{"command":"secret","nodes":["web01"]}')
    job = str(reply.json["uri"][-32:])
    wait_until(lambda: "unavailable" in desk.get(f"{OTHER}/jobs/{job}").json["nodes"], "its end")
    ended = NodeChanged(job, "web01", NodeStatus.SUCCEEDED)
    desk.store.write([ended, OutputStored(job, "web01", b"secret", b"secret")])
    return job


def of_jobs(job: str) -> List[Tuple[str, str]]:
    output = f"/jobs/{job}/output/web01/"
    return [
        ("GET", f"/jobs/{job}"),
        ("GET", f"/jobs/{job}?include_file=true"),
        ("GET", output + "stdout"),
        ("GET", output + "stderr"),
        ("GET", f"/v1/jobs/{job}"),
        ("GET", f"/v1/jobs/{job}/output_feed"),
        ("GET", f"/job_status_feed/{job}"),
        ("POST", f"/v1/jobs/{job}/cancel"),
    ]


def test_the_jobs_of_another_organization_are_not_there(desk: Desk) -> None:
    job = others_job(desk)
    for method, path in of_jobs(job):
        assert desk.call(method, OTHER + path).status == 200, path
        for user in ("alice", "bob", "web01"):
            reply = desk.call(method, ACME + path, user)
            refused = 403 if (method, user) == ("POST", "web01") else 404
            assert reply.status == refused, path
            assert b"secret" not in reply.body
    assert desk.get(ACME + "/jobs").json == []
    assert desk.get(f"{OTHER}/jobs/{job}").json["id"] == job


EVERYTHING: List[Tuple[str, str, Dict[str, Any]]] = [
    ("GET", "/jobs", {}),
    ("POST", "/jobs", {"body": b'{"command":"x","nodes":["web01"]}'}),
    ("GET", "/v1/jobs", {}),
    ("GET", "/job_status_feed", {}),
    ("GET", "/node_states", {}),
    ("GET", "/node_states/web01", {}),
    ("GET", "/v1/nodes", {}),
    ("GET", "/v1/nodes/web01", {}),
    ("GET", "/config/web01" + CCPK, {}),
    ("GET", "/config/bob" + CCPK, {}),
    ("GET", "/connect/web01" + CCPK, {}),
]


def test_who_is_not_in_an_organization_gets_nothing_there(desk: Desk) -> None:
    job = others_job(desk)
    nothing: Dict[str, Any] = {}
    routes = EVERYTHING + [(method, path, nothing) for method, path in of_jobs(job)]
    for method, path, options in routes:
        reply = desk.call(method, OTHER + path, "bob", **options)
        assert (reply.status, reply.error) == (403, [NO_ACCESS]), path
        reply = desk.call(method, OTHER + path, "web01", **options)
        assert reply.status == 401, "a client exists in its own organization only"
    assert [each["id"] for each in desk.get(OTHER + "/jobs").json] == [job]


def test_a_client_of_the_same_name_is_somebody_else(desk: Desk) -> None:
    desk.identity.create_client("other", "web01", public_pem("web02"))
    assert desk.get(OTHER + "/jobs", "web01").status == 401
    assert desk.get(OTHER + "/jobs", "web01", key="web02").status == 200
    assert desk.get(ACME + "/jobs", "web01", key="web02").status == 401
    assert desk.get(OTHER + "/config/web01" + CCPK, "web01").status == 401


def test_a_signature_counts_for_one_path_only(desk: Desk) -> None:
    # alice is in both: what she signed for one must not do the same in the other.
    headers = signed("GET", ACME + "/jobs")
    assert desk.send("GET", ACME + "/jobs", b"", headers).status == 200
    assert desk.send("GET", OTHER + "/jobs", b"", headers).status == 401


def test_groups_of_one_organization_give_no_right_in_another(desk: Desk) -> None:
    desk.identity.add_user_to_org("other", "bob")
    desk.identity.create_group("acme", "pushy_job_writers")
    desk.identity.add_to_group("acme", "pushy_job_writers", "user", "bob")
    body = b'{"command":"x","nodes":["web01"]}'
    assert desk.call("POST", ACME + "/jobs", "bob", body=body).status == 201
    assert desk.call("POST", OTHER + "/jobs", "bob", body=body).status == 403


def test_nodes_are_seen_in_their_organization_only(desk: Desk) -> None:
    MemoryNode(desk, "db9", "other").become_available()
    wait_until(lambda: bool(desk.get(OTHER + "/node_states").json), "the node")
    assert desk.get(ACME + "/node_states").json == []
    assert desk.get(ACME + "/node_states/db9").json["status"] == "offline"
    # A job can name it, but that is the node of this name in its own organization: nobody.
    job = desk.call("POST", ACME + "/jobs", body=b'{"command":"x","nodes":["db9"]}').json["uri"]
    wait_until(
        lambda: bool(desk.get(f"{ACME}/jobs/{job[-32:]}").json["status"] == "quorum_failed"), "end"
    )


def test_a_node_can_not_answer_for_one_of_another_organization(desk: Desk) -> None:
    desk.identity.create_client("other", "web01", public_pem("web01"))
    mine, stranger = MemoryNode(desk, "web01"), MemoryNode(desk, "web01", "other")
    for node in (mine, stranger):
        node.become_available()
    wait_until(lambda: len(desk.get(OTHER + "/node_states").json) == 1, "the stranger")
    wait_until(lambda: len(desk.get(ACME + "/node_states").json) == 1, "the node")
    reply = desk.call("POST", ACME + "/jobs", body=b'{"command":"x","nodes":["web01"]}')
    job = reply.json["uri"][-32:]
    shown = f"{ACME}/jobs/{job}"
    for kind in (NodeInput.NACK_COMMIT, NodeInput.ACK_COMMIT, NodeInput.SUCCEEDED):
        stranger.reply(kind, job)
    for _ in range(2):  # the second answer comes after everything that was said before the first
        desk.get(ACME + "/node_states")
    assert desk.get(shown).json["nodes"] == {"new": ["web01"]}
    mine.reply(NodeInput.ACK_COMMIT, job)
    mine.reply(NodeInput.ACK_RUN, job)
    wait_until(lambda: bool(desk.get(shown).json["nodes"] == {"running": ["web01"]}), "the run")
