"""bench api: signed GETs per second over kept-alive connections, beside unsigned ones.

Clients are processes of their own: what is measured is the server. The floor is the same server,
asked for its CA certificate, for which nobody signs.
"""

from __future__ import annotations

import multiprocessing
import time
from typing import Any, List, Tuple

from tests.bench.common import Figures, arguments, median, report, temporary_house

CLIENTS = 4
SECONDS = 3.0
ROUNDS = 5


def main() -> None:
    """Measure and report."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each is measured")
    options = parser.parse_args()
    with temporary_house(heartbeat_interval=10.0) as house:
        plan = (house.url, str(house.key_file), str(house.data / "ca.crt"))
        rounds = [(rate(plan, True), rate(plan, False)) for _ in range(options.rounds)]
    signed, unsigned = (median(column) for column in zip(*rounds))
    figures: Figures = {
        "signed_per_s": signed,
        "unsigned_per_s": unsigned,
        "ratio_to_unsigned": median([each[0] / each[1] for each in rounds]),
    }
    report("api", figures, options.json)


def rate(plan: Tuple[str, str, str], signed: bool) -> float:
    """Answers per second of all clients together."""
    with multiprocessing.get_context("fork").Pool(CLIENTS) as pool:
        counts: List[int] = pool.starmap(ask, [(*plan, signed)] * CLIENTS)
    return sum(counts) / SECONDS


def ask(url: str, key_file: str, ca_file: str, signed: bool) -> int:
    """Requests of one client, one after the other, for some seconds."""
    import requests

    from push_jobs_wire import chef_auth

    session, count = requests.Session(), 0
    session.trust_env = False
    with open(key_file, "rb") as file:
        key = chef_auth.load_private_key(file.read())
    base, _, path = url.partition("/organizations/")
    target = f"/organizations/{path}/pushy/node_states/web1" if signed else "/pushy/v1/ca"
    until = time.monotonic() + SECONDS
    headers: Any = {}
    while time.monotonic() < until:
        if signed and count % 100 == 0:  # one signature may be used for a while
            stamp = chef_auth.timestamp(time.time())
            headers = chef_auth.sign(
                method="GET",
                target=target,
                body=b"",
                user_id="admin",
                timestamp=stamp,
                private_key=key,
            )
        answer = session.get(base + target, headers=headers, verify=ca_file)
        assert answer.status_code == 200, answer.text
        count += 1
    return count


if __name__ == "__main__":
    main()
