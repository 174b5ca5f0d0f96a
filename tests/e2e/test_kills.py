"""Kill -9 of each process at a bad moment; each job still ends in its true result."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Dict, Iterator

import psutil
import pytest
from agent_process import AgentProcess, wait_until
from house import House, open_house

pytestmark = pytest.mark.e2e


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
        self.agent: AgentProcess = house.add_agent("web1", {"wait": ["sh", "-c", script]})
        house.wait_available("web1")

    def start_job(self) -> str:
        """Start the job and wait until its command runs."""
        job_id = self.house.start_job("wait", "web1", "--capture")
        wait_until(self.started.exists, "the command to run")
        return job_id

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
    job_id = scene.start_job()
    command = psutil.Process(scene.command_pid())
    os.kill(scene.agent.runner_pid, signal.SIGKILL)
    job = scene.house.wait_job(job_id)
    node: Dict[str, Any] = job["nodes"][0]
    assert node["status"] == "crashed", job
    assert "runner" in node["reason"]
    wait_until(lambda: not command.is_running(), "the end of the command's processes")


def end_command(scene: Scene) -> None:
    """Let the command end and wait until it has."""
    command = psutil.Process(scene.command_pid())
    scene.let_go()
    wait_until(lambda: not command.is_running(), "the end of the command")


def ended(agent: AgentProcess, job_id: str) -> bool:
    """True when the runner has written the job's result down."""
    return (agent.state_dir / "spool" / job_id / "result.json").exists()
