"""bench output: how long a line takes from the command that prints it to the reader of a feed.

The command prints the time by the clock of this machine, line after line with pauses between them;
the reader compares. The floor is the same command's way through ``output_floor``: the same
processes and libraries without our code, at the same pace, because a processor that was idle in
between takes several times as long for the same steps as one in a loop.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import List

from push_jobs import Client
from tests.bench.common import Figures, arguments, median, percentile, report, temporary_house
from tests.bench.output_floor import floor_ms

LINES = 200
PAUSE = 0.05
"""Seconds between two lines: each is the first one after silence."""


def main() -> None:
    """Measure and report."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--lines", type=int, default=LINES, help="how many lines to time")
    options = parser.parse_args()
    loop = f"for i in $(seq {options.lines + 10}); do date +%s.%N; sleep {PAUSE}; done"
    with temporary_house(heartbeat_interval=10.0) as house:
        house.add_agent("web1", {"clock": ["sh", "-c", loop]}, log_level="info")
        house.wait_available("web1")
        with house.client() as client:
            times = lines_ms(client)[10:]
        with tempfile.TemporaryDirectory() as folder:
            bare = floor_ms(["sh", "-c", loop], house.data, Path(folder))[10:]
    p50, floor = median(times), median(bare)
    figures: Figures = {"p50_ms": p50, "p99_ms": percentile(times, 99)}
    report(
        "output",
        {**figures, "floor_ms": floor, "ratio_to_floor": p50 / floor},
        options.json,
    )


def lines_ms(client: Client) -> List[float]:
    """The age of each line when it arrives."""
    job_id = client.start_job("clock", ["web1"], capture=True, run_timeout=600)
    ages: List[float] = []
    for piece in client.follow_output(job_id):
        now = time.time()
        ages += [(now - float(line)) * 1000 for line in piece.data.split()]
    return ages


if __name__ == "__main__":
    main()
