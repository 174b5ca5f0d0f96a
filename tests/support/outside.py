"""Somebody at a workstation outside of the nodes, who uses push-jobs as people do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

from waiting import wait_until

Word = Union[str, Path]
wait_long = partial(wait_until, patience=60.0)
"""For nodes, which take longer for everything than processes do."""


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
    """Runs our command line.

    Args:
        variables: which server, who, and with which key, as PUSHJOBS_*; the environment's, if none.
        inside: makes a command line one that reaches the nodes.
    """

    def __init__(
        self,
        variables: Mapping[str, str] = {},
        inside: Callable[[Sequence[Word]], Sequence[Word]] = lambda words: words,
    ) -> None:
        self._environment = {**os.environ, **variables}
        self._inside = inside

    def push_jobs(self, *words: str) -> Told:
        """Run push-jobs to its end."""
        program = Path(sys.executable).parent / "push-jobs"
        done = subprocess.run(
            list(map(str, self._inside([program, *words]))),
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
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

        def over() -> Optional[Dict[str, Any]]:
            job = self.job(job_id)
            return None if job["status"] in ("voting", "running") else job

        found: Dict[str, Any] = wait_long(over, f"the end of job {job_id}")
        return found

    def available(self) -> List[str]:
        """The nodes that can take jobs; none while the server is away."""
        listed = json.loads(self.push_jobs("node", "list", "--format", "json").out or "[]")
        return [each["name"] for each in listed if each["available"]]

    def wait_available(self, *names: str) -> None:
        """Wait until nodes can take jobs."""
        text = f"{', '.join(names)} to be available"
        wait_long(lambda: set(names) <= set(self.available()), text)
