"""What the tests of all suites share: the node from outside, and the operator's programs.

They run inside the lab, started by scripts/kitchen. Other runs of pytest do not collect them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest

if "KITCHEN_SUITE" not in os.environ:
    collect_ignore_glob = ["*"]

PATIENCE = 30.0


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of ``condition``; fails after a while."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"waited {PATIENCE} s in vain for {what}")


@dataclass(frozen=True)
class Told:
    """What a program of the operator said."""

    code: int
    out: str
    err: str

    @property
    def job(self) -> Dict[str, Any]:
        """The job of ``--format json``."""
        found: Dict[str, Any] = json.loads(self.out)
        return found

    def printed(self, stream: str = "stdout") -> List[str]:
        """What the nodes of the job printed, in the order of their names."""
        pieces = [each for each in self.job["output"] if each["stream"] == stream]
        return [each["content"] for each in sorted(pieces, key=lambda each: str(each["node"]))]


class Operator:
    """Somebody at a workstation outside of the nodes."""

    def push_jobs(self, *words: str) -> Told:
        """Run our command line; the environment says which server, who, and with which key."""
        program = str(Path(sys.executable).parent / "push-jobs")
        done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
        return Told(done.returncode, done.stdout, done.stderr)

    def start(self, command: str, *nodes: str, options: "tuple[str, ...]" = ()) -> str:
        """Start a job and do not wait for it; returns its id."""
        told = self.push_jobs("job", "start", command, *nodes, "--detach", *options)
        assert told.code == 0, told
        return told.out.strip()

    def run(self, command: str, *nodes: str, options: "tuple[str, ...]" = ()) -> Told:
        """Start a job, with its output, and wait for its end."""
        words = ["job", "start", *options, "--capture", "--format", "json"]
        return self.push_jobs(*words, command, *nodes)

    def job(self, job_id: str) -> Dict[str, Any]:
        """A job as it is now."""
        return self.push_jobs("job", "show", job_id, "--format", "json").job

    def ended(self, job_id: str) -> Dict[str, Any]:
        """A job once it has ended."""
        found: Dict[str, Any] = wait_until(lambda: self._ended(job_id), f"job {job_id}")
        return found

    def _ended(self, job_id: str) -> Optional[Dict[str, Any]]:
        job = self.job(job_id)
        return None if job["status"] in ("voting", "running") else job

    def available(self) -> List[str]:
        """The nodes that can take jobs."""
        listed = json.loads(self.push_jobs("node", "list", "--format", "json").out)
        return [each["name"] for each in listed if each["available"]]

    def wait_available(self, *names: str) -> None:
        """Wait until nodes can take jobs."""
        wait_until(
            lambda: set(names) <= set(self.available()), f"{', '.join(names)} to be available"
        )


class Machine:
    """The node of a suite, as its administrator sees it."""

    def __init__(self, host: Any) -> None:
        self._host = host

    def pid(self, unit: str) -> int:
        """The main process of a service; 0 when it is down."""
        shown = self._host.check_output(f"systemctl show -p MainPID --value {unit}")
        return int(shown)

    def converge(self, *run_list: str, **push_jobs: Any) -> Any:
        """Run Chef once more, with other attributes below push_jobs; returns how it went."""
        dna = json.loads(self._host.check_output("cat /tmp/kitchen/dna.json"))
        _merge(dna.setdefault("push_jobs", {}), push_jobs)
        if run_list:
            dna["run_list"] = list(run_list)
        text = json.dumps(dna).replace("'", "'\\''")
        self._host.check_output(f"printf %s '{text}' > /tmp/kitchen/again.json")
        return self._host.run(
            "cd /tmp/kitchen && /opt/chef/bin/chef-client --local-mode --config client.rb "
            "--json-attributes again.json --chef-zero-port 8889 --no-color"
        )


def _merge(into: Dict[str, Any], changes: Dict[str, Any]) -> None:
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


@pytest.fixture
def machine(host: Any) -> Machine:
    """The node of this suite."""
    return Machine(host)


@pytest.fixture
def operator() -> Operator:
    """Somebody who may start jobs."""
    return Operator()
