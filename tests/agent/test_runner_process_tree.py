"""A real runner: ending whole trees of processes, and cleaning up after a runner that died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List
from uuid import uuid4

import psutil
import pytest
from runner_client import RunnerClient, RunnerProcess, is_alive
from waiting import wait_until

from push_jobs_agent.runner.spool import read_output
from push_jobs_agent.runner.tree import boot_id

pytestmark = pytest.mark.e2e

TREE = """
sh -c 'trap "" TERM; echo $$ >stubborn; sleep 60' &
setsid sh -c 'echo $$ >session; exec sleep 60' &
(setsid -f sh -c 'echo $$ >daemon; exec sleep 60')
echo begin
echo $$ >first
wait
"""
PARTS = ("stubborn", "session", "daemon", "first")

Make = Callable[..., RunnerProcess]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Starts runners, each with a folder of its own; leaves no process behind."""
    runners: List[RunnerProcess] = []

    def make(name: str = "one") -> RunnerProcess:
        folder = tmp_path / name
        folder.mkdir()
        shell: Dict[str, Any] = {"shell": True, "dir": str(folder)}
        whitelist: Dict[str, Any] = {
            "true": "true",
            "tree": {"command_line": TREE, **shell},
            "timed-tree": {"command_line": TREE, "timeout": 2, **shell},
        }
        runners.append(RunnerProcess(folder, whitelist))
        return runners[-1].start()

    yield make
    for runner in runners:
        _end_jobs(runner)
        runner.stop()


def _end_jobs(runner: RunnerProcess) -> None:
    """Kill all that carry the spool of this runner, with another hand than the runner's own."""
    spool = os.path.realpath(runner.state_dir / "spool")
    for process in psutil.process_iter():
        try:
            if process.environ().get("CHEF_PUSH_JOB_SPOOL", "").startswith(spool):
                process.kill()
        except psutil.Error:
            pass


def tree(runner: RunnerProcess) -> Dict[str, int]:
    """The pids of the job's processes, once all of them are there."""
    files = {name: runner.whitelist.with_name(name) for name in PARTS}
    wait_until(lambda: all(_text(file).endswith("\n") for file in files.values()), "the whole tree")
    pids = {name: int(_text(file)) for name, file in files.items()}
    assert living(pids) == sorted(PARTS)
    return pids


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def living(pids: Dict[str, int]) -> List[str]:
    return sorted(name for name, pid in pids.items() if is_alive(pid))


def ended(client: RunnerClient, job_id: str) -> Dict[str, Any]:
    """A job of an earlier runner, when it has ended."""
    wait_until(lambda: client.jobs()[job_id]["state"] == "ended", "the end of the job")
    return client.jobs()[job_id]


# Aborting


def test_an_abort_ends_the_whole_tree_before_it_is_told(make: Make) -> None:
    runner = make()
    client = runner.connect()
    job_id = client.start("tree")
    pids = tree(runner)
    assert client.ask("abort", job_id=job_id, grace=0.2, reason="asked by alice")["ok"]
    job = client.ended(job_id)
    assert living(pids) == []
    assert (job["result"], job["reason"]) == ("aborted", "asked by alice")
    assert job["signal"] == signal.SIGTERM
    assert read_output(str(runner.state_dir), job_id)[0] == b"begin\n"


def test_an_abort_asks_before_it_kills(make: Make) -> None:
    runner = make()
    client = runner.connect()
    job_id = client.start("tree")
    pids = tree(runner)
    client.ask("abort", job_id=job_id, grace=600, reason="slowly")
    wait_until(lambda: living(pids) == ["stubborn"], "the end of all that listen")
    assert client.jobs()[job_id]["state"] == "running"
    client.ask("abort", job_id=job_id, grace=0, reason="now")
    assert client.ended(job_id)["reason"] == "slowly"
    assert living(pids) == []


def test_a_timeout_ends_the_whole_tree(make: Make) -> None:
    runner = make()
    client = runner.connect()
    job_id = client.start("timed-tree")
    pids = tree(runner)
    wait_until(lambda: living(pids) == ["stubborn"], "the timeout")
    client.ask("abort", job_id=job_id, grace=0, reason="too late to be the reason")
    job = client.ended(job_id)
    assert (job["result"], living(pids)) == ("failed", [])
    assert job["reason"] == "it ran longer than the 2 s of its whitelist entry"


