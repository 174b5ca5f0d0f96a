"""bench soak: a day of work in minutes: thousands of jobs while nodes come and go.

Memory is read after each hundred jobs; its slope over the second half is what grows for good. In
the end threads and file handles have to be as before, old rows gone, and no job without an end.
"""

from __future__ import annotations

import json
import random
import time
from typing import Dict, List, Sequence

import psutil
from house import House
from waiting import wait_until

from push_jobs import Client
from push_jobs_server import data
from push_jobs_server.store import Store
from push_jobs_wire.states import FINAL_JOB
from tests.bench.common import Figures, arguments, report, temporary_house
from tests.bench.fanout import admit, new_node, simulation

SECONDS = 600.0
NODES = 60
JOB_NODES = 10
HUNDRED = 100
"""Jobs between two looks at the memory, and between two departures of all nodes."""
KEPT = 500
MIB = 1024 * 1024
SETTINGS = {
    "heartbeat_interval": 1.0,
    "request_skew": 5,
    "history.late_window": 10,
    "history.keep_jobs": KEPT,
    "history.interval": 2.0,
    "job_linger": 1.0,
}


def main() -> None:
    """Measure and report."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long to go on")
    options = parser.parse_args()
    nodes = [new_node(f"node{number:03d}") for number in range(NODES)]
    with temporary_house(**SETTINGS) as house:
        house.stop_server()
        admit(house.data, nodes)
        house.start_server()
        figures = soak(house, nodes, options.seconds)
    report("soak", figures, options.json)


def soak(house: House, nodes: Sequence[Sequence[str]], seconds: float) -> Figures:
    """Run jobs for so long; what became of the server."""
    assert house.server is not None
    server = psutil.Process(house.server.pid)
    until = time.monotonic() + seconds
    with house.client() as client:
        some_jobs(house, client, nodes)  # everything has been used once
        before = (server.num_threads(), server.num_fds())
        memory: List[float] = []
        while time.monotonic() < until or len(memory) < 4:
            some_jobs(house, client, nodes)
            memory.append(server.memory_info().rss / MIB)
        open_jobs = [job for job in client.jobs() if job.status not in FINAL_JOB]
        wait_until(lambda: stored_jobs(house) <= KEPT + HUNDRED, "old jobs to be removed")
        wait_until(lambda: server.num_fds() <= before[1] + 2, "connections to be closed")
        after = (server.num_threads(), server.num_fds())
    return {
        "jobs": float(len(memory) * HUNDRED),
        "memory_mib": memory[-1],
        "slope_mib_per_1000_jobs": slope(memory[len(memory) // 2 :]) * 1000 / HUNDRED,
        "more_threads": float(after[0] - before[0]),
        "more_handles": float(after[1] - before[1]),
        "jobs_kept": float(stored_jobs(house)),
        "jobs_without_end": float(len(open_jobs)),
    }


def some_jobs(house: House, client: Client, nodes: Sequence[Sequence[str]]) -> None:
    """The nodes come, take a hundred jobs, and go."""
    addresses = json.loads((house.data / "run" / "addresses.json").read_text())
    server_key, _ = data.curve_keys(house.data)
    names = [node[0] for node in nodes]
    statuses: Dict[str, int] = {}
    address = f"tcp://127.0.0.1:{addresses['command_port']}"
    with simulation(address, server_key, nodes, beat=SETTINGS["heartbeat_interval"]):
        wait_until(
            lambda: sum(node.available for node in client.nodes()) == len(nodes), "all nodes"
        )
        for _ in range(HUNDRED):
            job_id = client.start_job("true", random.sample(names, JOB_NODES), quorum=1)
            status = client.job(job_id, wait=30).status.value
            statuses[status] = statuses.get(status, 0) + 1
    assert statuses == {"complete": HUNDRED}, statuses


def stored_jobs(house: House) -> int:
    """Rows in the table of jobs."""
    store = Store(f"sqlite:///{house.data / 'push-jobs.db'}")
    try:
        with store.reading() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar() or 0)
    finally:
        store.close()


def slope(values: Sequence[float]) -> float:
    """How much a value grows from one to the next, by least squares."""
    middle = (len(values) - 1) / 2
    mean = sum(values) / len(values)
    above = sum((x - middle) * (y - mean) for x, y in enumerate(values))
    return above / sum((x - middle) ** 2 for x in range(len(values)))


if __name__ == "__main__":
    main()
