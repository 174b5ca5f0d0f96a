"""bench shovey: jobs over Serf under goiardi and under our server in turn, each with our agents.

The time that Serf's own gossip takes, from the query to the last node that hears of it, is taken
off and shown apart; what is left is the work of server and agents. Each server has a Serf cluster
of its own with the same profile, and one Serf agent for each node. Beside it stands what a node
alone can't do without (``shovey_floor``): the agents are the same on both sides. Then our server
alone has many nodes, and a reader follows a node's output.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

import requests
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from goiardi_shovey import GoiardiShovey
from house import ADMIN
from peer import Missing, installed
from serf_cluster import PROGRAM, SerfCluster
from serf_place import SerfPlace, open_serf_place, over_serf
from shovey_node import ShoveyNode
from waiting import wait_until

from push_jobs_wire import chef_auth
from tests.bench.common import Figures, arguments, median, percentile, report
from tests.bench.serf_watch import Watch
from tests.bench.shovey_floor import floor_ms

JOBS = 20
NODES = 60
CROWD = 10
"""Nodes of each server, and of its larger jobs."""
CROWD_JOBS = 10
PAUSE = 0.002
PATIENCE = 10.0
"""Seconds after which a job is stuck."""
MANY_PAUSE, MANY_PATIENCE = 0.02, 30.0
"""The same for many nodes, which must not wait for questions."""
WARM_UP = 2
LINES = 200
_LINES = f"for i in $(seq {LINES + 10}); do date +%s.%N; sleep 0.05; done"
WHITELIST = {"true": "true", "clock": {"command_line": _LINES, "shell": True}}


class Times(NamedTuple):
    """Seconds of one job; ``fate`` is ok, stuck, lost (by Serf) or unseen (complete, unwatched)."""

    fate: str
    gossip: float = 0.0
    rest: float = 0.0
    to_query: float = 0.0
    to_running: float = 0.0
    to_complete: float = 0.0
    queries: int = 0


class Side:
    """One server and its nodes, with the connection of one client.

    Args:
        url: the root of the server.
        key: of its administrator.
        nodes: names.
        watch: hears of its queries.
        data: data directory of our server, None for goiardi.

    Attributes:
        pause: seconds between two questions after a job.
        patience: seconds after which a job is stuck.
    """

    pause, patience = PAUSE, PATIENCE

    def __init__(
        self, url: str, key: RSAPrivateKey, nodes: List[str], watch: Watch, data: Optional[Path]
    ) -> None:
        self.url = url
        self.data = data
        self.nodes = nodes
        self.times: Dict[int, List[Times]] = {1: [], CROWD: []}
        self._key = key
        self._watch = watch
        self._asked_at = 0.0
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(data / "ca.crt") if data else True

    def close(self) -> None:
        """Hang up."""
        self._session.close()

    def ask(self, method: str, path: str, query: str = "", body: Any = None) -> Any:
        """A signed request; its JSON."""
        content = b"" if body is None else json.dumps(body).encode("ascii")
        headers = chef_auth.sign(
            method=method,
            target=path,
            body=content,
            user_id=ADMIN,
            timestamp=chef_auth.timestamp(time.time()),
            private_key=self._key,
            server_api_version="1",
        )
        headers.update({"Accept": "application/json", "Content-Type": "application/json"})
        self._asked_at = time.monotonic()
        answer = self._session.request(
            method, self.url + path + query, data=content, headers=headers, timeout=30
        )
        assert answer.status_code in (200, 201), (method, path, answer.text)
        return answer.json()

    def start(self, command: str, nodes: List[str], run_timeout: int = 60) -> str:
        """Start a job that differs from all others; its id."""
        body = {"command": command, "nodes": nodes, "run_timeout": run_timeout}
        return str(
            self.ask("POST", "/shovey/jobs", "", {**body, "request": str(uuid.uuid4())})["id"]
        )

    def up(self) -> bool:
        """True when all nodes are up."""
        shown = self.ask("GET", "/status/all/nodes")
        return set(self.nodes) <= {each["node_name"] for each in shown if each["status"] == "up"}

    def job(self, size: int) -> Times:
        """Run a job on so many nodes."""
        nodes = self.nodes[:size]
        job = self.start("true", nodes)
        posted = self._asked_at
        running: Optional[float] = None
        while time.monotonic() < posted + self.patience:
            shown = self.ask("GET", f"/shovey/jobs/{job}")
            now = time.monotonic()
            if running is None and "created" not in shown["nodes"]:
                running = now
            if shown["status"] == "complete":
                return self._times(job, nodes, posted, running or now, now)
            time.sleep(self.pause)
        return Times("lost" if self._watch.last_heard(job, nodes) is None else "stuck")

    def _times(
        self, job: str, nodes: List[str], posted: float, running: float, complete: float
    ) -> Times:
        sent, heard = self._watch.sent.get(job), self._watch.last_heard(job, nodes)
        if sent is None or heard is None:
            return Times("unseen")
        gossip = max(0.0, heard - sent)
        rest = complete - posted - gossip
        parts = (sent - posted, running - heard, complete - running)
        return Times("ok", gossip, rest, *parts, self._watch.queries[job])

    def all(self, part: str, size: int) -> List[float]:
        """Milliseconds of a part of all jobs of a size."""
        return [getattr(each, part) * 1000 for each in self.times[size] if each.fate == "ok"]

    def count(self, fate: str, size: int) -> int:
        """How many jobs of a size ended so."""
        return sum(each.fate == fate for each in self.times[size])


def main() -> None:
    """Measure and report."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=JOBS, help="jobs of one node on each server")
    parser.add_argument("--nodes", type=int, default=NODES, help="nodes of the last jobs of ours")
    options = parser.parse_args()
    # The thread that takes the times is not to wait for the one that asks.
    sys.setswitchinterval(0.0005)
    try:
        shown = measured(options.jobs, options.nodes)
    except Missing as reason:
        raise SystemExit(f"error: {reason}") from None
    report("shovey", shown, options.json)


