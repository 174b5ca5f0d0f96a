"""Our server over real Serf with many nodes, and with nodes of both kinds in one job.

Serf may lose a query on its way through the gossip, a schob never repeats what it reports, and our
server sends a start to a schob once only: such a node must end by time, all others by themselves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Iterator, List

import pytest
from schob import Schob
from serf_place import SerfPlace, open_serf_place

from push_jobs_server.engine.serf import PATIENCE

pytestmark = pytest.mark.e2e
CROWD = [f"node-{number:02}" for number in range(60)]
RUN_TIMEOUT = 5


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SerfPlace]:
    """60 nodes that are up, each with a Serf agent of its own."""
    with open_serf_place(tmp_path_factory.mktemp("crowd")) as place:
        place.add_many(CROWD)
        yield place


@pytest.mark.parametrize("size", [1, 10, 36, 60])
def test_a_job_over_many_nodes(crowd: SerfPlace, size: int) -> None:
    nodes = CROWD[:size]
    job = crowd.start_once("ls", *nodes, run_timeout=RUN_TIMEOUT)
    ended = crowd.wait_job(job, RUN_TIMEOUT + PATIENCE + 10.0)
    reached = [node for node in nodes if crowd.schobs[node].has_heard(job)]
    assert ended["status"] == "complete" and len(reached) >= size - 1
    assert sorted(ended["nodes"].pop("succeeded")) == sorted(reached)
    assert sum(map(len, ended["nodes"].values())) == size - len(reached)
    for node in reached:
        assert crowd.wait_last(job, node) == "hello world\n"
        assert crowd.run(job, node)["output"] == "hello world\n"
    assert starts_twice(crowd, job) == []


def starts_twice(place: SerfPlace, job: str) -> List[str]:
    """The nodes that were told to start the job more than once."""
    return [name for name, schob in place.schobs.items() if starts(schob, job) > 1]


def starts(schob: Schob, job: str) -> int:
    fields = [json.loads(payload) for payload in schob.commands]
    return sum(each["run_id"] == job and each["action"] == "start" for each in fields)


# Both kinds of nodes


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SerfPlace]:
    """p1 and p2 with agents of ours over ZeroMQ, s1 and s2 with schobs."""
    folder = tmp_path_factory.mktemp("mixed")
    script = folder / "wait"
    script.write_text(f"#!/bin/sh\nuntil [ -e {gate_of(folder)} ]; do sleep 0.02; done\necho on\n")
    script.chmod(0o755)
    with open_serf_place(folder) as place:
        for name in ("p1", "p2"):
            place.house.add_agent(name, {"wait": [str(script)], "sleep": ["sleep", "60"]})
        for name in ("s1", "s2"):
            place.add(name, whitelist={"wait": str(script), "sleep": "sleep 60"})
        place.house.wait_available("p1", "p2")
        yield place


def gate_of(folder: Path) -> Path:
    return folder / "gate"


def test_a_job_over_both_transports_and_a_cancel_of_some(mixed: SerfPlace) -> None:
    everybody = ("p1", "s1", "p2", "s2")
    job = mixed.start("wait", *everybody)
    for node in everybody:
        mixed.wait_run(job, node, "running")
    mixed.cancel(job, "p1", "s1")
    gate_of(mixed.house.folder.parent).touch()
    ended = mixed.wait_job(job)
    assert ended["status"] == "complete"
    assert ended["nodes"] == {"cancelled": ["p1", "s1"], "succeeded": ["p2", "s2"]}
    assert mixed.wait_last(job, "s2") == mixed.wait_last(job, "p2") == "on\n"
    shown = mixed.house.job(job.replace("-", ""))
    assert shown["status"] == "complete"


def test_one_cancel_ends_a_job_over_both_transports(mixed: SerfPlace) -> None:
    everybody = ("p1", "p2", "s1", "s2")
    mixed.house.wait_available("p1", "p2")
    job = mixed.start("sleep", *everybody)
    for node in everybody:
        mixed.wait_run(job, node, "running")
    mixed.cancel(job)
    ended = mixed.wait_job(job)
    assert (ended["status"], ended["nodes"]) == ("cancelled", {"cancelled": list(everybody)})
    for node in ("s1", "s2"):
        assert mixed.wait_last(job, node) == ""
