"""Our own routes about nodes: also those that are not there, and why."""

from __future__ import annotations

from typing import Any, Dict, Iterator
from urllib.parse import quote

import pytest
import zmq
from api_desk import PUSHY, Desk, open_desk, public_pem, signed
from memory_node import MemoryNode
from waiting import wait_until

NODES = PUSHY + "/v1/nodes"
CONFIG = PUSHY + "/config/web01?ccpk=" + quote(zmq.curve_keypair()[0].decode("ascii"), safe="")


@pytest.fixture
def desk(sqlite_store_url: str) -> Iterator[Desk]:
    with open_desk(sqlite_store_url) as made:
        yield made


def show(desk: Desk, name: str = "web01") -> Dict[str, Any]:
    reply = desk.get(f"{NODES}/{name}")
    assert reply.status == 200
    document: Dict[str, Any] = reply.json
    return document


def join(desk: Desk, name: str = "web01") -> MemoryNode:
    node = MemoryNode(desk, name)
    node.become_available()
    wait_until(lambda: bool(show(desk, name)["available"]), f"{name} available")
    return node


def test_a_registered_node_that_was_never_seen(desk: Desk) -> None:
    assert show(desk) == {
        "name": "web01",
        "state": "never_seen",
        "available": False,
        "registered": True,
        "since": None,
        "reason": None,
        "seen_at": None,
        "settings_fetched_at": None,
        "last_down": None,
        "refusal": None,
        "version": None,
        "platform": None,
        "extensions": None,
        "says_job": None,
        "jobs": [],
        "spool": None,
        "runnable": None,
    }


def test_any_other_name_is_answered_and_not_registered(desk: Desk) -> None:
    for name in ("nobody", "alice", "a%2Fb"):
        node = show(desk, name)
        assert (node["state"], node["registered"]) == ("never_seen", False)


def test_a_node_that_is_up(desk: Desk) -> None:
    join(desk)
    node = show(desk)
    assert (node["state"], node["registered"], node["extensions"]) == ("up", True, 0)
    assert node["since"] <= node["seen_at"] and node["settings_fetched_at"] <= node["since"]
    assert desk.get("/organizations/other/pushy/v1/nodes").json == {"nodes": []}


def test_the_list_has_all_nodes_without_what_only_one_needs(desk: Desk) -> None:
    desk.identity.create_client("acme", "db1", public_pem("db1"))
    join(desk, "web02")
    nodes = {node["name"]: node for node in desk.get(NODES).json["nodes"]}
    states = {name: node["state"] for name, node in nodes.items()}
    assert states == {"db1": "never_seen", "web01": "never_seen", "web02": "up"}
    assert list(nodes) == sorted(nodes)
    alone = show(desk, "web02")
    assert set(alone) - set(nodes["web02"]) == {"spool", "runnable"}


def test_a_deleted_client_that_is_known_still_is_not_registered(desk: Desk) -> None:
    join(desk)
    desk.identity.delete_client("acme", "web01")
    node = show(desk)
    assert (node["state"], node["registered"]) == ("up", False)
    (listed,) = desk.get(NODES).json["nodes"]
    assert listed["registered"] is False


def test_what_is_known_outlives_the_server(sqlite_store_url: str) -> None:
    with open_desk(sqlite_store_url) as desk:
        join(desk)
        before = show(desk)
    with open_desk(sqlite_store_url) as desk:
        after = show(desk)
    assert after["state"] == "down"
    assert after["reason"] == "nothing was heard of it since the server was started"
    assert after["seen_at"] >= before["seen_at"]
    assert after["settings_fetched_at"] == before["settings_fetched_at"]


def test_a_clock_that_is_wrong(desk: Desk) -> None:
    assert desk.get(CONFIG, "web01", age=2000.0).status == 401
    refusal = show(desk)["refusal"]
    assert refusal["kind"] == "bad_clock" and abs(refusal["clock_offset"] + 2000) < 30
    assert "Synchronize the clock" in refusal["detail"]


def test_a_key_that_is_wrong_is_counted(desk: Desk) -> None:
    for _ in range(2):
        headers = signed("GET", CONFIG, "web01", key="mallory")
        assert desk.call("GET", CONFIG, None, headers=headers).status == 401
    refusal = show(desk)["refusal"]
    assert (refusal["kind"], refusal["count"]) == ("bad_key", 2)
    assert "Invalid signature for user or client 'web01'" in refusal["detail"]


def test_a_name_that_nobody_has_registered(desk: Desk) -> None:
    target = CONFIG.replace("web01", "web77")
    assert desk.get(target, "web77").status == 401
    node = show(desk, "web77")
    assert (node["state"], node["registered"]) == ("never_seen", False)
    assert "Failed to authenticate as 'web77'" in node["refusal"]["detail"]
    assert "web77" not in [each["name"] for each in desk.get(NODES).json["nodes"]]


def test_a_refusal_of_somebody_else_is_not_the_nodes(desk: Desk) -> None:
    assert desk.get(CONFIG, "mallory").status == 403
    assert show(desk)["refusal"] is None


@pytest.mark.parametrize("target", [NODES, NODES + "/web01"])
def test_who_may_read(desk: Desk, target: str) -> None:
    assert desk.get(target, "bob").status == 200
    assert desk.get(target, "mallory").status == 403
    assert desk.get(target, headers={"Accept": "text/plain"}).status == 406
    wrong = desk.call("POST", target, body=b"{}")
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET")
    desk.identity.create_group("acme", "pushy_job_readers")
    assert desk.get(target, "bob").status == 403
