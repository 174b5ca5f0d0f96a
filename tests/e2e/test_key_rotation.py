"""Keys are replaced while a job runs; the job ends with its true result, and the next one runs."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Iterator

import pytest
from agent_process import AgentProcess
from house import House, open_house
from waiting import wait_until

from push_jobs.node_models import NodeDetail

pytestmark = pytest.mark.e2e


class Rotation:
    """A server, one agent, and a command that waits for a file of ours."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house = house
        self.folder = folder
        self._started, self.go = folder / "started", folder / "go"
        script = f"touch {self._started}; while [ ! -e {self.go} ]; do sleep 0.05; done; exit 3"
        whitelist = {"wait": ["sh", "-c", script], "hello": "echo hello"}
        self.agent: AgentProcess = house.add_agent("web1", whitelist)
        house.wait_available("web1")

    def start_job(self) -> str:
        """Start a job and wait until its command runs."""
        job_id = self.house.start_job("wait", "web1", "--capture")
        wait_until(self._started.exists, "the command to run")
        return job_id

    def end_job(self, job_id: str) -> None:
        """Let the command end; its true result has to come."""
        self.go.touch()
        node = self.house.wait_job(job_id)["nodes"][0]
        assert (node["status"], node["exit_code"]) == ("failed", 3), node

    def check_next_job(self) -> None:
        """The node takes the next job."""
        self.house.wait_available("web1")
        job = self.house.wait_job(self.house.start_job("hello", "web1"))
        assert job["status"] == "complete", job

    def new_client_key(self) -> Path:
        """Give the client a second key; its private half."""
        file = self.folder / "second.pem"
        self.house.admin("client", "add-key", "web1", "second", "--key-out", str(file))
        return file

    def only_the_new_key_is_left(self) -> None:
        """Take the first key away; the agent has to get its settings all the same."""
        # A signal while settings are on their way asks for no others.
        self.agent.wait_for_line("connected to the server", count=2)
        self.house.admin("client", "remove-key", "web1", "default")
        before = self.detail().settings_fetched_at
        self.agent.signal(signal.SIGUSR1)
        wait_until(lambda: self.detail().settings_fetched_at != before, "new settings")

    def detail(self) -> NodeDetail:
        """What the server knows of the node."""
        with self.house.client() as client:
            return client.node_detail("web1")


@pytest.fixture
def rotation(tmp_path: Path) -> Iterator[Rotation]:
    """A server with one agent that takes jobs."""
    with open_house(tmp_path) as house:
        yield Rotation(house, tmp_path)


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Rotation]:
    """The same, with a server that waits 14 seconds for its nodes after a restart.

    A busy machine needs some of them, and an agent tries to connect every 5 seconds only.
    """
    with open_house(tmp_path, heartbeat_interval=2) as house:
        yield Rotation(house, tmp_path)


def test_a_new_client_key_is_taken_with_hup(rotation: Rotation) -> None:
    job_id = rotation.start_job()
    rotation.agent.write_settings(client_key=str(rotation.new_client_key()))
    before = rotation.detail().settings_fetched_at
    rotation.agent.signal(signal.SIGHUP)
    wait_until(lambda: rotation.detail().settings_fetched_at != before, "new settings")
    rotation.only_the_new_key_is_left()
    rotation.end_job(job_id)
    rotation.check_next_job()


def test_a_new_client_key_is_taken_with_a_restart_of_the_agent(rotation: Rotation) -> None:
    job_id = rotation.start_job()
    rotation.agent.write_settings(client_key=str(rotation.new_client_key()))
    rotation.agent.kill_session()
    rotation.agent.start()
    rotation.only_the_new_key_is_left()
    rotation.end_job(job_id)
    rotation.check_next_job()


def test_an_agent_without_a_known_key_is_told_of(rotation: Rotation) -> None:
    rotation.new_client_key()
    rotation.house.admin("client", "remove-key", "web1", "default")
    rotation.agent.signal(signal.SIGUSR1)
    wait_until(lambda: rotation.detail().refusal is not None, "the refusal")
    shown = rotation.house.push_jobs("node", "show", "web1").out
    assert "settings refused: Invalid signature" in shown
    assert "to do          register the public half of the agent's client_key" in shown


@pytest.mark.parametrize("killed", [False, True])
def test_new_keys_of_the_server(patient: Rotation, killed: bool) -> None:
    house = patient.house
    curve = json.loads((house.data / "curve.json").read_text())["public"]
    signing = (house.data / "signing.pem").read_bytes()
    job_id = patient.start_job()
    if killed:
        house.admin("rotate-keys")
        house.kill_server()
    else:
        assert house.stop_server() == 0
        house.admin("rotate-keys")
    assert json.loads((house.data / "curve.json").read_text())["public"] != curve
    assert (house.data / "signing.pem").read_bytes() != signing
    house.start_server()
    house.wait_available("web1")
    patient.end_job(job_id)
    patient.check_next_job()
    assert patient.agent.session is not None and patient.agent.session.poll() is None


def test_a_job_that_ends_while_the_server_gets_new_keys(patient: Rotation) -> None:
    job_id = patient.start_job()
    assert patient.house.stop_server() == 0
    patient.house.admin("rotate-keys")
    patient.go.touch()
    result = patient.agent.state_dir / "spool" / job_id / "result.json"
    wait_until(result.exists, "the result in the spool")
    patient.house.start_server()
    patient.end_job(job_id)
    patient.check_next_job()


def test_another_session_key_when_its_time_has_come(tmp_path: Path) -> None:
    with open_house(tmp_path, session_key_lifetime=1) as house:
        rotation = Rotation(house, tmp_path)
        before, fetched = session_key(house), rotation.detail().settings_fetched_at
        deadline = time.time() + 1.0
        wait_until(lambda: time.time() > deadline, "the key to be old")
        rotation.agent.signal(signal.SIGUSR1)
        wait_until(lambda: session_key(house) != before, "another session key")
        wait_until(lambda: rotation.detail().settings_fetched_at != fetched, "new settings")
        rotation.check_next_job()
        job_id = rotation.start_job()
        rotation.end_job(job_id)


def session_key(house: House) -> bytes:
    """The only session key in the server's database."""
    with closing(sqlite3.connect(str(house.data / "push-jobs.db"))) as database:
        ((key,),) = database.execute("SELECT key FROM session_keys")
    return bytes(key)
