"""Our server over real Serf in trouble: silence, restarts, wrong keys, strange queries."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Iterator

import pytest
import yaml
from house import ORG, TRACEBACK
from serf_place import JOBS, WHITELIST, SerfPlace, open_serf_place
from waiting import wait_until

from push_jobs_server.engine.serf import PATIENCE

pytestmark = pytest.mark.e2e
LONG_NAME, LONG_COMMAND = "n" * 250, "c" * 300
"""Together they fit into no query."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serf-trouble")
    script = folder / "wait"
    gate = folder / "gate"
    script.write_text(f"#!/bin/sh\nuntil [ -e {gate} ]; do sleep 0.02; done\necho waited\n")
    script.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def whole_place(folder: Path) -> Iterator[SerfPlace]:
    """A server and two nodes that are up."""
    lines = {**WHITELIST, "wait": str(folder / "wait"), LONG_COMMAND: "echo long"}
    with open_serf_place(folder) as place:
        for name in ("n1", "n2"):
            place.add(name, whitelist=lines)
        yield place


@pytest.fixture
def place(whole_place: SerfPlace, folder: Path) -> Iterator[SerfPlace]:
    """The same for each test, which finds and leaves no gate open."""
    (folder / "gate").unlink(missing_ok=True)
    yield whole_place
    (folder / "gate").touch()
    assert TRACEBACK not in whole_place.house.logs()


def works(place: SerfPlace) -> None:
    job = place.start("ls", "n1", "n2")
    assert place.wait_job(job)["nodes"] == {"succeeded": ["n1", "n2"]}


# Strange queries


def test_heartbeats_of_nobody_and_queries_that_are_none(place: SerfPlace) -> None:
    before = place.must("GET", "/status/all/nodes")
    sender = place.cluster.agents[1]
    beats = ("", "junk", "[]", "null", "5", '{"node": 5, "status": "up"}', "{}", "\x01\xff")
    more = (
        {"node": "nobody", "status": "up"},
        {"node": "", "status": "up"},
        {"node": "n1", "status": "asleep"},
        {"node": "admin", "status": "up"},
        {"node": "n1", "status": {"up": True}},
    )
    for payload in (*beats, *(json.dumps(each) for each in more)):
        replies = sender.query("node_status", payload, timeout="150ms")
        assert replies.responses == {}, payload
    # Taken and answered, as goiardi does, but a node is up as long as its heartbeats come.
    sender.query("node_status", json.dumps({"node": "n1", "status": "down"}), timeout="150ms")
    sender.event("node_status", json.dumps({"node": "nobody", "status": "up"}))
    # Commands are no business of the server; the filter keeps them from the schobs.
    for payload in ("", "junk", '{"action": 5}', '{"action": "dance", "run_id": "x"}'):
        sender.query("shovey", payload, "push", timeout="150ms")
    assert names(place.must("GET", "/status/all/nodes")) == names(before)
    works(place)


def names(statuses: "list[dict[str, str]]") -> "list[tuple[str, str]]":
    return [(each["node_name"], each["status"]) for each in statuses]


def test_unsigned_commands_run_nothing_and_harm_nobody(place: SerfPlace) -> None:
    """Schobs complain of them about jobs that nobody knows, or that run: those end as invalid."""
    sender, schob = place.cluster.agents[1], place.schobs["n1"]
    stranger = "00000000-0000-4000-8000-000000000000"
    forged = {"action": "start", "command": "ls", "run_id": stranger, "time": "", "timeout": "9"}
    sender.query("shovey", json.dumps(forged), "n1", timeout="150ms")
    path = f"{JOBS}/{stranger}/n1"
    wait_until(lambda: any(put.path == path for put in schob.reporter.sent), "a complaint")
    [complaint] = [put for put in schob.reporter.sent if put.path == path]
    assert (complaint.body["status"], complaint.status) == ("invalid", 404)
    works(place)


# Sizes


def test_a_query_that_is_too_large_ends_the_part_of_its_node(place: SerfPlace) -> None:
    place.register(LONG_NAME)
    beat = json.dumps({"node": LONG_NAME, "status": "up"})
    place.cluster.agents[1].query("node_status", beat, timeout="1s")
    wait_until(lambda: LONG_NAME in place.up(), "the long name to be up")
    job = place.start(LONG_COMMAND, "n1", LONG_NAME)
    ended = place.wait_job(job)
    assert ended["nodes"] == {"succeeded": ["n1"], "failed": [LONG_NAME]}
    run = place.run(job, LONG_NAME)
    assert "refused the command: query exceeds limit of 1024 bytes" in run["error"]


# The server's Serf agent, and the server


