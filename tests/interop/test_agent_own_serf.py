"""Our agent over Serf under our own server: the same jobs, live output, the second signature."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Tuple

import pytest
from agent_process import AgentProcess
from house import House, open_house
from serf_cluster import SerfCluster
from serf_place import over_serf
from shovey_fixtures import open_serf
from shovey_node import sh, waits_for
from waiting import wait_until

pytestmark = pytest.mark.e2e

LONG_NAME = "a-name-of-forty-characters-for-a-command"

Own = Tuple[House, AgentProcess]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    """A server with a node over Serf that is up, and a Pushy node beside it."""
    with open_serf(tmp_path / "serf", profile="local") as cluster:
        (tmp_path / "house").mkdir()
        serf = cluster.add("server")
        settings = {"serf.organization": "acme", "serf.address": serf.rpc_address}
        with open_house(tmp_path / "house", **settings) as house:
            # A port that was taken as a free one can't be bound again soon; a chosen one can.
            assert house.stop_server() == 0
            house.start_server()
            yield house, node_over_serf(house, cluster, tmp_path)


def node_over_serf(house: House, cluster: SerfCluster, folder: Path) -> AgentProcess:
    go = folder / "go"
    whitelist = {
        LONG_NAME: sh("true"),
        "hello": sh("echo hello; echo oops >&2"),
        "fail": sh("exit 3"),
        "wait": sh(f"echo begun; {waits_for(go, 'echo done')}"),
    }
    settings = over_serf(house, cluster.add("node1"))
    agent = house.add_agent("node1", whitelist, abort_grace=0.3, **settings)
    house.add_agent("node2", whitelist)
    house.wait_available("node1", "node2")
    return agent


def settled(agent: AgentProcess) -> bool:
    runs = agent.state_dir / "serf" / "runs"
    return not agent.spooled() and not list(runs.glob("*.json"))


def test_jobs_over_serf(own: Own) -> None:
    house, agent = own
    done = house.push_jobs("job", "start", "hello", "node1", "node2", "--capture")
    assert done.code == 0, done.out + done.err
    assert done.out.count("hello") >= 1 and "oops" in done.out
    failed = house.wait_job(house.start_job("fail", "node1"))
    assert failed["nodes"][0]["status"] == "failed" and failed["nodes"][0]["exit_code"] == 3
    nacked = house.wait_job(house.start_job("unknown", "node1"))
    assert nacked["nodes"][0]["status"] == "nacked"
    wait_until(lambda: settled(agent), "an empty spool and journal")
    assert (agent.state_dir / "serf" / "sha256").exists()


def test_a_restart_and_a_cancel(own: Own) -> None:
    house, agent = own
    job = house.start_job("wait", "node1", "--capture")
    wait_until(lambda: house.job(job)["nodes"][0]["status"] == "running", "the start")
    agent.kill_session()
    agent.start()
    agent.wait_for_line("the runner is there", 2)
    done = house.push_jobs("job", "cancel", job)
    assert done.code == 0, done.err
    assert house.wait_job(job)["nodes"][0]["status"] == "aborted"
    wait_until(lambda: settled(agent), "an empty spool and journal")


def test_a_cancel_that_came_while_the_agent_was_away(own: Own) -> None:
    """Its Serf agent has it, and nobody beside that listened."""
    house, agent = own
    job = house.start_job("wait", "node1", "--capture")
    wait_until(lambda: house.job(job)["nodes"][0]["status"] == "running", "the start")
    agent.kill_session()
    assert house.push_jobs("job", "cancel", job).code == 0
    agent.start()
    # The command waits for a file that never comes: only the cancel can end it.
    wait_until(lambda: settled(agent), "an empty spool and journal")


def test_options_that_serf_cant_carry(own: Own) -> None:
    house, _ = own
    done = house.push_jobs("job", "start", "hello", "node1", "--user", "nobody")
    assert done.code != 0 and "a command over Serf can't carry user" in done.out


def test_a_server_that_was_restarted_still_knows_how_to_sign_for_our_agent(own: Own) -> None:
    house, agent = own
    job = house.start_job("wait", "node1", "--capture")
    wait_until(lambda: house.job(job)["nodes"][0]["status"] == "running", "the start")
    house.kill_server()
    house.start_server()
    assert house.push_jobs("job", "cancel", job).code == 0
    # The command waits for a file that never comes: only the cancel can end it.
    wait_until(lambda: settled(agent), "an empty spool and journal")
    assert house.wait_job(house.start_job("hello", "node1"))["status"] == "complete"


def test_a_command_with_a_long_name(own: Own) -> None:
    house, _ = own
    done = house.wait_job(house.start_job(LONG_NAME, "node1"))
    assert done["nodes"][0]["status"] == "succeeded", done
