"""The Ruby push client while our server is away, and when it comes back with other keys."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
from house import House, open_house
from peer import Missing, skip
from ruby_client import add_ruby_client
from waiting import wait_until

pytestmark = pytest.mark.e2e

NODE = "ruby1"
LOST = "ZMQ socket enqueue error"
"""What the client logs when it throws a message away because nobody has taken those before."""
NEWS = "Server restart detected"
WAITS = "echo $$ > pid.new; mv pid.new pid; while [ ! -e go ]; do sleep 0.05; done; echo over"


class Scene:
    """A server, one client, and a command that waits for a file of ours."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house = house
        self._folder = folder
        whitelist = {"wait": WAITS, "hello": "echo hello"}
        try:
            self.client = add_ruby_client(house, NODE, whitelist)
        except Missing as reason:
            skip(reason)
        house.wait_available(NODE)

    def start_job(self) -> str:
        """Start the job and wait until its command runs."""
        job_id = self.house.start_job("wait", NODE, "--capture", "--dir", str(self._folder))
        wait_until((self._folder / "pid").exists, "the command to run")
        return job_id

    def let_go(self) -> None:
        """Let the command end."""
        (self._folder / "go").touch()

    def wait_online(self) -> None:
        """Wait until the server hears the client."""
        with self.house.client() as client:
            wait_until(lambda: client.node(NODE).online, f"{NODE} online")

    def check_job(self, job_id: str, status: str) -> Dict[str, Any]:
        """The job ends with this status of its node, which is returned."""
        [node] = self.house.wait_job(job_id)["nodes"]
        assert node["status"] == status, node
        return dict(node)

    def check_works(self) -> None:
        """The client takes another job and tells its result."""
        self.house.wait_available(NODE)
        done = self.house.push_jobs("job", "start", "hello", NODE, "--capture")
        assert done.code == 0 and "hello" in done.out, done


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A server with one client that takes jobs.

    A client that gives its server up before that has come back asks for its settings two minutes
    later only. Ten seconds are enough for the server, and less than they are in earnest.
    """
    with open_house(tmp_path, offline_threshold=20) as house:
        scene = Scene(house, tmp_path)
        try:
            yield scene
        finally:
            scene.client.stop()


@pytest.mark.proves("P-5a", "P-5b")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_runs_through_a_restart_of_the_server(scene: Scene, how: int) -> None:
    job_id = scene.start_job()
    mark = scene.client.logged()
    scene.house.signal_server(how)
    assert scene.house.server is not None
    scene.house.server.wait()
    scene.house.start_server()
    scene.client.wait_logged(NEWS, mark)
    scene.wait_online()
    assert scene.house.job(job_id)["nodes"][0]["status"] == "running"
    scene.let_go()
    scene.check_job(job_id, "succeeded")
    with scene.house.client() as client:
        assert client.output(job_id, NODE) == b"over\n"
    scene.client.wait_logged("Reconfigured client", mark)
    scene.check_works()


@pytest.mark.proves("P-7a")
def test_a_result_that_the_client_lost_is_a_crash_once_two_heartbeats_say_so(scene: Scene) -> None:
    job_id = scene.start_job()
    mark = scene.client.logged()
    scene.house.stop_server()
    scene.client.wait_logged(LOST, mark)
    scene.let_go()
    scene.client.wait_logged(f"Job {job_id} completed with exit code 0", mark)
    scene.house.start_server()
    node = scene.check_job(job_id, "crashed")
    assert "says it is idle" in node["reason"]
    assert scene.house.job(job_id)["status"] == "crashed"
    scene.check_works()


def test_the_client_comes_back_when_the_server_does(scene: Scene) -> None:
    mark = scene.client.logged()
    scene.house.stop_server()
    scene.client.wait_logged(LOST, mark)
    scene.house.start_server()
    scene.client.wait_logged("Reconfigured client", mark)
    scene.check_works()


def test_the_client_comes_back_after_the_keys_of_the_server_were_changed(tmp_path: Path) -> None:
    """It can't read any heartbeat then, gives the server up, and asks for its settings.

    It notices that nothing else comes only while it waits a second for a heartbeat.
    """
    with open_house(tmp_path, heartbeat_interval=1.5) as house:
        scene = Scene(house, tmp_path)
        try:
            mark = scene.client.logged()
            house.stop_server()
            house.admin("rotate-keys")
            house.start_server()
            scene.client.wait_logged("Considering it offline", mark)
            scene.client.wait_logged("Reconfigured client", mark)
            scene.check_works()
        finally:
            scene.client.stop()
