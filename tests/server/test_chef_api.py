"""The HTTP API with identities from a Chef server (a scripted stand-in, not a real program)."""

from __future__ import annotations

import logging
from typing import Iterator

import pytest
from api_desk import JOBS, PUSHY, Desk, key_of, open_desk
from chef_stub import ChefStub

from push_jobs_server.identity.chef import ChefIdentity
from push_jobs_server.identity.chef_http import ChefHttp, Signer
from push_jobs_server.identity.chef_places import Places

ORG = "/organizations/acme"
STATES = PUSHY + "/node_states"
CONFIG = PUSHY + "/config/web?ccpk=" + "k" * 40
JOB = {"command": "chef-client", "nodes": ["web"]}


@pytest.fixture
def stub() -> Iterator[ChefStub]:
    """A Chef server: alice is an administrator, bob a user, web a client."""
    made = ChefStub()
    made.org("acme")
    made.principals(ORG, "alice", ("user", "alice", True))
    made.principals(ORG, "bob", ("user", "bob", True))
    made.principals(ORG, "web", ("client", "web", True))
    made.group(ORG, "admins", users=("alice",))
    yield made
    made.close()


@pytest.fixture
def desk(sqlite_store_url: str, stub: ChefStub) -> Iterator[Desk]:
    """An API that asks that server."""
    http = ChefHttp(Signer("pushjobs", key_of("pushjobs"), "1.3"), None)
    chef = ChefIdentity(http, Places(stub.url, ()), 20.0)
    with open_desk(sqlite_store_url, source=chef) as made:
        yield made
    chef.close()


def test_members_read_and_admins_start_jobs(desk: Desk) -> None:
    assert desk.get(STATES, "bob").json == []
    assert desk.post(JOB, "bob").status == 403
    assert desk.post(JOB, "alice").status == 201


@pytest.mark.proves("A-8a", "A-8b")
def test_groups_of_the_chef_server_decide_when_there_are_some(desk: Desk, stub: ChefStub) -> None:
    stub.group(ORG, "pushy_job_readers", groups=("team",))
    stub.group(ORG, "pushy_job_writers", groups=("team",))
    stub.group(ORG, "team", users=("bob",))
    assert desk.get(STATES, "bob").status == 200
    assert desk.post(JOB, "bob").status == 201
    assert desk.get(STATES, "alice").status == 403
    assert desk.post(JOB, "alice").status == 403


def test_a_node_gets_its_settings_with_its_own_key(desk: Desk) -> None:
    assert desk.get(CONFIG, "web").json["node"] == "web"
    assert desk.get(CONFIG.replace("/web?", "/db?"), "web").status == 403
    assert desk.get(CONFIG, "web", key="stranger").status == 401


@pytest.mark.proves("A-7")
def test_who_is_unknown_or_not_in_the_organization(desk: Desk, stub: ChefStub) -> None:
    stub.principals(ORG, "carol", ("user", "carol", False))
    stub.group(ORG, "pushy_job_readers", users=("carol",), clients=("dave-node", "dave"))
    stub.principals(ORG, "dave", ("user", "dave", False), ("client", "dave-node", True))
    other = STATES.replace("acme", "other")
    assert desk.get(other).error == ["organization 'other' does not exist."]
    reply = desk.get(STATES, "mallory")
    assert reply.status == 401
    assert reply.error[0].startswith("Failed to authenticate as 'mallory'.")
    reply = desk.get(STATES, "carol", key="stranger")
    assert (reply.status, reply.error) == (
        403,
        ["'carol' is not associated with organization 'acme'"],
    )
    assert desk.get(STATES, "dave").status == 401
    assert desk.get(STATES, "dave", key="dave-node").status == 200


def test_a_user_and_a_client_of_one_name_are_told_apart_by_their_keys(
    desk: Desk, stub: ChefStub
) -> None:
    stub.principals(ORG, "web", ("user", "web-user", True), ("client", "web", True))
    stub.group(ORG, "admins", users=("web",))
    assert desk.post(JOB, "web", key="web").status == 403
    assert desk.post(JOB, "web", key="web-user").status == 201
    assert desk.get(CONFIG.replace("/web?", "/db?"), "web", key="web").status == 403
    assert desk.get(CONFIG.replace("/web?", "/db?"), "web", key="web-user").status == 200


def test_a_second_key_counts_until_it_is_taken_away(desk: Desk, stub: ChefStub) -> None:
    stub.principals(ORG, "bob", ("user", "bob", True), ("user", "laptop", True))
    assert desk.get(STATES, "bob", key="laptop").status == 200
    assert desk.get(STATES, "bob", key="bob").status == 200
    stub.principals(ORG, "bob", ("user", "laptop", True))
    assert desk.get(STATES, "bob", key="bob").status == 401
    stub.principals(ORG, "bob", ("user", "laptop", False))
    assert desk.get(STATES, "bob", key="laptop").status == 403


@pytest.mark.parametrize(
    "path, what", [("", "key"), ("/principals/alice", "key"), ("/groups/admins", "group")]
)
def test_502_tells_the_reason(
    desk: Desk, stub: ChefStub, caplog: pytest.LogCaptureFixture, path: str, what: str
) -> None:
    stub.answer(ORG + path, {"error": ["missing read permission"]}, 403)
    with caplog.at_level(logging.WARNING):
        reply = desk.post(JOB)
    assert reply.status == 502
    (text,) = reply.error
    start = f"Failed to connect to erchef to get {what}: GET {stub.url}{ORG}{path}: it refuses us"
    assert text.startswith(start)
    assert text.split(": ", 1)[1] in caplog.text
    assert "PRIVATE" not in caplog.text and "X-Ops" not in caplog.text
    stub.org("acme")
    assert desk.get(JOBS, "bob").json == []


def test_502_when_the_server_is_away(desk: Desk, stub: ChefStub) -> None:
    stub.close()
    reply = desk.get(STATES)
    assert reply.status == 502
    assert "it cannot be reached: Connection refused" in reply.error[0]


def test_502_when_what_it_says_of_a_node_is_nonsense(desk: Desk, stub: ChefStub) -> None:
    stub.answer(ORG + "/principals/web77", b"<html>", 200)
    reply = desk.get(PUSHY + "/v1/nodes/web77")
    assert reply.status == 502
    assert reply.error[0].startswith("Failed to connect to erchef to get clients: GET ")
    assert reply.error[0].endswith("its answer is not JSON")
