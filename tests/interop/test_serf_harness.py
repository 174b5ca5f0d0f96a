"""The harness for Shovey against the real programs: clusters of Serf agents, and goiardi on one."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Callable

import pytest
from goiardi_shovey import GoiardiShovey
from serf_cluster import SerfAgent, SerfCluster
from shovey_fixtures import open_serf
from waiting import wait_until

from push_jobs_wire import chef_auth

pytestmark = pytest.mark.e2e
Unique = Callable[[str], str]

BIG = "x" * 1100
"""A payload above Serf's own limit of 1024 bytes for queries."""

NOT_ENOUGH = r"Not enough nodes were up to execute job ([-0-9a-f]{36}) - got 0, needed at least 1"


def status(seen_by: SerfAgent, name: str) -> str:
    return seen_by.members().get(name, "unknown")


def test_agents_see_each_other(serf: SerfCluster) -> None:
    agents = serf.add_many(["n1", "n2", "n3"])
    serf.wait_members(3)
    for agent in agents:
        assert agent.members() == {"n1": "alive", "n2": "alive", "n3": "alive"}
    assert len({agent.rpc_address for agent in agents}) == 3
    assert agents[0].query("anything", "at all").acks == ["n1", "n2", "n3"]
    assert agents[0].query("anything", "at all", "n2").acks == ["n2"]
    agents[0].event("hello", "all")
    for agent in agents:
        wait_until(lambda: "Received event: user-event: hello" in agent.log(), agent.name)


def test_a_killed_agent_comes_back_under_its_name_and_addresses(serf: SerfCluster) -> None:
    first, second = serf.add_many(["n1", "n2"])
    serf.wait_members(2)
    for victim, other in ((second, first), (first, second)):
        places, process = (victim.gossip_address, victim.rpc_address), victim.pid
        victim.kill()
        assert not victim.running and victim.members() == {}
        wait_until(lambda: status(other, victim.name) == "failed", f"{victim.name} to be missed")
        victim.restart()
        serf.wait_members(2)
        assert (victim.gossip_address, victim.rpc_address) == places and victim.pid != process


def test_an_agent_stops_when_it_is_told_to(serf: SerfCluster) -> None:
    first, second = serf.add_many(["n1", "n2"])
    second.stop()
    assert not second.running and "Caught signal: terminated" in second.log()
    serf.wait_members(1)
    assert status(first, "n2") == "failed"


def test_an_agent_asks_for_its_key(tmp_path: Path) -> None:
    with open_serf(tmp_path, profile="local", auth_key="sesame") as cluster:
        agent = cluster.add("n1")
        assert agent.members() == {"n1": "alive"}
        refused = agent.serf("members", auth_key="")
        assert refused == (1, "Error retrieving members: Authentication required\n", "")
        assert "Invalid authentication token" in agent.serf("members", auth_key="wrong").out


def test_the_size_limit_of_queries_can_be_raised(serf: SerfCluster) -> None:
    usual = serf.add("n1")
    refused = usual.serf("query", "-timeout=100ms", "big", BIG)
    assert "query exceeds limit of 1024 bytes" in refused.out + refused.err
    large = serf.add("n2", query_size_limit=1350)
    assert large.query("big", BIG).acks == ["n1", "n2"]


def test_clusters_keep_their_addresses_apart_and_leave_nothing(tmp_path: Path) -> None:
    with open_serf(tmp_path / "a") as one, open_serf(tmp_path / "b") as other:
        agents = [one.add("n1"), other.add("n1")]
        assert agents[0].address != agents[1].address
        assert [agent.alive() for agent in agents] == [["n1"], ["n1"]]
    for agent in agents:
        assert not agent.running
        with socket.socket() as probe:
            assert probe.connect_ex((agent.address, agent.port)) != 0


def test_goiardi_records_a_heartbeat(shovey: GoiardiShovey, unique: Unique) -> None:
    node = unique("node")
    pem = shovey.create_node(node)
    assert "BEGIN RSA PRIVATE KEY" in pem
    assert shovey.status(node) == "new"
    payload = json.dumps({"node": node, "status": "up"}, separators=(",", ":"))
    replies = shovey.agent.query("node_status", payload)
    assert replies.responses == {"goiardi": '{"response":"ok"}'}
    shovey.wait_up(node)
    shovey.beat(node, "down")
    # The new client signs for itself; a list of jobs is for administrators.
    key = chef_auth.load_private_key(pem.encode())
    said = shovey.call("GET", "/shovey/jobs", user=node, key=key)
    assert (said.status, said.json) == (403, {"error": ["you cannot perform this action"]})


def test_goiardi_refuses_a_job_on_a_node_that_is_not_up(
    shovey: GoiardiShovey, unique: Unique
) -> None:
    node = unique("node")
    shovey.create_node(node)
    said = shovey.call("POST", "/shovey/jobs", {"command": "ls", "nodes": [node]})
    (text,) = said.json["error"]
    found = re.fullmatch(NOT_ENOUGH, text)
    assert said.status == 400 and found, said
    assert found[1] in shovey.must("GET", "/shovey/jobs")
    assert shovey.must("GET", f"/shovey/jobs/{found[1]}")["status"] == "quorum_failed"


def test_goiardi_sends_a_signed_query_to_a_node_that_is_up(
    shovey: GoiardiShovey, unique: Unique
) -> None:
    node = unique("node")
    key = chef_auth.load_private_key(shovey.create_node(node).encode())
    shovey.beat(node)
    job = shovey.start_job("ls", node)
    run = f"/shovey/jobs/{job}/{node}"
    assert shovey.must("GET", run)["status"] == "created"
    report = {"status": "succeeded", "exit_status": 0}
    assert shovey.call("PUT", run, report, user=node, key=key).status == 200
    assert shovey.must("GET", f"/shovey/jobs/{job}")["status"] == "complete"
    stream = f"/shovey/stream/{job}/{node}?sequence=0&output_type=stdout"
    assert shovey.must("GET", stream)["output"] == ""
    assert "BEGIN PUBLIC KEY" in shovey.signing_public_pem
