"""bench latency: the job `true` on one agent, from POST to `complete`, beside its floor.

The floor is what the same steps cost without our code, with the same libraries: two TLS requests on
a connection that is kept alive (requests, Cheroot, Bottle; signed and checked by cryptography),
three CURVE round trips, five commits with FULL, and one process.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, List

import requests
import zmq
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
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
    job = client.job(client.start_job("true", ["web1"]), wait=30)
    assert job.succeeded, job
    return (time.perf_counter() - begin) * 1000


def floor_parts(house: House) -> Figures:
    """Milliseconds of each part of the floor, medians."""
    return {
        "floor_tls_ms": REQUESTS * tls_request(house.data),
        "floor_signature_ms": REQUESTS * signature(),
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


_SERVER = """
import sys
import bottle
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server
app = bottle.Bottle()
app.route("/", method=["GET", "POST"], callback=lambda: {"uri": "x" * 400})
server = Server(("127.0.0.1", 0), app)
server.ssl_adapter = BuiltinSSLAdapter(*sys.argv[1:3])
server.prepare()
print(server.bind_addr[1], flush=True)
server.serve()
"""


def tls_request(data: Path) -> float:
    """One request over a TLS connection that is kept alive, and the answer of another process."""
    with tls_server(data) as ask:
        return timed(ask)


@contextmanager
def tls_server(data: Path) -> Iterator[Callable[[], object]]:
    """Makes such a request; the certificate is that of the server with this data directory."""
    files = [str(data / "server.crt"), str(data / "server.key")]
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, *files], stdout=subprocess.PIPE, text=True
    ) as server, requests.Session() as session:
        assert server.stdout is not None
        url, trust = f"https://127.0.0.1:{int(server.stdout.readline())}/", str(data / "ca.crt")
        session.trust_env = False
        try:
            yield lambda: session.post(url, json={"command": "true"}, verify=trust).json()
        finally:
            server.kill()


def signature() -> float:
    """One signature of a request, made and checked."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key()

    def sign() -> None:
        signed = key.sign(bytes(400), padding.PKCS1v15(), hashes.SHA256())
        public.verify(signed, bytes(400), padding.PKCS1v15(), hashes.SHA256())

    return timed(sign)


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
