"""The nodes of the lab: they boot, can be reached and disturbed, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest
from lab import image
from lab.commands import LabError
from lab.network import Lab
from lab.node import Node
from labs import new_lab
from outside import wait_long


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of these tests alone."""
    with new_lab("test") as made:
        yield made
    assert not Path(f"/run/netns/{made.name}").exists()


@pytest.fixture(scope="module")
def node(lab: Lab) -> Node:
    """A node that is on."""
    made = lab.add("n1", [image.base(print)])
    made.write("/etc/marked", "before the boot\n")
    made.boot()
    return made


_CALL = "import socket, sys; socket.create_connection((sys.argv[1], 22), 1)"


def _answers(lab: Lab, node: Node) -> bool:
    words = lab.inside([sys.executable, "-c", _CALL, node.address])
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_a_node_runs_systemd_and_what_was_put_into_it(node: Node) -> None:
    assert node.run("cat", "/proc/1/comm").strip() == "systemd"
    assert node.run("hostname").strip() == "n1"
    assert node.run("cat", "/etc/marked") == "before the boot\n"
    assert node.run("systemctl", "is-active", "ssh").strip() == "active"


def test_a_command_that_fails_inside_is_told_with_its_words(node: Node) -> None:
    with pytest.raises(LabError, match="No such file"):
        node.run("cat", "/nowhere")


def test_a_command_inside_can_not_set_the_clock_of_this_machine(node: Node) -> None:
    with pytest.raises(LabError, match="(?i)operation not permitted"):
        node.run("date", "-s", "2020-01-01")


def test_files_can_be_copied_into_a_node(node: Node, tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "file").write_text("hello\n")
    node.put(tmp_path / "some", "/var/tmp/here")
    assert node.run("cat", "/var/tmp/here/some/file") == "hello\n"


def test_a_pulled_cable_is_felt_and_mended(lab: Lab, node: Node) -> None:
    assert _answers(lab, node)
    node.cut()
    assert not _answers(lab, node)
    node.heal()
    wait_long(lambda: _answers(lab, node), "the node to answer")


def test_a_node_keeps_its_files_over_a_crash_and_a_reboot(node: Node) -> None:
    node.run("sh", "-c", "echo kept > /root/kept && sync")
    node.crash()
    with pytest.raises(LabError, match="is off"):
        node.run("true")
    node.boot()
    assert node.run("cat", "/root/kept") == "kept\n"
    boot = node.started
    node.run("systemctl", "--no-block", "reboot")
    wait_long(lambda: node.started not in ("", boot), "the reboot")
    node.wait_until_ready()
    assert node.run("cat", "/root/kept") == "kept\n"


def test_a_removed_node_leaves_nothing_and_its_name_is_free_again(lab: Lab) -> None:
    first = lab.add("n2", [image.base(print)])
    first.boot()
    pid = first.pid
    first.remove()
    assert pid is not None and not Path(f"/proc/{pid}").exists()
    assert [each.name for each in lab.nodes()] == ["n1"]
    again = lab.add("n2", [image.base(print)])
    again.remove()


_KILLED = """
import os, signal, sys
from lab import image
from labs import new_lab
with new_lab("killed") as lab:
    node = lab.add("n1", [image.base(print)])
    node.boot()
    print(lab.name, node.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_test_has_left_is_removed_by_the_next_one(lab: Lab) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _KILLED],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    name, pid = done.stdout.split()[-2:]
    namespace, process = Path("/run/netns", name), Path("/proc", pid)
    assert namespace.exists() and process.exists()
    with new_lab("next"):
        assert not namespace.exists() and not process.exists()
    # Those of processes that live are left alone.
    assert [each.name for each in lab.nodes()] == ["n1"] and lab.node("n1").pid is not None
