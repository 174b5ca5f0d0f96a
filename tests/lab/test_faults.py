"""What becomes of a job when its node loses network, power, disk or processes, on real nodes.

docs/faults.md tells people what these tests prove: each fault has one result, and it is true.
"""

from __future__ import annotations

import json
import time
from typing import Any, Dict, Iterator, Optional

import built_packages
import kitchen
import pytest
from lab import image
from lab.network import Lab
from lab.node import Node
from labs import main_pid, new_lab
from outside import Operator, wait_long

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
NEVER_RAN = ("was_ready", "unavailable", "nacked", "timed_out")
OVER = ("nacked", "failed", "crashed")
SETTINGS = f"""chef_server_url: {kitchen.SERVER}
node_name: {NODE}
start_runner: false
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab with a server on a node of its own; it notices in 6 s that a node is gone."""
    with new_lab("faults") as made:
        kitchen.hub(made, "heartbeat_interval=2")
        yield made


@pytest.fixture(scope="module")
def node(lab: Lab) -> Node:
    """A node with an agent from our packages."""
    key = kitchen.register(kitchen.hub(lab), NODE)
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


class OneNode(Operator):
    """Somebody outside who looks after the one node."""

    def start_there(self, command: str) -> str:
        """Start a job as soon as the node is available; returns its id once it runs."""
        self.wait_available(NODE)
        job_id = self.start(command, NODE, options=("--capture",))
        wait_long(lambda: self.outcome(job_id)["status"] != "new", f"{command} to be taken")
        wait_long(lambda: self.outcome(job_id)["status"] != "ready", f"{command} to run")
        outcome = self.outcome(job_id)
        assert outcome["status"] not in NEVER_RAN, outcome
        return job_id

    def outcome(self, job_id: str) -> Dict[str, Any]:
        """What became of the node in a job."""
        outcome: Dict[str, Any] = self.job(job_id)["nodes"][0]
        return outcome

    def final(self, job_id: str) -> Dict[str, Any]:
        """The same, once it does not change any more."""

        def over() -> Optional[Dict[str, Any]]:
            outcome = self.outcome(job_id)
            return None if outcome["status"] in OPEN else outcome

        found: Dict[str, Any] = wait_long(over, f"the end of {job_id}")
        return found

    def late(self, job_id: str) -> Dict[str, Any]:
        """The result that came after the node was given up."""
        late: Dict[str, Any] = wait_long(lambda: self.outcome(job_id)["late"], "a late result")
        return late


@pytest.fixture
def operator(lab: Lab, node: Node) -> Iterator[OneNode]:
    """Somebody with a node that works, before and after the test."""
    made = OneNode(kitchen.operator_variables(lab), lab.inside)
    made.wait_available(NODE)
    yield made
    # A test that failed may have left it so; the next one is not to fail for that.
    node.heal()
    if node.pid is None:
        node.boot()
    made.wait_available(NODE)
    told = made.run("true", NODE)
    assert told.code == 0, told


def test_a_cable_that_is_pulled_for_a_moment_changes_nothing(node: Node, operator: OneNode) -> None:
    job_id = operator.start_there("short")
    node.cut()
    time.sleep(1)  # the fault itself: shorter than the three heartbeats that a node may miss
    node.heal()
    assert operator.final(job_id)["status"] == "succeeded"


def test_a_cable_that_is_pulled_until_the_node_is_given_up(node: Node, operator: OneNode) -> None:
    job_id = operator.start_there("short")
    node.cut()
    ended = operator.final(job_id)
    assert ended["status"] == "crashed" and "heartbeat" in ended["reason"]
    node.heal()
    late = operator.late(job_id)
    assert (late["status"], late["exit_code"]) == ("succeeded", 0)
    assert "begun\ndone\n" in operator.push_jobs("job", "output", job_id, NODE).out


def test_a_node_that_crashes_during_a_job(node: Node, operator: OneNode) -> None:
    job_id = operator.start_there("long")
    node.crash()
    ended = operator.final(job_id)
    assert ended["status"] == "crashed"
    node.boot()


