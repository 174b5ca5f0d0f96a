"""bench latency: the job `true` on one agent, from POST to `complete`, beside its floor.

The floor is what the same steps cost without our code: two TLS requests, three CURVE round trips,
five commits with FULL, and one process.
"""

from __future__ import annotations

import http.client
import http.server
import os
import sqlite3
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Callable, List

import zmq
from house import House

from push_jobs import Client
from tests.bench.common import Figures, arguments, median, percentile, report, temporary_house

RUNS = 500
FLOOR_RUNS = 200
REQUESTS, ROUND_TRIPS, COMMITS = 2, 3, 5


def main() -> None:
    """Measure and report."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS, help="how many jobs to time")
    options = parser.parse_args()
    with temporary_house() as house:
        house.add_agent("web1", {"true": ["true"]}, log_level="info")
        house.wait_available("web1")
        with house.client() as client:
            times = [one_job(client) for _ in range(options.runs + 10)][10:]
        parts = floor_parts(house)
    floor = sum(parts.values())
    p50 = median(times)
    figures: Figures = {"p50_ms": p50, "p99_ms": percentile(times, 99)}
    report(
        "latency",
        {**figures, **parts, "floor_ms": floor, "ratio_to_floor": p50 / floor},
        options.json,
    )


def one_job(client: Client) -> float:
    """Milliseconds from POST to complete."""
    begin = time.perf_counter()
    job_id = client.start_job("true", ["web1"])
    while True:
        job = client.job(job_id)
        if job.ended:
            assert job.succeeded, job
            return (time.perf_counter() - begin) * 1000
        time.sleep(0.001)


def floor_parts(house: House) -> Figures:
    """Milliseconds of each part of the floor, medians."""
    return {
        "floor_tls_ms": REQUESTS * tls_request(house.data),
        "floor_curve_ms": ROUND_TRIPS * curve_round_trip(),
        "floor_commit_ms": COMMITS * commit(),
        "floor_process_ms": timed(lambda: subprocess.run(["true"], check=True)),
    }


def timed(step: Callable[[], object]) -> float:
    """The median time of a step in milliseconds."""
    times: List[float] = []
    for _ in range(FLOOR_RUNS):
        begin = time.perf_counter()
        step()
        times.append((time.perf_counter() - begin) * 1000)
    return median(times)


class _Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        pass


def tls_request(data: Path) -> float:
    """One request over a TLS connection that is kept alive."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hello)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(data / "server.crt", data / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    trust = ssl.create_default_context(cafile=str(data / "ca.crt"))
    connection = http.client.HTTPSConnection("127.0.0.1", server.server_port, context=trust)

    def ask() -> None:
        connection.request("GET", "/")
        connection.getresponse().read()

    try:
        return timed(ask)
    finally:
        connection.close()
        server.shutdown()
        server.server_close()


def curve_round_trip() -> float:
    """One message there and back over CURVE sockets."""
    context = zmq.Context()
    public, secret = zmq.curve_keypair()
    router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    router.curve_server, router.curve_secretkey = True, secret
    dealer.curve_serverkey = public
    dealer.curve_publickey, dealer.curve_secretkey = zmq.curve_keypair()
    dealer.connect(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")

    def ask() -> None:
        dealer.send(bytes(400))
        router.send_multipart(router.recv_multipart())
        dealer.recv()

    try:
        return timed(ask)
    finally:
        context.destroy(linger=0)


def commit() -> float:
    """One small transaction of SQLite, on disk when it returns."""
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(os.path.join(folder, "floor.db"), isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE t (a TEXT)")
        try:
            return timed(lambda: database.execute("INSERT INTO t VALUES ('a')"))
        finally:
            database.close()


if __name__ == "__main__":
    main()