def test_the_servers_agent_is_killed_and_comes_back(place: SerfPlace, folder: Path) -> None:
    job = place.start("wait", "n1", "n2")
    for node in ("n1", "n2"):
        place.wait_run(job, node, "running")
    place.agent.kill()
    wait_until(lambda: " is away: " in place.house.server_log.read_text(), "the server to see it")
    before = time.monotonic()
    refused = place.post("ls", "n1")
    assert time.monotonic() - before < 1.0 and refused.status == 503
    [text] = refused.json["error"]
    assert f"the Serf agent of this server ({place.agent.rpc_address}) is away" in text
    # Reports come over HTTP: nothing else is blocked, and a cancel waits for the agent.
    assert place.cancel(job, "n2")["nodes"] == {"cancelled": ["n2"], "running": ["n1"]}
    (folder / "gate").touch()
    assert place.wait_run(job, "n1", "succeeded")["status"] == "succeeded"
    assert place.wait_job(job)["status"] == "complete"
    place.agent.restart()
    wait_until(lambda: place.post("ls", "n1", quorum=0).status == 200, "jobs to be taken again")
    place.make_up("n1", "n2")
    works(place)


def test_a_cancel_reaches_the_node_once_the_agent_is_back(place: SerfPlace) -> None:
    job = place.start("sleep", "n1")
    place.wait_run(job, "n1", "running")
    place.agent.kill()
    assert place.cancel(job)["status"] == "cancelled"
    assert place.stream(job, "n1")["is_last"] is False
    place.agent.restart()
    assert place.wait_last(job, "n1") == ""
    works_again(place)


def works_again(place: SerfPlace) -> None:
    place.make_up("n1", "n2")
    works(place)


def test_the_server_is_restarted_during_a_job(place: SerfPlace, folder: Path) -> None:
    house = place.house
    for stop in (house.stop_server, house.kill_server):
        (folder / "gate").unlink(missing_ok=True)
        job = place.start("wait", "n1", "n2")
        for node in ("n1", "n2"):
            place.wait_run(job, node, "running")
        stop()
        house.start_server()
        assert place.job(job)["nodes"] == {"running": ["n1", "n2"]}
        (folder / "gate").touch()
        assert place.wait_job(job)["nodes"] == {"succeeded": ["n1", "n2"]}
        assert place.wait_last(job, "n1") == place.wait_last(job, "n2") == "waited\n"
        # Nodes stay up over a restart; jobs start as soon as the agent is reached.
        wait_until(lambda: place.post("ls", "n1").status == 200, "jobs to be taken again")
    works(place)


def test_a_wrong_rpc_key_is_named_and_the_right_one_works(tmp_path: Path) -> None:
    with open_serf_place(tmp_path, auth_key="sesame") as place:
        place.add("n1")
        place.wait_job(place.start("ls", "n1"))
        for key, status in (("wrong", 503), (None, 503), ("sesame", 200)):
            place.house.stop_server()
            set_key(place.house.data / "settings.yml", key)
            place.house.start_server()
            wait_until(lambda: decided(place.post("ls", "n1").json, status), f"{status} with {key}")
        place.wait_job(place.start("ls", "n1"))
        log = place.house.server_log.read_text()
        assert "sesame" not in log and '"wrong"' not in log


def set_key(file: Path, key: "str | None") -> None:
    settings = yaml.safe_load(file.read_text())
    settings["serf"]["auth_key"] = key
    file.write_text(yaml.safe_dump(settings))


def decided(answer: "dict[str, list[str]]", status: int) -> bool:
    """True for a job, or for a refusal that names the key."""
    if status == 200:
        return "id" in answer
    words = ("Invalid authentication token", "Authentication required")
    return any(word in str(answer.get("error")) for word in words)


# Silence


def test_silent_nodes_end_by_time_also_over_a_restart(place: SerfPlace) -> None:
    """One loses its final report, one dies, one is well: the job ends, and says who was silent."""
    for name in ("lossy", "mortal"):
        place.add(name)
    place.schobs["lossy"].node.habits.lost = {"succeeded", "failed"}
    before = time.monotonic()
    job = place.start("sleep", "mortal", run_timeout=1)
    other = place.start("ls", "lossy", "n1", run_timeout=5)
    place.wait_run(job, "mortal", "running")
    place.schobs["mortal"].close()
    assert place.wait_last(other, "lossy") == "hello world\n"
    # A schob says nothing twice: what the server does not hear now is lost.
    place.wait_run(other, "n1", "succeeded")
    place.house.kill_server()
    place.house.start_server()
    for each in (job, other):
        assert place.wait_job(each, PATIENCE + 20.0)["status"] == "complete"
    assert time.monotonic() - before > PATIENCE
    assert place.job(job)["nodes"] == {"failed": ["mortal"]}
    assert place.job(other)["nodes"] == {"failed": ["lossy"], "succeeded": ["n1"]}
    assert place.run(job, "mortal")["error"] != ""
    assert place.stream(job, "mortal")["is_last"] in (True, False)
    # What may still run there is told to stop.
    ran = place.schobs["lossy"].commands
    wait_until(lambda: json.loads(ran[-1])["action"] == "cancel", "the lossy node to be told")
    assert place.up() >= {"n1", "n2", "lossy"} and ORG
