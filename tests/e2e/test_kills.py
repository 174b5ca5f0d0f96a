"""Kill -9 of each process at a bad moment; each job still ends in its true result."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import psutil
import pytest
from agent_process import AgentProcess
from house import House, open_house
from runner_client import is_alive
from waiting import wait_until

pytestmark = pytest.mark.e2e

FAMILY = ("leader", "child", "grandchild", "apart", "child-of-apart")
"""The processes of the command ``family``; ``apart`` has left its session and its parents."""

FAMILY_SCRIPT = """
note() { echo "$2" > "$1.new"; mv "$1.new" "$1"; }
case ${1:-leader} in
    leader)
        note leader $$
        "$0" child & (setsid "$0" apart &)
        ;;
    child) note child $$; sleep 60 & note grandchild $! ;;
    apart) note apart $$; sleep 60 & note child-of-apart $! ;;
esac
wait
sleep 60
"""


class Scene:
    """A server, one agent, and a command that waits for a file of ours."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house = house
        self.started = folder / "started"
        self._go = folder / "go"
        script = (
            f"echo before; echo careful >&2; echo $$ > {self.started}.new;"
            f" mv {self.started}.new {self.started};"
            f" while [ ! -e {self._go} ]; do sleep 0.05; done; echo after"
        )
        self._family = folder / "family"
        self._family.mkdir()
        program = self._family / "start"
        program.write_text("#!/bin/sh" + FAMILY_SCRIPT)
        program.chmod(0o755)
        family = {"command_line": str(program), "dir": str(self._family)}
        whitelist = {"wait": ["sh", "-c", script], "family": family}
        self.agent: AgentProcess = house.add_agent("web1", whitelist)
        house.wait_available("web1")

    def start_job(self) -> str:
        """Start the job and wait until its command runs."""
        job_id = self.house.start_job("wait", "web1", "--capture")
        wait_until(self.started.exists, "the command to run")
        return job_id

    def start_family(self) -> Tuple[str, List[psutil.Process]]:
        """Start a job of several processes and wait for all of them."""
        job_id = self.house.start_job("family", "web1")
        files = [self._family / name for name in FAMILY]
        wait_until(lambda: all(file.exists() for file in files), "the whole family")
        return job_id, [psutil.Process(int(file.read_text())) for file in files]

    def command_pid(self) -> int:
        """The process of the command."""
        return int(self.started.read_text())

    def let_go(self) -> None:
        """Let the command end."""
        self._go.touch()

    def check_success(self, job_id: str) -> None:
        """The job succeeds with all its output."""
        job = self.house.wait_job(job_id)
        assert job["status"] == "complete", job
        assert [(n["status"], n["exit_code"]) for n in job["nodes"]] == [("succeeded", 0)]
        with self.house.client() as client:
            assert client.output(job_id, "web1") == b"before\nafter\n"
            assert client.output(job_id, "web1", "stderr") == b"careful\n"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A server with one agent that takes jobs."""
    with open_house(tmp_path) as house:
        yield Scene(house, tmp_path)


@pytest.mark.proves("T-6")
def test_the_server_is_killed_during_a_job(scene: Scene) -> None:
    job_id = scene.start_job()
    scene.house.kill_server()
    scene.house.start_server()
    scene.let_go()
    scene.check_success(job_id)


def test_a_job_that_ends_while_the_server_is_dead_is_told_to_the_next(scene: Scene) -> None:
    job_id = scene.start_job()
    scene.house.kill_server()
    end_command(scene)
    scene.house.start_server()
    scene.check_success(job_id)


def test_the_session_is_killed_during_a_job(scene: Scene) -> None:
    job_id = scene.start_job()
    scene.agent.kill_session()
    scene.agent.start()
    scene.let_go()
    scene.check_success(job_id)


def test_the_session_is_killed_before_the_server_heard_of_the_end(scene: Scene) -> None:
    job_id = scene.start_job()
    scene.house.kill_server()
    end_command(scene)
    wait_until(lambda: ended(scene.agent, job_id), "the result in the spool")
    scene.agent.kill_session()
    scene.house.start_server()
    scene.agent.start()
    scene.check_success(job_id)


def test_the_runner_is_killed_during_a_job(scene: Scene) -> None:
    job_id, family = scene.start_family()
    assert len({os.getsid(process.pid) for process in family}) == 2
    os.kill(scene.agent.runner_pid, signal.SIGKILL)
    job = scene.house.wait_job(job_id)
    node: Dict[str, Any] = job["nodes"][0]
    assert node["status"] == "crashed", job
    assert "runner" in node["reason"]
    assert [name for name, process in zip(FAMILY, family) if is_alive(process.pid)] == []


def end_command(scene: Scene) -> None:
    """Let the command end and wait until it has."""
    command = psutil.Process(scene.command_pid())
    scene.let_go()
    wait_until(lambda: not command.is_running(), "the end of the command")


def ended(agent: AgentProcess, job_id: str) -> bool:
    """True when the runner has written the job's result down."""
    return (agent.state_dir / "spool" / job_id / "result.json").exists()
