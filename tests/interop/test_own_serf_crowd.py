"""Our server over real Serf with our own agents, as processes: one node, ten, 36 and 60.

Serf may lose a query on its way. Our server sends a start again to an agent of ours that did not
acknowledge it, and a cancel to anyone, so here every single node has to do what the job says.
"""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set

import pytest
from agent_process import AgentProcess
from serf_place import SerfPlace, open_serf_place
from shovey_node import sh, shovey_id
from waiting import wait_until

pytestmark = pytest.mark.e2e
CROWD = [f"own-{number:02}" for number in range(60)]
SIZES = [1, 10, 36, 60]
PATIENCE = 60.0


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SerfPlace]:
    """60 nodes that are up; each has reported once, which proves that its agent is ours."""
    folder = tmp_path_factory.mktemp("own")
    gate_of(folder).touch()
    with open_serf_place(folder) as place:
        place.add_agents(CROWD, lambda name: whitelist(name, folder))
        place.register("away-1", "away-2")
        unproven = set(CROWD)
        while unproven:
            job = place.start_once("hello", *sorted(unproven), run_timeout=5)
            unproven -= set(place.wait_job(job, PATIENCE)["nodes"].get("succeeded", []))
        yield place


def whitelist(name: str, folder: Path) -> Dict[str, Any]:
    """``wait`` ends when the test opens the gate; it costs nothing until then."""
    return {
        "hello": sh(f"echo hello from {name}"),
        "wait": sh(f"echo begun on {name}; flock -s {gate_of(folder)} echo done"),
    }


def gate_of(folder: Path) -> Path:
    return folder / "gate"


@contextmanager
def shut_gate(place: SerfPlace) -> Iterator[None]:
    """Nothing that waits goes on before the end of this."""
    with gate_of(place.house.folder.parent).open() as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield


def begun(place: SerfPlace, nodes: List[str]) -> str:
    """A job of which every node has printed its first line, which can be read while it runs."""
    job = place.start_once("wait", *nodes, quorum="100%")
    for node in nodes:
        output = place.wait_output(job, node, PATIENCE)
        assert (output["output"], output["is_last"]) == (f"begun on {node}\n", False)
    assert place.job(job)["nodes"] == {"running": nodes}
    return job


def agents_of(place: SerfPlace, nodes: List[str]) -> List[AgentProcess]:
    return [place.house.agents[node] for node in nodes]


def idle(agent: AgentProcess) -> bool:
    """Nothing is left of any job: all have ended, and the server has taken what was to tell."""
    runs = agent.state_dir / "serf" / "runs"
    return not agent.spooled() and not list(runs.glob("*.json"))


def wait_idle(place: SerfPlace, nodes: List[str]) -> None:
    for agent in agents_of(place, nodes):
        wait_until(lambda: idle(agent), f"{agent.folder} to be idle", PATIENCE)


@pytest.mark.parametrize("size", SIZES)
def test_every_node_runs_a_job_and_its_output_is_whole(crowd: SerfPlace, size: int) -> None:
    nodes = CROWD[:size]
    job = crowd.start_once("hello", *nodes, quorum="100%")
    ended = crowd.wait_job(job, PATIENCE)
    assert (ended["status"], ended["nodes"]) == ("complete", {"succeeded": nodes})
    for node in nodes:
        output = crowd.stream(job, node)
        assert (output["output"], output["is_last"]) == (f"hello from {node}\n", True)
    wait_idle(crowd, nodes)


@pytest.mark.parametrize("size", SIZES[1:])
def test_output_while_all_run_and_a_cancel_of_some(crowd: SerfPlace, size: int) -> None:
    nodes = CROWD[:size]
    some, others = nodes[::2], nodes[1::2]
    with shut_gate(crowd):
        job = begun(crowd, nodes)
        crowd.cancel(job, *some)
        # The others hold on, so only the cancel ends these.
        wait_idle(crowd, some)
        assert crowd.job(job)["nodes"] == {"cancelled": some, "running": others}
    ended = crowd.wait_job(job, PATIENCE)
    assert (ended["status"], ended["nodes"]) == (
        "complete",
        {"cancelled": some, "succeeded": others},
    )
    for node in nodes:
        more = "done\n" if node in others else ""
        assert crowd.wait_last(job, node) == f"begun on {node}\n{more}"


@pytest.mark.parametrize("size", SIZES)
def test_a_cancel_of_all(crowd: SerfPlace, size: int) -> None:
    nodes = CROWD[:size]
    with shut_gate(crowd):
        job = begun(crowd, nodes)
        said = crowd.cancel(job)
        assert (said["status"], said["nodes"]) == ("cancelled", {"cancelled": nodes})
        wait_idle(crowd, nodes)
    ended = crowd.job(job)
    assert (ended["status"], ended["nodes"]) == ("cancelled", {"cancelled": nodes})


@pytest.mark.parametrize("size", SIZES)
def test_a_quorum_that_two_absent_nodes_let_be_met_or_not(crowd: SerfPlace, size: int) -> None:
    nodes = [*CROWD[:size], "away-1", "away-2"]
    agents = agents_of(crowd, CROWD[:size])
    before = [asked(agent) for agent in agents]
    refused = crowd.post("hello", *nodes, quorum=str(size + 1))
    assert refused.status == 400 and "Not enough nodes" in str(refused.json), refused
    job = crowd.start_once("hello", *nodes, quorum=str(size))
    ended = crowd.wait_job(job, PATIENCE)
    assert ended["status"] == "complete"
    assert ended["nodes"] == {"down": ["away-1", "away-2"], "succeeded": CROWD[:size]}
    for agent, known in zip(agents, before):
        assert asked(agent) - known == {shovey_id(job)}


def asked(agent: AgentProcess) -> Set[str]:
    """The jobs that an agent was asked to run."""
    return {line["job_id"] for line in agent.lines("asked to run a job over Serf")}


def test_one_cancel_ends_a_job_over_both_transports(crowd: SerfPlace) -> None:
    pushy, nodes = ["own-p1", "own-p2"], ["own-00", "own-01", "own-p1", "own-p2"]
    folder = crowd.house.folder.parent
    for name in pushy:
        crowd.house.add_agent(name, whitelist(name, folder))
    crowd.house.wait_available(*nodes)
    with shut_gate(crowd):
        job = crowd.start_once("wait", *nodes, quorum="100%")
        for node in nodes:
            crowd.wait_run(job, node, "running")
        crowd.cancel(job)
        ended = crowd.wait_job(job)
        assert (ended["status"], ended["nodes"]) == ("cancelled", {"cancelled": nodes})
        wait_idle(crowd, nodes)
