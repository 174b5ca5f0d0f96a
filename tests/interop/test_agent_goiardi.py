"""Our agent works under an unmodified goiardi and Serf, in place of schob.

One node alone: what is gossiped in the fast profile is lost at times when there are more members.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import psutil
import pytest
from goiardi_shovey import GoiardiShovey
from serf_cluster import SerfCluster
from shovey_fixtures import open_serf, open_shovey
from shovey_node import ShoveyNode, sh, waits_for
from waiting import wait_until

pytestmark = pytest.mark.e2e

House = Tuple[GoiardiShovey, SerfCluster]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A goiardi with Shovey, and its cluster."""
    folder = tmp_path_factory.mktemp("agent-goiardi")
    with open_serf(folder / "serf", profile="local") as cluster:
        with open_shovey(folder / "goiardi", cluster) as server:
            yield server, cluster


@pytest.fixture(scope="module")
def node(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShoveyNode]:
    """A node that is up."""
    folder = tmp_path_factory.mktemp("node") / "n"
    made = ShoveyNode(folder, *house, "node1.example.com", whitelist(folder), abort_grace=0.3)
    yield from running(made)


def running(node: ShoveyNode) -> Iterator[ShoveyNode]:
    try:
        node.up()
        yield node
    finally:
        node.close()
        node.print_log()


def whitelist(folder: Path) -> Dict[str, Any]:
    return {
        "hello": sh("echo hello; echo oops >&2"),
        "big": sh("head -c 300000 /dev/zero | tr '\\0' x; printf 'Grüße €'"),
        "fail": sh("exit 3"),
        "die": sh("kill -9 $$"),
        "gone": "/no/such/program",
        "wait": sh(f"echo begun; {waits_for(folder / 'go', 'echo done')}"),
        "tree": sh(f"echo begun; (trap '' TERM; {waits_for(folder / 'never')}) & wait"),
        "sleep": "sleep 600",
    }


@pytest.mark.proves("G-2", "G-4")
def test_output_and_success(node: ShoveyNode) -> None:
    run = node.result("hello")
    assert (run["status"], run["exit_status"], run["error"]) == ("succeeded", 0, "")
    assert (run["output"], run["stderr"]) == ("hello\n", "oops\n")
    assert node.stream(run["run_id"])["is_last"]
    assert node.stream(run["run_id"], "stderr")["is_last"]
    wait_until(node.settled, "an empty spool and journal")


@pytest.mark.proves("G-5a")
def test_much_output_is_complete(node: ShoveyNode) -> None:
    run = node.result("big")
    assert run["output"] == "x" * 300000 + "Grüße €"


@pytest.mark.proves("G-4")
@pytest.mark.parametrize(
    "command, status, exit_status, error",
    [
        ("fail", "failed", 3, "exit status 3"),
        ("die", "failed", 255, "signal: killed"),
        ("unknown", "nacked", 0, "command unknown not in whitelist"),
        ("gone", "invalid", 0, "cannot run '/no/such/program': No such file or directory"),
    ],
)
def test_other_ends(
    node: ShoveyNode, command: str, status: str, exit_status: int, error: str
) -> None:
    run = node.result(command)
    assert (run["status"], run["exit_status"], run["error"]) == (status, exit_status, error)
    assert node.server.must("GET", f"/shovey/jobs/{run['run_id']}")["status"] == "complete"
    wait_until(node.settled, "an empty spool and journal")


def test_a_timeout(node: ShoveyNode) -> None:
    run = node.result("sleep", run_timeout=1)
    text = f"Job {run['run_id']} on node {node.name} timed out"
    assert (run["status"], run["exit_status"], run["error"]) == ("failed", 0, text)


@pytest.mark.proves("G-8")
def test_a_cancel_ends_the_whole_tree_and_changes_nothing_else(node: ShoveyNode) -> None:
    job = node.server.start_job("tree", node.name)
    wait_until(lambda: node.run(job)["output"] == "begun\n", "output")
    assert node.run(job)["status"] == "running"
    shown = node.server.must("PUT", "/shovey/jobs/cancel", {"run_id": job})
    assert shown["status"] == "cancelled"
    wait_until(node.settled, "an empty spool and journal")
    assert scripts_of(node) == []
    assert (node.run(job)["status"], node.stream(job)["is_last"]) == ("cancelled", True)
    assert node.server.must("GET", f"/shovey/jobs/{job}")["status"] == "cancelled"


def scripts_of(node: ShoveyNode) -> List[int]:
    """The processes that wait for the file that never comes."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(node.folder / "never") in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.NoSuchProcess:
            pass
    return found


def test_output_comes_while_the_job_runs_and_the_agent_may_be_killed(node: ShoveyNode) -> None:
    job = node.server.start_job("wait", node.name)
    wait_until(lambda: node.run(job)["output"] == "begun\n", "output")
    node.kill_session()
    node.start()
    node.wait_for_line("the runner is there", 2)
    (node.folder / "go").touch()
    run = node.ended(job)
    (node.folder / "go").unlink()
    assert (run["status"], run["output"]) == ("succeeded", "begun\ndone\n")
    wait_until(node.settled, "an empty spool and journal")


def test_the_serf_agent_may_be_restarted(node: ShoveyNode) -> None:
    count = len(node.lines("connected to the Serf agent"))
    job = node.server.start_job("wait", node.name)
    wait_until(lambda: node.run(job)["output"] == "begun\n", "output")
    node.serf.kill()
    node.wait_for_line("no connection to the Serf agent; trying again")
    node.serf.restart()
    node.wait_for_line("connected to the Serf agent", count + 1)
    (node.folder / "go").touch()
    assert node.ended(job)["output"] == "begun\ndone\n"
    (node.folder / "go").unlink()
    assert node.result("hello")["status"] == "succeeded"


@pytest.mark.proves("G-3")
def test_malformed_messages_change_nothing(node: ShoveyNode) -> None:
    for payload in ("", "{", "[]", '{"run_id": 1}', '{"run_id": "x", "action": "start"}'):
        node.server.agent.query("shovey", payload, node.name, timeout="200ms")
    node.server.agent.event("shovey", '{"run_id": "x"}')
    assert node.result("hello")["status"] == "succeeded"
