"""What becomes of a job when its node loses network, power, disk or processes, on real nodes.

docs/faults.md tells people what these tests prove: each fault has one result, and it is true.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, Optional

import built_packages
import kitchen
import pytest
from lab import image
from lab.commands import LabError
from lab.network import Lab
from lab.node import Node
from labs import new_lab, wait_until

NODE = "n1"
SESSION, RUNNER = "chef-push-jobs-client", "chef-push-jobs-runner"
COMMANDS = {
    "true": "true",
    "short": ["sh", "-c", "echo begun; sleep 3; echo done"],
    "long": ["sh", "-c", "echo begun; sleep 60"],
    "reboot": "systemctl reboot",
    "talk": ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"],
}
OPEN = ("new", "ready", "running")
OVER = ("nacked", "failed", "crashed")
SETTINGS = f"""chef_server_url: https://{kitchen.HUB_ADDRESS}:10003/organizations/{kitchen.ORG}
node_name: {NODE}
start_runner: false
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab with a server on a node of its own; it notices in 3 s that a node is gone."""
    with new_lab("faults") as made:
        kitchen.hub(made, "heartbeat_interval=1")
        yield made


@pytest.fixture(scope="module")
def node(lab: Lab) -> Node:
    """A node with an agent from our packages."""
    key = kitchen.register(lab, NODE)
    made = lab.add(NODE, [image.base(print)])
    made.write("/etc/chef/client.pem", key, 0o600)
    made.write("/etc/chef/trusted_certs/push.crt", (lab.folder / "ca.crt").read_text())
    made.write("/etc/chef/push-jobs-client.yml", SETTINGS)
    made.write("/etc/chef/push-jobs-whitelist.json", json.dumps(COMMANDS))
    made.boot()
    made.put(kitchen.plain(built_packages.packages(), lab.folder / "packages"), "/opt")
    agent = "/opt/packages/push-jobs-agent_*.deb /opt/packages/python3-push-jobs-wire_*.deb"
    made.run("sh", "-c", f"dpkg -i {agent}")
    return made


class Operator:
    """Somebody outside of the nodes."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._environment = {
            **os.environ,
            "PUSHJOBS_SERVER": f"https://{kitchen.HUB_ADDRESS}:10003/organizations/{kitchen.ORG}",
            "PUSHJOBS_USER": kitchen.ADMIN,
            "PUSHJOBS_KEY": str(lab.folder / "admin.pem"),
            "PUSHJOBS_CA": str(lab.folder / "ca.crt"),
        }

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run push-jobs inside the lab."""
        program = str(Path(sys.executable).parent / "push-jobs")
        return subprocess.run(
            list(map(str, self._lab.inside([program, *words]))),
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, command: str) -> str:
        """Start a job on the node as soon as that is available; returns its id once it runs."""
        wait_until(self.is_available, "the node to be available")
        job_id = self.run("job", "start", command, NODE, "--capture", "--detach").stdout.strip()
        wait_until(lambda: self.outcome(job_id)["status"] != "new", f"{command} to be taken")
        wait_until(lambda: self.outcome(job_id)["status"] != "ready", f"{command} to run")
        return job_id

    def is_available(self) -> bool:
        """Whether the node can take a job."""
        listed = json.loads(self.run("node", "list", "--format", "json").stdout or "[]")
        return [each["available"] for each in listed if each["name"] == NODE] == [True]

    def outcome(self, job_id: str) -> Dict[str, Any]:
        """What became of the node in a job."""
        shown = json.loads(self.run("job", "show", job_id, "--format", "json").stdout)
        outcome: Dict[str, Any] = shown["nodes"][0]
        return outcome

    def ended(self, job_id: str) -> Dict[str, Any]:
        """The same, once it does not change any more."""

        def final() -> Optional[Dict[str, Any]]:
            outcome = self.outcome(job_id)
            return None if outcome["status"] in OPEN else outcome

        found: Dict[str, Any] = wait_until(final, f"the end of {job_id}")
        return found

    def late(self, job_id: str) -> Dict[str, Any]:
        """The result that came after the node was given up."""
        late: Dict[str, Any] = wait_until(lambda: self.outcome(job_id)["late"], "a late result")
        return late


@pytest.fixture
def operator(lab: Lab, node: Node) -> Iterator[Operator]:
    """Somebody with a node that works, before and after the test."""
    made = Operator(lab)
    wait_until(made.is_available, "the node to be available")
    yield made
    wait_until(made.is_available, "the node to be available again")
    told = made.run("job", "start", "true", NODE)
    assert told.returncode == 0, told


def _main_pid(node: Node, unit: str) -> str:
    return node.run("systemctl", "show", "-p", "MainPID", "--value", unit).strip()


def test_a_cable_that_is_pulled_for_a_moment_changes_nothing(
    node: Node, operator: Operator
) -> None:
    job_id = operator.start("short")
    node.cut()
    time.sleep(1)  # the fault itself: shorter than the three heartbeats that a node may miss
    node.heal()
    assert operator.ended(job_id)["status"] == "succeeded"


def test_a_cable_that_is_pulled_until_the_node_is_given_up(node: Node, operator: Operator) -> None:
    job_id = operator.start("short")
    node.cut()
    ended = operator.ended(job_id)
    assert ended["status"] == "crashed" and "heartbeat" in ended["reason"]
    node.heal()
    late = operator.late(job_id)
    assert (late["status"], late["exit_code"]) == ("succeeded", 0)
    assert "begun\ndone\n" in operator.run("job", "output", job_id, NODE).stdout


def test_a_node_that_crashes_during_a_job(node: Node, operator: Operator) -> None:
    job_id = operator.start("long")
    node.crash()
    ended = operator.ended(job_id)
    assert ended["status"] == "crashed"
    node.boot()


def test_a_node_that_crashes_before_its_result_was_confirmed(
    node: Node, operator: Operator
) -> None:
    job_id = operator.start("short")
    node.cut()
    spool = f"/var/lib/push-jobs-client/spool/{job_id}/result.json"
    wait_until(lambda: _is_there(node, spool), "the result in the spool")
    node.crash()
    node.boot()
    node.heal()
    assert operator.ended(job_id)["status"] == "crashed"
    assert operator.late(job_id)["status"] == "succeeded"


def _is_there(node: Node, path: str) -> bool:
    return node.run("sh", "-c", f"test -e {path} && echo yes || true") == "yes\n"


def test_a_job_that_reboots_its_node(node: Node, operator: Operator) -> None:
    started = node.run("cat", "/proc/1/stat").split()[21]
    job_id = operator.start("reboot")
    outcome = operator.ended(job_id)
    # The command itself just asks for the reboot; whether it ends before that is a race.
    assert outcome["status"] in ("succeeded", "crashed")
    wait_until(lambda: _started(node) not in ("", started), "the reboot")
    node.wait_until_ready()


def _started(node: Node) -> str:
    try:
        return node.run("cat", "/proc/1/stat").split()[21]
    except LabError:
        return ""


def test_a_session_that_is_killed_during_a_job(node: Node, operator: Operator) -> None:
    job_id = operator.start("short")
    node.run("kill", "-9", _main_pid(node, SESSION))
    assert operator.ended(job_id)["status"] == "succeeded"


def test_a_runner_that_is_killed_during_a_job(node: Node, operator: Operator) -> None:
    job_id = operator.start("long")
    node.run("kill", "-9", _main_pid(node, RUNNER))
    ended = operator.ended(job_id)
    assert (ended["status"], ended["reason"]) == ("crashed", "the runner died while the job ran")
    assert "sleep 60" not in node.run("ps", "-eo", "args")


def test_a_disk_that_is_full(node: Node, operator: Operator) -> None:
    spool = "/var/lib/push-jobs-client/spool"
    node.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=2710,gid=push-jobs-client", "t", spool)
    try:
        job_id = operator.start("talk")
        log = ["journalctl", "-u", RUNNER, "--no-pager", "-n", "20"]
        waits = f"job {job_id}: its result cannot be stored yet: No space left on device"
        wait_until(lambda: waits in node.run(*log), "the result to wait for room")
        assert operator.outcome(job_id)["status"] == "running"
        node.run("mount", "-o", "remount,size=8m", spool)
        ended = operator.ended(job_id)
        assert ended["status"] == "succeeded"
        assert "output was lost: No space left on device" in ended["reason"]
        wait_until(lambda: not node.run("ls", spool), "the job to be forgotten")
        node.run("sh", "-c", f"cat /dev/zero > {spool}/ballast 2>/dev/null; true")
        refused = operator.run("job", "start", "true", NODE, "--format", "json")
        outcome = json.loads(refused.stdout)["nodes"][0]
        assert outcome["status"] in OVER
        assert "No space left on device" in outcome["reason"]
    finally:
        node.run("umount", spool)


def test_a_clock_that_is_an_hour_off(node: Node, operator: Operator) -> None:
    folder = f"/etc/systemd/system/{SESSION}.service.d"
    library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
    lines = f"[Service]\nEnvironment=LD_PRELOAD={library} FAKETIME=+1h\n"
    node.run("sh", "-c", f"mkdir -p {folder} && cat > {folder}/clock.conf", text=lines)
    node.run("systemctl", "daemon-reload")
    try:
        node.run("systemctl", "restart", SESSION)
        wait_until(lambda: not operator.is_available(), "the node to be refused")
        shown = wait_until(
            lambda: _mention(operator.run("node", "show", NODE).stdout, "clock"), "the reason"
        )
        assert "clock" in shown
    finally:
        node.run("rm", "-r", folder)
        node.run("systemctl", "daemon-reload")
        node.run("systemctl", "restart", SESSION)


def _mention(text: str, word: str) -> Optional[str]:
    return text if word in text else None
