"""The main job with a real server, three real agents and our command line."""

from __future__ import annotations

import json
from typing import Iterator

import pytest
from house import House, open_house

pytestmark = pytest.mark.e2e

NODES = ("db1", "web1", "web2")
WHITELIST = {
    "hello": ["sh", "-c", 'echo "hello from $CHEF_PUSH_NODE_NAME"; echo careful >&2'],
    "web-fails": ["sh", "-c", "case $CHEF_PUSH_NODE_NAME in web*) exit 9;; esac"],
    "sleep": ["sleep", "60"],
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server with three agents, shared by the tests of this file."""
    with open_house(tmp_path_factory.mktemp("house")) as house:
        for node in NODES:
            house.add_agent(node, WHITELIST)
        yield house


@pytest.fixture(autouse=True)
def ready(house: House) -> None:
    """Each test finds all nodes available."""
    house.wait_available(*NODES)


def test_a_job_succeeds_on_all_nodes_and_shows_their_output(house: House) -> None:
    done = house.push_jobs("job", "start", "hello", *NODES, "--capture", "--format", "json")
    assert done.code == 0, done.err
    job = json.loads(done.out)
    assert job["status"] == "complete"
    assert [(n["name"], n["status"], n["exit_code"]) for n in job["nodes"]] == [
        (node, "succeeded", 0) for node in NODES
    ]
    for node in NODES:
        assert house.push_jobs("job", "output", job["id"], node).out.count(f"hello from {node}")
        with house.client() as client:
            assert client.output(job["id"], node) == f"hello from {node}\n".encode()
            assert client.output(job["id"], node, "stderr") == b"careful\n"


def test_a_failing_command_is_told_with_the_exit_code_of_each_node(house: House) -> None:
    done = house.push_jobs("job", "start", "web-fails", *NODES, "--format", "json")
    assert done.code == 3
    codes = {node["name"]: node["exit_code"] for node in json.loads(done.out)["nodes"]}
    assert codes == {"db1": 0, "web1": 9, "web2": 9}


def test_a_command_that_no_whitelist_has_is_not_permitted(house: House) -> None:
    done = house.push_jobs("job", "start", "rm -rf /", *NODES, "--format", "json")
    assert done.code == 7
    assert {node["status"] for node in json.loads(done.out)["nodes"]} == {"nacked"}


def test_a_job_with_too_few_nodes_runs_nowhere(house: House) -> None:
    done = house.push_jobs("job", "start", "hello", "web1", "nowhere", "--format", "json")
    assert done.code == 4
    job = json.loads(done.out)
    assert job["status"] == "quorum_failed"
    states = {node["name"]: node["status"] for node in job["nodes"]}
    assert states == {"nowhere": "unavailable", "web1": "was_ready"}


def test_a_job_that_lasts_too_long_times_out(house: House) -> None:
    done = house.push_jobs("job", "start", "sleep", "web1", "--timeout", "1s", "--format", "json")
    assert done.code == 5
    assert json.loads(done.out)["status"] == "timed_out"


def test_a_detached_job_is_found_again_by_the_beginning_of_its_id(house: House) -> None:
    job_id = house.start_job("hello", "web1", "--capture")
    house.wait_job(job_id)
    assert house.job(job_id[:12])["id"] == job_id
    assert "hello from web1" in house.push_jobs("job", "output", job_id[:12]).out


def test_nodes_are_listed_and_shown(house: House) -> None:
    lines = house.push_jobs("node", "list", "--format", "jsonl").out.splitlines()
    assert {json.loads(line)["name"] for line in lines} == set(NODES)
    shown = json.loads(house.push_jobs("node", "show", "web1", "--format", "json").out)
    assert shown["available"] is True
    unknown = json.loads(house.push_jobs("node", "show", "nowhere", "--format", "json").out)
    assert unknown["available"] is False
