"""Cancel with real processes: a stubborn tree, a silent node, a killed server, again, refused."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import psutil
import pytest
from house import House, open_house
from waiting import wait_until

pytestmark = pytest.mark.e2e

STUBBORN = "trap '' TERM; while :; do sleep 0.1; done"


class Nodes:
    """Agents whose command starts a child that ignores the polite signal."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house = house
        self._folder = folder

    def add(self, *names: str) -> None:
        """Add agents and wait until they take jobs."""
        for name in names:
            self.house.add_agent(name, {"tree": ["sh", "-c", self._script(name)]})
        self.house.wait_available(*names)

    def _script(self, node: str) -> str:
        file = self._file(node)
        tree = f"sh -c {json.dumps(STUBBORN)} & child=$!; echo begun; echo odd >&2"
        return f"{tree}; echo $$ $child > {file}.new; mv {file}.new {file}; wait"

    def _file(self, node: str) -> Path:
        return self._folder / f"{node}.pids"

    def start(self, *names: str, quorum: str = "100%") -> str:
        """Start the job and wait until its whole tree is there on every node."""
        job_id = self.house.start_job("tree", *names, "--capture", "--quorum", quorum)
        for name in names:
            wait_until(self._file(name).exists, f"the tree on {name}")
            assert len(self.living(name)) == 2
        return job_id

    def living(self, node: str) -> List[psutil.Process]:
        """The processes of the tree that are alive."""
        found = []
        for pid in map(int, self._file(node).read_text().split()):
            try:
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.NoSuchProcess:
                pass
        return found


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """A server, and agents to be added; no silence of these tests is long for such heartbeats."""
    with open_house(tmp_path, heartbeat_interval=10) as house:
        yield Nodes(house, tmp_path)


def words(job: Dict[str, Any]) -> Dict[str, str]:
    return {node["name"]: node["status"] for node in job["nodes"]}


def wait_words(house: House, job_id: str, **expected: str) -> None:
    """Wait until the nodes of a job have these statuses."""

    def reached() -> bool:
        nodes = {node.name: node.status.value for node in client.job(job_id).nodes}
        return expected.items() <= nodes.items()

    with house.client() as client:
        wait_until(reached, f"{expected}")


def test_the_whole_tree_is_gone_when_cancel_returns(nodes: Nodes) -> None:
    nodes.add("web1")
    job_id = nodes.start("web1")
    begun = time.monotonic()
    done = nodes.house.push_jobs(
        "job", "cancel", job_id[:12], "--grace", "1s", "--reason", "wrong release"
    )
    assert done.code == 0, done
    assert time.monotonic() - begun >= 1.0, "the stubborn child was asked first"
    assert nodes.living("web1") == []
    job = nodes.house.job(job_id)
    [node] = job["nodes"]
    assert (job["status"], node["status"]) == ("aborted", "aborted")
    assert node["signal"] == signal.SIGTERM
    assert node["reason"] == "cancelled by admin: wrong release"
    [cancel] = job["cancels"]
    assert (cancel["requestor"], cancel["grace"], cancel["nodes"]) == ("admin", 1.0, ["web1"])
    with nodes.house.client() as client:
        assert client.output(job_id, "web1") == b"begun\n"
        assert client.output(job_id, "web1", "stderr") == b"odd\n"


def test_again_and_after_the_end(nodes: Nodes) -> None:
    nodes.add("web1")
    job_id = nodes.start("web1")
    cancel = ("job", "cancel", job_id)
    for grace in ("10m", "10m", "5m"):
        assert nodes.house.push_jobs(*cancel, "--no-wait", "--grace", grace).code == 0
    assert nodes.house.job(job_id)["status"] == "running"
    assert nodes.house.push_jobs(*cancel, "--grace", "0").code == 0
    assert nodes.living("web1") == []
    done = nodes.house.push_jobs(*cancel)
    assert done.code == 0 and "of 1 node 1 ended before" in done.err
    job = nodes.house.job(job_id)
    assert [each["grace"] for each in job["cancels"]] == [600.0, 300.0, 0.0]


