"""bench clients: the Ruby push client and our agent in turn at one server: time of a job, memory.

The server is the small one that tests have, so that nothing but the client counts: the time from
when `run` is sent until the result of `true` has come. There are several rounds, for the machine
may be busy now and then. Memory is resident memory after the jobs, ours of session and runner.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import List, Set, Tuple
from uuid import uuid4

from agent_process import AgentProcess
from peer import Missing
from raw_server import RawServer, key_of
from ruby_client import RubyClient

from push_jobs_wire.messages import Commit, Run
from tests.bench.agent import resident
from tests.bench.common import Figures, arguments, median, percentile, report

RUNS = 100
ROUNDS = 4
WARM_UP = 5
NODE = "web1"
COMMANDS = {"true": "true"}

Part = Tuple[List[float], float]
"""Milliseconds of each job, and MiB."""


def main() -> None:
    """Measure and report."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS, help="how many jobs to time of each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="push-jobs-bench-") as name:
        with closing(Place(Path(name), max(1, options.runs // ROUNDS))) as place:
            try:
                rounds = [(place.ruby(), place.ours()) for _ in range(ROUNDS)]
            except Missing as reason:
                raise SystemExit(f"error: {reason}") from None
    report("clients", figures(*zip(*rounds)), options.json)


def figures(ruby: Tuple[Part, ...], ours: Tuple[Part, ...]) -> Figures:
    """What came out of all rounds; of memory the largest."""
    shown: Figures = {}
    for name, parts in (("ruby", ruby), ("ours", ours)):
        times = [each for part in parts for each in part[0]]
        shown[f"{name}_p50_ms"] = median(times)
        shown[f"{name}_p99_ms"] = percentile(times, 99)
        shown[f"{name}_rss_mib"] = max(part[1] for part in parts)
    for figure, of in (("run_to_result_ratio", "p50_ms"), ("memory_ratio", "rss_mib")):
        shown[figure] = shown[f"ours_{of}"] / shown[f"ruby_{of}"]
    return shown


class Place:
    """One server for one client after the other.

    Args:
        folder: an empty folder of its own.
        runs: how many jobs each client has to do when its turn comes.
    """

    def __init__(self, folder: Path, runs: int) -> None:
        self._folder = folder
        self._runs = runs
        self._server = RawServer(folder, interval=1.0)
        self._known: Set[str] = set()

    def close(self) -> None:
        """Stop the server."""
        self._server.close()

    def ruby(self) -> Part:
        """The turn of the Ruby client. Raises Missing."""
        server = self._server
        client = RubyClient(
            NODE, self._next_folder(), server.url, server.ca_file, key_of(NODE), COMMANDS
        )
        client.start()
        try:
            return self._jobs(), resident(client.pid)
        finally:
            client.stop()

    def ours(self) -> Part:
        """The turn of our agent."""
        server = self._server
        agent = AgentProcess(
            self._next_folder(),
            server.url,
            server.ca_file,
            key_of(NODE),
            COMMANDS,
            log_level="info",
        )
        with closing(agent):
            agent.start()
            times = self._jobs()
            assert agent.session is not None
            return times, resident(agent.session.pid) + resident(agent.runner_pid)

    def _next_folder(self) -> Path:
        return self._folder / uuid4().hex

    def _jobs(self) -> List[float]:
        """Milliseconds of each job of the client that has been started."""
        server, known = self._server, self._known
        server.until(lambda: bool(self._new()), "a client that was not heard before")
        known.update(self._new())
        return [self._job() for _ in range(WARM_UP + self._runs)][WARM_UP:]

    def _new(self) -> Set[str]:
        return {body["incarnation_id"] for body in self._server.heard} - self._known

    def _job(self) -> float:
        """Milliseconds from `run` to the result."""
        server, job_id = self._server, uuid4().hex
        server.say(Commit(job_id, "true", server="push", capture=False, run_timeout=60))
        server.expect("ack_commit", job_id=job_id)
        begin = time.perf_counter()
        server.say(Run(job_id))
        server.expect("succeeded", job_id=job_id)
        return (time.perf_counter() - begin) * 1000


if __name__ == "__main__":
    main()
