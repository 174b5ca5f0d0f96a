"""What the API says of nodes that are really connected to its engine."""

from __future__ import annotations

from typing import Any, Iterator

import pytest
from api_desk import JOBS, PUSHY, Desk, open_desk
from memory_node import MemoryNode
from waiting import wait_until

from push_jobs_wire.states import NodeInput

STATES = PUSHY + "/node_states"


@pytest.fixture
def desk(sqlite_store_url: str) -> Iterator[Desk]:
    with open_desk(sqlite_store_url) as made:
        yield made


def wait_for(desk: Desk, target: str, expected: Any) -> None:
    wait_until(lambda: bool(desk.get(target).json == expected), f"{expected} at {target}")


def state(name: str, status: str, availability: str) -> Any:
    return {"node_name": name, "status": status, "availability": availability}


def listed(name: str, availability: str) -> Any:
    return {"node_name": name, "availability": availability}


def test_states_of_connected_nodes(desk: Desk) -> None:
    for name in ("web02", "web01"):
        MemoryNode(desk, name).become_available()
    MemoryNode(desk, "db1").beat()  # an old agent that has not said yet that nothing runs
    MemoryNode(desk, "web09", "other").become_available()
    both = [listed("web01", "available"), listed("web02", "available")]
    wait_for(desk, STATES, [listed("db1", "unavailable"), *both])
    assert desk.get(STATES + "/web01").json == state("web01", "online", "available")
    assert desk.get(STATES + "/db1").json == state("db1", "online", "unavailable")
    assert desk.get(STATES + "/web09").json == state("web09", "offline", "unavailable")
    others = "/organizations/other/pushy/node_states"
    wait_for(desk, others, [listed("web09", "available")])
    assert desk.call("GET", "/pushy/_status", None).json["node_fsm_count"] == 4


def test_a_node_with_a_job_stays_available(desk: Desk) -> None:
    node = MemoryNode(desk, "web01")
    node.become_available()
    wait_for(desk, STATES, [listed("web01", "available")])
    job = desk.post({"command": "true", "nodes": ["web01"]}).json["uri"][-32:]
    node.reply(NodeInput.ACK_COMMIT, job)
    node.reply(NodeInput.ACK_RUN, job)
    wait_until(
        lambda: bool(desk.get(f"{JOBS}/{job}").json["nodes"] == {"running": ["web01"]}), "the run"
    )
    assert desk.get(STATES + "/web01").json == state("web01", "online", "available")
    node.reply(NodeInput.SUCCEEDED, job)
    wait_until(
        lambda: bool(desk.get(f"{JOBS}/{job}").json["nodes"] == {"succeeded": ["web01"]}), "the end"
    )
    assert {"commit", "run"} <= set(node.heard())