def test_some_nodes_are_cancelled_and_take_jobs_again(nodes: Nodes) -> None:
    nodes.add("web1", "web2")
    job_id = nodes.start("web1", "web2")
    done = nodes.house.push_jobs("job", "cancel", job_id, "web1", "--grace", "0")
    assert done.code == 0, done
    job = nodes.house.job(job_id)
    assert (job["status"], words(job)) == ("running", {"web1": "aborted", "web2": "running"})
    assert len(nodes.living("web2")) == 2
    nodes.house.wait_available("web1")
    assert nodes.house.push_jobs("job", "cancel", job_id, "web9").code == 2
    for process in nodes.living("web2"):
        process.kill()
    job = nodes.house.wait_job(job_id)
    assert (job["status"], words(job)) == ("complete", {"web1": "aborted", "web2": "failed"})


def test_a_vote_with_a_silent_node_is_cancelled_at_once(nodes: Nodes) -> None:
    nodes.add("web1", "web2")
    silent = nodes.house.agents["web2"]
    silent.signal(signal.SIGSTOP)
    job_id = nodes.house.start_job("tree", "web1", "web2")
    wait_words(nodes.house, job_id, web1="ready", web2="new")
    done = nodes.house.push_jobs("job", "cancel", job_id, "--reason", "too slow")
    assert done.code == 0 and "2 released" in done.err, done
    job = nodes.house.job(job_id)
    assert job["status"] == "aborted"
    assert words(job) == {"web1": "was_ready", "web2": "unavailable"}
    assert job["nodes"][1]["reason"] == "no answer before it was cancelled by admin: too slow"
    silent.signal(signal.SIGCONT)
    nodes.house.wait_available("web1", "web2")
    assert nodes.house.agents["web1"].spooled() == []
    nodes.start("web1", "web2")


def test_a_cancel_survives_the_server(nodes: Nodes) -> None:
    nodes.add("web1", "web2")
    job_id = nodes.start("web1", "web2")
    gone, other = nodes.house.agents["web1"], nodes.house.agents["web2"]
    gone.signal(signal.SIGSTOP)
    answer = nodes.house.push_jobs("job", "cancel", job_id, "web1", "--grace", "0", "--no-wait")
    assert answer.code == 0, answer
    nodes.house.kill_server()
    gone.kill_session()
    assert len(nodes.living("web1")) == 2
    nodes.house.start_server()
    gone.start()
    wait_words(nodes.house, job_id, web1="aborted")
    assert nodes.living("web1") == []
    assert words(nodes.house.job(job_id)) == {"web1": "aborted", "web2": "running"}
    assert other.lines("aborting a job") == []
    assert nodes.house.push_jobs("job", "cancel", job_id, "--grace", "0").code == 0
    assert nodes.house.job(job_id)["status"] == "aborted"


def test_who_waits_for_the_job_hears_of_the_cancel(nodes: Nodes) -> None:
    nodes.add("web1")
    job_id = nodes.start("web1")
    with nodes.house.client() as client:
        client.cancel(job_id, grace=0)
        job = client.wait(job_id, timeout=20)
    assert job.status.value == "aborted"


def test_a_reader_may_not_cancel(nodes: Nodes, tmp_path: Path) -> None:
    nodes.add("web1")
    job_id = nodes.start("web1")
    house = nodes.house
    key = tmp_path / "carol.pem"
    house.admin("user", "create", "carol", "--key-out", str(key))
    house.admin("group", "create", "pushy_job_readers")
    house.admin("group", "add", "pushy_job_readers", "--user", "carol", "--user", "admin")
    done = house.push_jobs("--user", "carol", "--key", str(key), "job", "cancel", job_id)
    assert done.code == 7 and "403" in done.err, done
    assert words(house.job(job_id)) == {"web1": "running"}
    assert house.push_jobs("job", "cancel", job_id, "--grace", "0").code == 0
