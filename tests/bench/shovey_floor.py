"""The floor of bench shovey: what one node can't do without, in one process without our code.

It checks a signature, runs ``true``, and sends two signed reports through TLS on a connection that
is kept, "running" and the end; the server only answers. Nothing is parsed, looked up or stored, and
no output is sent. Each round begins after a pause, as jobs do.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import List

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.bench.common import median
from tests.bench.latency import tls_server

ROUNDS = 60
PAUSE = 0.1


def floor_ms(data: Path) -> float:
    """Milliseconds from the command to the answer to the last report.

    Args:
        data: data directory of a server, for its certificate.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    command = bytes(400)
    signed = key.sign(command, padding.PKCS1v15(), hashes.SHA256())
    times: List[float] = []
    with tls_server(data) as ask:
        for _ in range(ROUNDS):
            time.sleep(PAUSE)
            begin = time.perf_counter()
            key.public_key().verify(signed, command, padding.PKCS1v15(), hashes.SHA256())
            with subprocess.Popen(["true"]) as process:
                for _ in range(2):
                    key.sign(command, padding.PKCS1v15(), hashes.SHA256())
                    ask()
                process.wait()
            times.append((time.perf_counter() - begin) * 1000)
    return median(times)