def test_a_node_that_crashes_before_its_result_was_confirmed(node: Node, operator: OneNode) -> None:
    job_id = operator.start_there("short")
    node.cut()
    spool = f"/var/lib/push-jobs-client/spool/{job_id}/result.json"
    wait_long(lambda: _is_there(node, spool), "the result in the spool")
    node.crash()
    assert operator.final(job_id)["status"] == "crashed"
    node.boot()
    node.heal()
    assert operator.late(job_id)["status"] == "succeeded"


def _is_there(node: Node, path: str) -> bool:
    return node.run("sh", "-c", f"test -e {path} && echo yes || true") == "yes\n"


def test_a_job_that_reboots_its_node(node: Node, operator: OneNode) -> None:
    started = node.started
    job_id = operator.start_there("reboot")
    outcome = operator.final(job_id)
    # The command itself just asks for the reboot; whether it ends before that is a race.
    assert outcome["status"] in ("succeeded", "crashed")
    wait_long(lambda: node.started not in ("", started), "the reboot")
    node.wait_until_ready()


def test_a_session_that_is_killed_during_a_job(node: Node, operator: OneNode) -> None:
    job_id = operator.start_there("short")
    node.run("kill", "-9", main_pid(node, SESSION))
    assert operator.final(job_id)["status"] == "succeeded"


def test_a_runner_that_is_killed_during_a_job(node: Node, operator: OneNode) -> None:
    job_id = operator.start_there("long")
    node.run("kill", "-9", main_pid(node, RUNNER))
    ended = operator.final(job_id)
    assert (ended["status"], ended["reason"]) == ("crashed", "the runner died while the job ran")
    assert "sleep 60" not in node.run("ps", "-eo", "args")


def test_a_disk_that_is_full(node: Node, operator: OneNode) -> None:
    spool = "/var/lib/push-jobs-client/spool"
    node.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=2710,gid=push-jobs-client", "t", spool)
    try:
        job_id = operator.start_there("talk")
        log = ["journalctl", "-u", RUNNER, "--no-pager", "-n", "20"]
        waits = f"job {job_id}: its result cannot be stored yet: No space left on device"
        wait_long(lambda: waits in node.run(*log), "the result to wait for room")
        assert operator.outcome(job_id)["status"] == "running"
        node.run("mount", "-o", "remount,size=8m", spool)
        ended = operator.final(job_id)
        assert ended["status"] == "succeeded"
        assert "output was lost: No space left on device" in ended["reason"]
        wait_long(lambda: not node.run("ls", spool), "the job to be forgotten")
        node.run("sh", "-c", f"cat /dev/zero > {spool}/ballast 2>/dev/null; true")
        (outcome,) = operator.run("true", NODE).job["nodes"]
        assert outcome["status"] in OVER
        assert "No space left on device" in outcome["reason"]
    finally:
        node.run("umount", spool)


def test_a_clock_that_is_an_hour_off(node: Node, operator: OneNode) -> None:
    folder = f"/etc/systemd/system/{SESSION}.service.d"
    library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
    lines = f"[Service]\nEnvironment=LD_PRELOAD={library} FAKETIME=+1h\n"
    node.run("sh", "-c", f"mkdir -p {folder} && cat > {folder}/clock.conf", text=lines)
    node.run("systemctl", "daemon-reload")
    try:
        node.run("systemctl", "restart", SESSION)
        wait_long(lambda: NODE not in operator.available(), "the node to be refused")
        shown = wait_long(
            lambda: _mention(operator.push_jobs("node", "show", NODE).out, "clock"), "the reason"
        )
        assert "clock" in shown
    finally:
        node.run("rm", "-r", folder)
        node.run("systemctl", "daemon-reload")
        node.run("systemctl", "restart", SESSION)


def _mention(text: str, word: str) -> Optional[str]:
    return text if word in text else None