def test_there_is_nothing_to_abort(make: Make) -> None:
    client = make().connect()
    job_id = client.run("true")["job_id"]
    for unknown in (job_id, "no-such-job", None, 5):
        reply = client.ask("abort", job_id=unknown, grace=0, reason="x")
        assert reply["ok"] is False and f"no job {unknown} runs here" in reply["reason"]


def test_the_same_job_of_another_agent_is_left_alone(make: Make) -> None:
    job_id = uuid4().hex
    one, other = make("one"), make("other")
    clients = [runner.connect() for runner in (one, other)]
    for client in clients:
        client.start("tree", job_id=job_id)
    mine, theirs = tree(one), tree(other)
    clients[0].ask("abort", job_id=job_id, grace=0, reason="only here")
    assert clients[0].ended(job_id)["result"] == "aborted"
    assert (living(mine), living(theirs)) == ([], sorted(PARTS))
    assert clients[1].jobs()[job_id]["state"] == "running"


def test_a_runner_that_is_started_again_leaves_the_same_job_of_another_agent_alone(
    make: Make,
) -> None:
    job_id = uuid4().hex
    one, other = make("one"), make("other")
    for runner in (one, other):
        runner.connect().start("tree", job_id=job_id)
    mine, theirs = tree(one), tree(other)
    one.kill()
    assert ended(one.start().connect(), job_id)["result"] == "crashed"
    assert (living(mine), living(theirs)) == ([], sorted(PARTS))


# After a runner that died


def test_a_runner_that_was_killed_leaves_no_process_and_no_doubt(make: Make) -> None:
    runner = make()
    client = runner.connect()
    job_id = client.start("tree", file="raw:data")
    pids = tree(runner)
    assert list((runner.state_dir / "files").iterdir())
    # What is still in the pipe when the runner dies is lost.
    wait_until(lambda: read_output(str(runner.state_dir), job_id)[0], "the output in the spool")
    runner.kill()
    assert living(pids) == sorted(PARTS)
    client = runner.start().connect()
    job = ended(client, job_id)
    assert living(pids) == []
    assert (job["result"], job["reason"]) == ("crashed", "the runner died while the job ran")
    assert (job["exit_code"], job["signal"], job["capture"]) == (None, None, True)
    assert job["started_at"] < job["ended_at"]
    assert read_output(str(runner.state_dir), job_id)[0] == b"begin\n"
    assert list((runner.state_dir / "files").iterdir()) == []
    assert "was here before" in client.refusal("true", job_id=job_id)
    assert client.ask("release", job_id=job_id)["ok"]


def test_a_tree_that_is_known_by_its_environment_only(make: Make) -> None:
    runner = make()
    job_id = runner.connect().start("tree")
    pids = tree(runner)
    runner.kill()
    (runner.state_dir / "spool" / job_id / "process.json").unlink()
    job = ended(runner.start().connect(), job_id)
    assert (job["result"], job["reason"]) == ("crashed", "the runner died before it ran")
    assert living(pids) == []


def test_a_result_outlives_its_runner(make: Make) -> None:
    runner = make()
    job = runner.connect().run("true")
    runner.kill()
    assert runner.start().connect().jobs() == {job["job_id"]: job}


def _left_behind(runner: RunnerProcess, process: Dict[str, Any]) -> str:
    """What the spool holds after a runner died in the middle of a job."""
    runner.kill()
    job_id = uuid4().hex
    folder = runner.state_dir / "spool" / job_id
    folder.mkdir(mode=0o700)
    (folder / "request.json").write_text("{}")
    (folder / "process.json").write_text(json.dumps(process))
    return job_id


@pytest.mark.parametrize(
    "boot, reason",
    [
        ("", "the runner died while the job ran"),
        ("another", "the machine went down while the job ran"),
    ],
)
def test_whoever_has_an_old_pid_now_is_left_alone(make: Make, boot: str, reason: str) -> None:
    runner = make()
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as innocent:
        try:
            fields = {"pid": innocent.pid, "start": 1, "boot": boot or boot_id()}
            job_id = _left_behind(runner, {**fields, "capture": True, "started_at": 1.5})
            job = ended(runner.start().connect(), job_id)
            assert (job["result"], job["reason"], job["started_at"]) == ("crashed", reason, 1.5)
            assert innocent.poll() is None
        finally:
            innocent.kill()
