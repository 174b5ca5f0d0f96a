"""Our agent under a goiardi that is away, forgets, or has many nodes; stopped; with two servers."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

import pytest
from counted import COUNTED
from gate import Gate
from goiardi_shovey import GoiardiShovey
from house import open_house
from serf_cluster import SerfCluster
from shovey_fixtures import open_serf, open_shovey
from shovey_node import ENDED, ShoveyNode, sh, shovey_id, waits_for
from waiting import wait_until

from push_jobs_wire import chef_auth

pytestmark = pytest.mark.e2e

Shovey = Tuple[GoiardiShovey, SerfCluster]

MANY = 50
"""Times that a job is repeated where much is compared."""
GOSSIP = 5.0
"""Seconds in which a query has reached a node, or never will."""


@pytest.fixture
def shovey_house(tmp_path: Path) -> Iterator[Shovey]:
    """A goiardi with Shovey, and its cluster."""
    # The faster profile for one machine loses queries when there are more than a few members.
    with open_serf(tmp_path / "serf", profile="lan") as cluster:
        with open_shovey(tmp_path / "goiardi", cluster) as server:
            yield server, cluster


@pytest.fixture
def nodes() -> Iterator[List[ShoveyNode]]:
    """The nodes of a test, which are closed after it."""
    made: List[ShoveyNode] = []
    yield made
    for node in made:
        node.close()
        node.print_log()


@pytest.mark.proves("G-6")
def test_reports_wait_for_a_server_that_is_away(
    shovey_house: Shovey, nodes: List[ShoveyNode], tmp_path: Path
) -> None:
    server, cluster = shovey_house
    gate = Gate(("127.0.0.1", server.peer.port))
    go = tmp_path / "go"
    whitelist = {"wait": sh(f"echo begun; {waits_for(go, 'echo done')}")}
    url = f"http://127.0.0.1:{gate.port}"
    node = ShoveyNode(tmp_path / "n", server, cluster, "node1", whitelist, shovey_url=url)
    nodes.append(node)
    node.up()
    job = server.start_job("wait", node.name)
    wait_until(lambda: node.run(job)["output"] == "begun\n", "output")
    gate.shut()
    go.touch()
    node.wait_for_line("could not report")
    node.kill_session()
    node.start()
    node.wait_for_line("the runner is there", 2)
    assert node.run(job)["status"] == "running" and node.journal() == [shovey_id(job)]
    gate.open()
    run = node.ended(job)
    assert (run["status"], run["output"]) == ("succeeded", "begun\ndone\n")
    wait_until(node.settled, "an empty spool and journal")
    gate.shut()


def test_a_goiardi_that_has_forgotten_all(
    shovey_house: Shovey, nodes: List[ShoveyNode], tmp_path: Path
) -> None:
    server, cluster = shovey_house
    go = tmp_path / "go"
    node = ShoveyNode(tmp_path / "n", server, cluster, "node1", {"wait": sh(waits_for(go))})
    nodes.append(node)
    node.up()
    job = server.start_job("wait", node.name)
    wait_until(lambda: node.run(job)["status"] == "running", "the start")
    server.peer.kill()
    go.touch()
    node.wait_for_line("could not report")
    server.peer.restart()
    wait_until(lambda: "401" in str(node.lines("could not report")), "an unknown node")
    public = chef_auth.load_private_key((node.folder / "web1.pem").read_bytes()).public_key()
    server.register(node.name, public)
    node.wait_for_line("the server knows nothing of a job")
    wait_until(node.settled, "an empty spool and journal")


@pytest.mark.parametrize("count", [1, 8])
def test_many_jobs(
    shovey_house: Shovey,
    nodes: List[ShoveyNode],
    tmp_path: Path,
    count: int,
    record_property: Callable[[str, object], None],
) -> None:
    server, cluster = shovey_house
    whitelist = {"print": sh("seq 1000; echo error >&2; exit $(( $$ % 2 ))")}
    for number in range(count):
        name = f"node{number}"
        nodes.append(ShoveyNode(tmp_path / name, server, cluster, name, whitelist))
        nodes[-1].start()
    server.wait_up(*(node.name for node in nodes))
    jobs = {}
    for _ in range(MANY):
        job = server.start_job("print", *(node.name for node in nodes))
        wait_ended(server, job, count)
        jobs[job] = [node for node in nodes if is_told(node, job)]
        for node in jobs[job]:
            check_output(node, job)
    for node in nodes:
        wait_until(node.settled, "an empty spool and journal", 60.0)
        ended = [line["job_id"] for line in node.lines("the server has the end of a job")]
        assert ended == [shovey_id(job) for job, told in jobs.items() if node in told]
        levels = {line["level"] for line in node.lines() if "heartbeats" not in line["event"]}
        assert levels <= {"info", "debug"}
    told = [job for job in jobs if len(jobs[job]) == count]
    left_open = [job for job in told if server.job(job)["status"] != "complete"]
    lost = f"Serf lost {MANY - len(told)}, goiardi left {len(left_open)} open: {left_open}"
    record_property(COUNTED, f"{MANY} jobs on {count} nodes: {lost}")
    assert len(told) >= MANY * 0.8


def wait_ended(server: GoiardiShovey, job: str, count: int) -> None:
    """Wait for the end on all nodes, or until a node that has said nothing has nothing to say."""
    deadline = time.monotonic() + GOSSIP

    def ended() -> bool:
        runs = server.job(job)["nodes"]
        over = sum(len(names) for status, names in runs.items() if status in ENDED)
        return over == count or time.monotonic() > deadline

    wait_until(ended, "a job or its loss")


def is_told(node: ShoveyNode, job: str) -> bool:
    """Whether the agent was told of a job; if not, then Serf has lost it, which it may."""
    asked = [line["job_id"] for line in node.lines("asked to run a job over Serf")]
    if shovey_id(job) in asked:
        return True
    heard = node.serf.log_file.read_text().count("Received event: query: shovey")
    assert heard == len(asked), "the Serf agent had it"
    return False


EXPECTED = "".join(f"{number}\n" for number in range(1, 1001))


def check_output(node: ShoveyNode, job: str) -> None:
    """Wait for the last chunks of a job, and see that all is there."""
    for stream, output in (("stdout", EXPECTED), ("stderr", "error\n")):
        wait_until(lambda: node.stream(job, stream)["is_last"], "the last chunk", 60.0)
        assert node.stream(job, stream)["output"] == output


@pytest.mark.proves("G-10")
def test_a_serf_agent_with_an_rpc_key(
    shovey_house: Shovey, nodes: List[ShoveyNode], tmp_path: Path
) -> None:
    whitelist = {"hello": "echo hello"}
    node = ShoveyNode(tmp_path / "n", *shovey_house, "node1", whitelist, serf_auth_key="secret")
    nodes.append(node)
    node.up()
    assert node.result("hello")["status"] == "succeeded"
    assert "secret" not in node.log_file.read_text()


def test_a_stopped_agent_waits_for_its_job(
    shovey_house: Shovey, nodes: List[ShoveyNode], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    whitelist = {"hello": "echo hello", "wait": sh(f"echo begun; {waits_for(go)}")}
    node = ShoveyNode(tmp_path / "n", *shovey_house, "node1", whitelist)
    nodes.append(node)
    node.up()
    job = node.server.start_job("wait", node.name)
    wait_until(lambda: node.run(job)["output"] == "begun\n", "output")
    node.signal(signal.SIGTERM)
    node.wait_for_line("signal")
    late = node.result("hello")
    assert (late["status"], late["error"]) == ("failed", "the agent of this node was stopping")
    go.touch()
    assert node.exit_code() == 0
    assert node.run(job)["status"] == "succeeded" and node.settled()


def test_one_agent_serves_two_servers(
    shovey_house: Shovey, nodes: List[ShoveyNode], tmp_path: Path
) -> None:
    server, cluster = shovey_house
    go: Dict[str, Path] = {name: tmp_path / f"go-{name}" for name in ("pushy", "serf")}
    whitelist = {name: sh(f"echo {name}; {waits_for(path)}") for name, path in go.items()}
    (tmp_path / "house").mkdir()
    with open_house(tmp_path / "house") as house:
        node = ShoveyNode(tmp_path / "n", server, cluster, "web1", whitelist)
        nodes.append(node)
        key = house.new_key("web1")
        server.register("web1", key.public_key())
        node.use_key(key)
        node.write_settings(chef_server_url=house.url, ca_file=str(house.data / "ca.crt"))
        node.up()
        house.wait_available("web1")
        over_serf = server.start_job("serf", "web1")
        over_pushy = house.start_job("pushy", "web1")
        wait_until(lambda: node.run(over_serf)["output"] == "serf\n", "output over Serf")
        wait_until(lambda: house.job(over_pushy)["status"] == "running", "a run over Pushy")
        assert len(node.spooled()) == 2 and node.journal() == [shovey_id(over_serf)]
        node.kill_session()
        node.start()
        node.wait_for_line("the runner is there", 2)
        for path in go.values():
            path.touch()
        assert node.ended(over_serf)["status"] == "succeeded"
        assert house.wait_job(over_pushy)["status"] == "complete"
        wait_until(node.settled, "an empty spool and journal")
        assert [node["status"] for node in house.job(over_pushy)["nodes"]] == ["succeeded"]
        assert node.lines("the server knows nothing of a job") == []
