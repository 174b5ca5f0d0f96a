"""bench cost: what a job costs the server in CPU time, now and at an older commit, in turn.

Each version's server is a process of its own, and both have an agent of now with the command
`true`. A client starts a job and looks at it after a while, so that both servers are asked the same
number of times, however quick they are. Only the server's own processor time counts.
"""

from __future__ import annotations

import itertools
import subprocess
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Callable, List, NamedTuple, Sequence, Tuple

import psutil
from house import Done, House

from push_jobs import Client
from tests.bench.common import Figures, arguments, median, report, temporary_house

BEFORE = "e450d31b64279608e679d80af04eebd0e90a2509"
"""The last commit at which the server spoke only what our own programs need."""
NODE = "web1"
PARTS = ("server", "wire")
"""What a server is made of."""
PAIRS = 20
JOBS = 100
WARM_UP = 30
LOOK_AFTER = 0.04
"""Seconds in which a job has ended, as good as always; a late one is looked at once more."""
ROOT = Path(__file__).resolve().parents[2]


class Cost(NamedTuple):
    """What one job cost on average: CPU seconds of the server, and looks at the job."""

    cpu_s: float
    looks: float


class OlderHouse(House):
    """A house whose server is of an older commit.

    Args:
        commit: where the sources are taken from; they are put below the folder.
    """

    def __init__(self, commit: str, folder: Path, **settings: Any) -> None:
        super().__init__(folder, **settings)
        self._commit = commit
        self._sources = folder / "sources"

    def init(self) -> Done:
        """Fetch the sources, and make the data directory with them."""
        check_out(self._commit, self._sources)
        return super().init()

    def _server_words(self) -> List[str]:
        path = ":".join(str(self._sources / part) for part in PARTS)
        return ["env", f"PYTHONPATH={path}", *super()._server_words()]


def check_out(commit: str, folder: Path) -> None:
    """Put the server of a commit into a folder; ends the bench when this clone lacks the commit."""
    words = ["git", "-C", str(ROOT), "archive", commit, *PARTS]
    archive = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if archive.returncode:
        said = archive.stderr.decode().strip()
        raise SystemExit(f"error: git cannot show commit {commit} ({said}); fetch it first")
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)


class Side:
    """One server and its agent, which take jobs in turn with the other side."""

    def __init__(self, house: House, client: Client) -> None:
        self._client = client
        assert house.server is not None
        self._server = psutil.Process(house.server.pid)
        house.add_agent(NODE, {"true": ["true"]}, log_level="info")
        house.wait_available(NODE)
        self.jobs(WARM_UP)

    def jobs(self, number: int = JOBS) -> Cost:
        """Run jobs one after the other; what each cost on average."""
        begin = self._cpu_s()
        looks = sum(self._job() for _ in range(number))
        return Cost((self._cpu_s() - begin) / number, looks / number)

    def _cpu_s(self) -> float:
        times = self._server.cpu_times()
        return float(times.user + times.system)

    def _job(self) -> int:
        """Run one job; how often it was looked at."""
        job_id = self._client.start_job("true", [NODE])
        for looks in itertools.count(1):
            time.sleep(LOOK_AFTER)
            job = self._client.job(job_id)
            if job.ended:
                assert job.succeeded, job
                return looks
        raise AssertionError("unreachable")


def main() -> None:
    """Measure and report."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--before", default=BEFORE, help="the commit to compare with")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="how often each is measured")
    options = parser.parse_args()
    kinds: List[Callable[..., House]] = [partial(OlderHouse, options.before), House]
    with ExitStack() as stack:
        houses = [
            stack.enter_context(temporary_house(kind, heartbeat_interval=10.0)) for kind in kinds
        ]
        before, now = (Side(house, stack.enter_context(house.client())) for house in houses)
        pairs = [pair(before, now, swapped=number % 2 == 1) for number in range(options.pairs)]
    report("cost", figures(pairs), options.json)


def pair(before: Side, now: Side, swapped: bool) -> Tuple[Cost, Cost]:
    """What jobs cost before and now, measured in this order or in the other."""
    if swapped:
        second, first = now.jobs(), before.jobs()
        return first, second
    return before.jobs(), now.jobs()


def figures(pairs: Sequence[Tuple[Cost, Cost]]) -> Figures:
    """The medians; the ratio is that of each pair."""
    before, now = zip(*pairs)
    return {
        "before_cpu_ms": median([cost.cpu_s * 1000 for cost in before]),
        "now_cpu_ms": median([cost.cpu_s * 1000 for cost in now]),
        "before_looks": median([cost.looks for cost in before]),
        "now_looks": median([cost.looks for cost in now]),
        "cpu_ratio": median([after.cpu_s / first.cpu_s for first, after in pairs]),
    }


if __name__ == "__main__":
    main()
