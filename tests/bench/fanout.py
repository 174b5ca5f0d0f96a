"""bench fanout N: one job on N nodes, simulated over real CURVE sockets in another process.

The time of a job runs from POST to the moment at which the engine had its last result. Its floor is
what the same messages and rows cost without our code: two echoes per node over CURVE (question and
vote, run and result), and N rows written once and changed twice in SQLite with FULL.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, List, Sequence, Tuple

import zmq
from house import ORG, House
from waiting import wait_until

from push_jobs import Client
from push_jobs_server import data, settings
from push_jobs_server.records import Change, Grant, GrantStored, SessionKeyStored
from push_jobs_server.store import Store
from tests.bench.common import Figures, arguments, median, report
from tests.bench.simulated_nodes import ECHO

DEFAULT = 1000
ROUNDS = 7


def main() -> None:
    """Measure and report."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("nodes", nargs="?", type=int, default=DEFAULT, help="how many nodes (N)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each size is timed")
    options = parser.parse_args()
    if options.nodes < 10:
        parser.error("at least 10 nodes are needed: sizes of N/10, N/2 and N are compared")
    names = [f"node{number:05d}" for number in range(options.nodes)]
    sizes = (options.nodes // 10, options.nodes // 2, options.nodes)
    with tempfile.TemporaryDirectory(prefix="push-jobs-bench-") as folder:
        times = jobs_ms(Path(folder), names, sizes, options.rounds)
        floor = echoes_ms(names) + rows_ms(Path(folder) / "floor.db", names)
    report("fanout", figures(sizes, times, floor), options.json)


def figures(sizes: Tuple[int, int, int], times: Sequence[Sequence[float]], floor: float) -> Figures:
    """The medians, and what one more node costs in the upper half against the lower one."""
    small, middle, large = map(median, times)
    lower = (middle - small) / (sizes[1] - sizes[0])
    upper = (large - middle) / (sizes[2] - sizes[1])
    result = {f"nodes_{size}_ms": median(each) for size, each in zip(sizes, times)}
    result.update(node_lower_ms=lower, node_upper_ms=upper, marginal_ratio=upper / lower)
    result.update(floor_ms=floor, ratio_to_floor=large / floor)
    return result


def jobs_ms(
    folder: Path, names: Sequence[str], sizes: Sequence[int], rounds: int
) -> List[List[float]]:
    """The times of jobs of each size, taken in turn."""
    with simulated_house(folder, names) as house, house.client() as client:
        one_job(client, names)
        times = [[one_job(client, names[:size]) for size in sizes] for _ in range(rounds)]
    return [list(column) for column in zip(*times)]


def one_job(client: Client, nodes: Sequence[str]) -> float:
    """Milliseconds from POST to the last result; the server reads this machine's clock."""
    begin = time.time()
    job_id = client.start_job("true", nodes)
    job = client.job(job_id, wait=60)  # asking again and again would take time from the server
    assert job.succeeded, job.status
    return (job.updated_at.timestamp() - begin) * 1000


@contextmanager
def simulated_house(folder: Path, names: Sequence[str]) -> Iterator[House]:
    """A server that knows the nodes, and the nodes connected to it."""
    house = House(folder, heartbeat_interval=10.0)
    house.init()
    nodes = [new_node(name) for name in names]
    admit(house.data, nodes)
    house.start_server()
    try:
        addresses = json.loads((house.data / "run" / "addresses.json").read_text())
        server_key, _ = data.curve_keys(house.data)
        with simulation(f"tcp://127.0.0.1:{addresses['command_port']}", server_key, nodes):
            with house.client() as client:
                wait_until(lambda: len(client.nodes()) == len(nodes), "all nodes to connect")
            yield house
    finally:
        house.kill_server()


def new_node(name: str) -> List[str]:
    """A node's name, session key (hex) and CURVE pair (Z85)."""
    public, secret = zmq.curve_keypair()
    return [name, secrets.token_hex(32), public.decode("ascii"), secret.decode("ascii")]


def admit(data_dir: Path, nodes: Sequence[Sequence[str]]) -> None:
    """What a server remembers of nodes that fetched their settings."""
    changes: List[Change] = []
    for name, secret, public, _ in nodes:
        changes.append(SessionKeyStored(ORG, name, bytes.fromhex(secret)))
        changes.append(GrantStored(Grant(public, ORG, name, time.time() + 3600)))
    store = Store(str(settings.load(data_dir)["database.url"]))
    store.write(changes)
    store.close()


@contextmanager
def simulation(
    address: str, server_key: str, nodes: Sequence[Sequence[str]], beat: float = 10.0
) -> Iterator[None]:
    """The process of the simulated nodes; it ends with its standard input."""
    plan = {"address": address, "server_key": server_key, "org": ORG, "beat": beat, "nodes": nodes}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.simulated_nodes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(plan) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        yield


def echoes_ms(names: Sequence[str]) -> float:
    """The median time of two echoes with each node, all nodes at once."""
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 64)
    public, secret = zmq.curve_keypair()
    router = context.socket(zmq.ROUTER)
    router.curve_server, router.curve_secretkey = True, secret
    port = router.bind_to_random_port("tcp://127.0.0.1")
    nodes = [new_node(name) for name in names]
    try:
        with simulation(f"tcp://127.0.0.1:{port}", public.decode("ascii"), nodes):
            addresses = [router.recv_multipart()[0] for _ in nodes]
            return median([two_echoes(router, addresses) for _ in range(ROUNDS)])
    finally:
        context.destroy(linger=0)


def two_echoes(router: Any, addresses: Sequence[bytes]) -> float:
    """Milliseconds until all nodes have sent two messages of a usual size back."""
    begin = time.perf_counter()
    for _ in range(2):
        for address in addresses:
            router.send_multipart([address, ECHO, bytes(400)])
        for _ in addresses:
            router.recv_multipart()
    return (time.perf_counter() - begin) * 1000


def rows_ms(file: Path, names: Sequence[str]) -> float:
    """The median time of one transaction that adds a row per node and two that change them."""
    database = sqlite3.connect(file, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute(
        "CREATE TABLE t (job INTEGER, node TEXT, status TEXT, PRIMARY KEY (job, node))"
    )
    try:
        return median([three_transactions(database, job, names) for job in range(ROUNDS)])
    finally:
        database.close()


def three_transactions(database: sqlite3.Connection, job: int, names: Sequence[str]) -> float:
    """Milliseconds for the rows of one job."""
    begin = time.perf_counter()
    for statement in (
        "INSERT INTO t (status, job, node) VALUES (?, ?, ?)",
        "UPDATE t SET status = ? WHERE job = ? AND node = ?",
        "UPDATE t SET status = ? WHERE job = ? AND node = ?",
    ):
        database.execute("BEGIN")
        database.executemany(statement, [("running", job, name) for name in names])
        database.execute("COMMIT")
    return (time.perf_counter() - begin) * 1000


if __name__ == "__main__":
    main()
