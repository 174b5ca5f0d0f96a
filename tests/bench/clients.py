"""bench clients: the Ruby push client and our agent in turn: time of a job, and memory.

Each has a server of the same small kind that tests have, so that nothing but the client counts:
the time from when `run` is sent until the result of `true` has come. Jobs alternate, because the
machine may be busy. Memory is what is resident afterwards; ours is that of session and runner.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Tuple
from uuid import uuid4

from agent_process import AgentProcess
from peer import Missing
from raw_server import RawServer, key_of
from ruby_client import RubyClient

from push_jobs_wire.messages import Commit, Run
from tests.bench.agent import resident
from tests.bench.common import Figures, arguments, median, percentile, report

RUNS = 100
WARM_UP = 10
INTERVAL = 1.0
NODE = "web1"
COMMANDS = {"true": "true"}


def main() -> None:
    """Measure and report."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS, help="how many jobs to time of each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="push-jobs-bench-") as name, ExitStack() as stack:
        report("clients", measure(Path(name), stack, options.runs), options.json)


def measure(folder: Path, stack: ExitStack, runs: int) -> Figures:
    """Start both, give each as many jobs, and return the figures; the stack stops everything."""
    try:
        ruby, ruby_server = start_ruby(folder / "ruby", stack)
    except Missing as reason:
        raise SystemExit(f"error: {reason}") from None
    agent, our_server = start_ours(folder / "ours", stack)
    for server in (ruby_server, our_server):
        server.expect("heartbeat")
        server.expect("heartbeat")
    pairs = [(one_job(ruby_server), one_job(our_server)) for _ in range(WARM_UP + runs)]
    theirs, ours = (list(times) for times in zip(*pairs[WARM_UP:]))
    assert agent.session is not None
    ruby_mib = resident(ruby.pid)
    our_mib = resident(agent.session.pid) + resident(agent.runner_pid)
    return {
        "ruby_p50_ms": median(theirs),
        "ruby_p99_ms": percentile(theirs, 99),
        "ours_p50_ms": median(ours),
        "ours_p99_ms": percentile(ours, 99),
        "run_to_result_ratio": median(ours) / median(theirs),
        "ruby_rss_mib": ruby_mib,
        "ours_rss_mib": our_mib,
        "memory_ratio": our_mib / ruby_mib,
    }


def start_server(folder: Path, stack: ExitStack) -> RawServer:
    """A server in an empty folder of its own."""
    folder.mkdir()
    return stack.enter_context(closing(RawServer(folder, interval=INTERVAL)))


def start_ruby(folder: Path, stack: ExitStack) -> Tuple[RubyClient, RawServer]:
    """The Ruby client and its server. Raises Missing."""
    server = start_server(folder, stack)
    place = folder / "node"
    client = RubyClient(NODE, place, server.url, server.ca_file, key_of(NODE), COMMANDS)
    client.start()
    stack.callback(client.stop)
    return client, server


def start_ours(folder: Path, stack: ExitStack) -> Tuple[AgentProcess, RawServer]:
    """Our agent and its server."""
    server = start_server(folder, stack)
    place, more = folder / "node", {"log_level": "info"}
    agent = AgentProcess(place, server.url, server.ca_file, key_of(NODE), COMMANDS, **more)
    stack.enter_context(closing(agent))
    agent.start()
    return agent, server


def one_job(server: RawServer) -> float:
    """Milliseconds from `run` to the result."""
    job_id = uuid4().hex
    server.say(Commit(job_id, "true", server="push", capture=False, run_timeout=60))
    server.expect("ack_commit", job_id=job_id)
    begin = time.perf_counter()
    server.say(Run(job_id))
    server.expect("succeeded", job_id=job_id)
    return (time.perf_counter() - begin) * 1000


if __name__ == "__main__":
    main()
