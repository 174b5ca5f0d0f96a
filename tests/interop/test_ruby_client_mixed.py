"""One job on nodes of both kinds: two Ruby push clients and two of our agents."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any, DefaultDict, Dict, Iterator, List

import pytest
from house import House, open_house
from peer import Missing, skip
from ruby_client import add_ruby_client
from waiting import wait_until

pytestmark = pytest.mark.e2e

RUBY = ("ruby1", "ruby2")
OURS = ("web1", "web2")
NODES = (*RUBY, *OURS)
COMMANDS = {
    "hello": 'echo "hello from $CHEF_PUSH_NODE_NAME"; echo careful >&2',
    "one-fails": "case $CHEF_PUSH_NODE_NAME in *1) exit 9;; esac",
    "sleep": "sleep 60",
    "talk": "echo first; until [ -e go ]; do sleep 0.05; done; echo last",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server with four nodes; the second of each kind has a command that the first lacks."""
    with ExitStack() as stack:
        house = stack.enter_context(open_house(tmp_path_factory.mktemp("mixed")))
        for node in NODES:
            commands = {**COMMANDS, **({"rare": "true"} if node.endswith("2") else {})}
            if node in OURS:
                house.add_agent(node, {name: ["sh", "-c", do] for name, do in commands.items()})
            else:
                try:
                    stack.callback(add_ruby_client(house, node, commands).stop)
                except Missing as reason:
                    skip(reason)
        yield house


@pytest.fixture
def house(shared: House) -> House:
    """Each test finds all nodes available."""
    shared.wait_available(*NODES)
    return shared


def run_job(house: House, *words: str, code: int = 0) -> Dict[str, Any]:
    """Run a job on all nodes, which has to end with this exit code; the job as JSON."""
    done = house.push_jobs("job", "start", *words, *NODES, "--format", "json")
    assert done.code == code, done
    job: Dict[str, Any] = json.loads(done.out)
    return job


def words(job: Dict[str, Any]) -> Dict[str, str]:
    return {node["name"]: node["status"] for node in job["nodes"]}


def test_all_four_succeed(house: House) -> None:
    job = run_job(house, "hello", "--capture")
    assert (job["status"], words(job)) == ("complete", dict.fromkeys(NODES, "succeeded"))
    with house.client() as client:
        for node in NODES:
            assert client.output(job["id"], node) == f"hello from {node}\n".encode()
            assert client.output(job["id"], node, "stderr") == b"careful\n"


def test_lines_of_ours_come_live_and_those_of_ruby_with_its_result(
    house: House, tmp_path: Path
) -> None:
    heard: DefaultDict[str, List[bytes]] = defaultdict(list)
    with house.client() as client:
        options: Any = {"capture": True, "dir": str(tmp_path), "run_timeout": 60}
        job_id = client.start_job("talk", NODES, **options)
        for piece in client.follow_output(job_id):
            heard[piece.node].append(piece.data)
            if all(node in heard for node in OURS) and not (tmp_path / "go").exists():
                running = dict.fromkeys(NODES, "running")
                wait_until(lambda: words(house.job(job_id)) == running, "four running commands")
                assert dict(heard) == dict.fromkeys(OURS, [b"first\n"])
                (tmp_path / "go").touch()
        assert client.job(job_id).succeeded
    ours, ruby = [b"first\n", b"last\n"], [b"first\nlast\n"]
    assert heard == {**dict.fromkeys(OURS, ours), **dict.fromkeys(RUBY, ruby)}


def test_one_of_each_kind_fails_and_ours_says_how(house: House) -> None:
    job = run_job(house, "one-fails", code=3)
    assert [(n["name"], n["status"], n["exit_code"]) for n in job["nodes"]] == [
        ("ruby1", "failed", None),
        ("ruby2", "succeeded", None),
        ("web1", "failed", 9),
        ("web2", "succeeded", 0),
    ]


def test_half_of_the_nodes_are_a_quorum(house: House) -> None:
    job = run_job(house, "rare", "--quorum", "50%", code=3)
    assert job["status"] == "complete"
    assert words(job) == {
        "ruby1": "nacked",
        "ruby2": "succeeded",
        "web1": "nacked",
        "web2": "succeeded",
    }


def test_below_the_quorum_those_that_were_ready_do_nothing_and_take_the_next_job(
    house: House,
) -> None:
    job = run_job(house, "rare", "--quorum", "3", code=4)
    assert job["status"] == "quorum_failed"
    assert words(job) == {
        "ruby1": "nacked",
        "ruby2": "was_ready",
        "web1": "nacked",
        "web2": "was_ready",
    }
    house.wait_available(*NODES)
    assert run_job(house, "hello")["status"] == "complete"


def test_a_cancel_stops_all_four(house: House) -> None:
    job_id = house.start_job("sleep", *NODES)
    running = dict.fromkeys(NODES, "running")
    wait_until(lambda: words(house.job(job_id)) == running, "four running commands")
    assert house.push_jobs("job", "cancel", job_id).code == 0
    job = house.job(job_id)
    assert (job["status"], words(job)) == ("aborted", dict.fromkeys(NODES, "aborted"))