def measured(jobs: int, nodes: int) -> Figures:
    """All figures. Raises Missing."""
    installed(PROGRAM, "serf")
    # Houses print their logs when they are closed; they are for tests.
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        with tempfile.TemporaryDirectory(prefix="push-jobs-bench-") as name:
            shown = both(Path(name), jobs)
            shown.update(many(Path(name) / "many", nodes))
    return shown


# Side by side


def both(folder: Path, jobs: int) -> Figures:
    """Both servers in turn, and the age of lines from ours."""
    with ExitStack() as stack:
        theirs = stack.enter_context(goiardi_side(folder / "theirs"))
        ours = stack.enter_context(our_side(folder / "ours"))
        for side in (theirs, ours):
            wait_until(side.up, f"the nodes of {side.url} to be up", 120.0)
        for size, count in ((1, jobs), (CROWD, max(1, jobs // 2))):
            for _ in range(WARM_UP + count):
                for side in (theirs, ours):
                    side.times[size].append(side.job(size))
            for side in (theirs, ours):
                del side.times[size][:WARM_UP]
        ages = lines_ms(ours)
    lines = {"line_p50_ms": median(ages), "line_p99_ms": percentile(ages, 99)}
    assert ours.data is not None
    return {**compared(theirs, ours), "node_floor_ms": floor_ms(ours.data), **lines}


def compared(theirs: Side, ours: Side) -> Figures:
    """The figures of both sides."""
    shown: Figures = {}
    sides = {"goiardi": theirs, "ours": ours}
    for size in (1, CROWD):
        for name, side in sides.items():
            shown[f"{name}_rest_{size}_ms"] = _middle(side.all("rest", size))
    ratios = [
        shown[f"ours_rest_{size}_ms"] / shown[f"goiardi_rest_{size}_ms"] for size in (1, CROWD)
    ]
    shown["rest_ratio_to_goiardi"] = max(ratios)
    for size in (1, CROWD):
        gossip = [each for side in sides.values() for each in side.all("gossip", size)]
        shown[f"gossip_{size}_ms"] = _middle(gossip)
        for name, side in sides.items():
            for part in ("gossip", "to_query", "to_running", "to_complete"):
                shown[f"{name}_{part}_{size}_ms"] = _middle(side.all(part, size))
            shown[f"{name}_queries_{size}"] = _middle(side.all("queries", size)) / 1000
            shown[f"{name}_stuck_{size}"] = side.count("stuck", size)
            shown[f"{name}_lost_by_serf_{size}"] = side.count("lost", size)
            shown[f"{name}_unseen_{size}"] = side.count("unseen", size)
    return shown


def _middle(values: List[float]) -> float:
    return median(values) if values else float("nan")


def lines_ms(side: Side) -> List[float]:
    """The age of each line of a node's output when a reader has it."""
    job, node = side.start("clock", side.nodes[:1], 600), side.nodes[0]
    ages: List[float] = []
    sequence, is_last = 0, False
    while not is_last:
        query = f"?output_type=stdout&wait=10&sequence={sequence}"
        shown = side.ask("GET", f"/shovey/stream/{job}/{node}", query)
        now = time.time()
        ages += [(now - float(line)) * 1000 for line in shown["output"].split()]
        sequence, is_last = shown.get("last_seq", sequence - 1) + 1, shown["is_last"]
    return ages[10:]


@contextmanager
def goiardi_side(folder: Path) -> Iterator[Side]:
    """goiardi with our agents. Raises Missing."""
    (folder / "server").mkdir(parents=True)
    with ExitStack() as stack:
        cluster = stack.enter_context(SerfCluster(folder / "serf"))
        server = GoiardiShovey(folder / "server", cluster.add("goiardi"))
        stack.callback(server.stop)
        watch = Watch(server.agent)
        stack.callback(watch.close)
        names = node_names("theirs")
        for name in names:
            where = folder / name
            node = ShoveyNode(where, server, cluster, name, WHITELIST, log_level="info")
            stack.callback(node.close)
            watch.add_node(node.serf)
            node.start()
        watch.start()
        side = Side(server.url, server.admin_key(), names, watch, None)
        stack.callback(side.close)
        yield side


@contextmanager
def our_side(folder: Path) -> Iterator[Side]:
    """Our server with our agents."""
    folder.mkdir()
    with ExitStack() as stack:
        place = stack.enter_context(open_serf_place(folder))
        watch = Watch(place.agent)
        stack.callback(watch.close)
        names = node_names("ours")
        for name in names:
            # One after the other, as goiardi's: agents that start at once gossip in step, and then
            # all nodes hear of a job at once.
            agent = place.cluster.add(name)
            watch.add_node(agent)
            settings = over_serf(place.house, agent)
            place.house.add_agent(name, WHITELIST, log_level="info", **settings)
        watch.start()
        yield _side_of(place, names, watch, stack)


def node_names(word: str) -> List[str]:
    """The names of nodes of one side."""
    return [f"{word}-{number:02d}" for number in range(CROWD)]


def _side_of(place: SerfPlace, names: List[str], watch: Watch, stack: ExitStack) -> Side:
    key = chef_auth.load_private_key(place.house.key_file.read_bytes())
    side = Side(place.house.address, key, names, watch, place.house.data)
    stack.callback(side.close)
    return side


# Many nodes


def many(folder: Path, nodes: int) -> Figures:
    """Jobs of our server on many nodes with our agents; their parts can't be told apart."""
    folder.mkdir()
    names = [f"node-{number:03d}" for number in range(nodes)]
    with ExitStack() as stack:
        place = stack.enter_context(open_serf_place(folder))
        place.add_agents(names, lambda _: WHITELIST, log_level="info")
        watch = Watch(place.agent)
        stack.callback(watch.close)
        for agent in place.cluster.agents[1:]:
            watch.add_node(agent)
        watch.start()
        side = _side_of(place, names, watch, stack)
        side.pause, side.patience = MANY_PAUSE, MANY_PATIENCE
        times = [side.job(nodes) for _ in range(WARM_UP + CROWD_JOBS)][WARM_UP:]
        side.times[nodes] = times
    whole = [(each.gossip + each.rest) * 1000 for each in times if each.fate == "ok"]
    return {
        f"ours_post_to_complete_{nodes}_ms": _middle(whole),
        f"ours_stuck_{nodes}": side.count("stuck", nodes),
        f"ours_lost_by_serf_{nodes}": side.count("lost", nodes),
    }


if __name__ == "__main__":
    main()
