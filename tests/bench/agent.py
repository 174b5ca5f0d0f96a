"""bench agent: how much memory an idle, connected agent takes, beside a bare interpreter."""

from __future__ import annotations

import subprocess
import sys

import psutil

from tests.bench.common import Figures, arguments, report, temporary_house

MIB = 1024 * 1024


def main() -> None:
    """Measure and report."""
    options = arguments(__doc__ or "").parse_args()
    with temporary_house() as house:
        agent = house.add_agent("web1", {"true": ["true"]}, log_level="info")
        house.wait_available("web1")
        runner = int(
            next(
                process.pid
                for process in psutil.process_iter()
                if f"--state-dir={agent.state_dir}" in process.cmdline()
            )
        )
        assert agent.session is not None
        session = resident(agent.session.pid)
        floor = floor_mib()
        figures: Figures = {
            "session_rss_mib": session,
            "runner_rss_mib": resident(runner),
            "floor_mib": floor,
            "ratio_to_floor": session / floor,
        }
    report("agent", figures, options.json)


def resident(pid: int) -> float:
    """Resident memory of a process in MiB."""
    return float(psutil.Process(pid).memory_info().rss) / MIB


def floor_mib() -> float:
    """What an interpreter takes that has imported zmq alone."""
    code = "import zmq, sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return resident(process.pid)


if __name__ == "__main__":
    main()
