"""The demo: one job on three real agents, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import List

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.e2e
def test_demo_runs_a_job_on_three_agents_and_leaves_nothing() -> None:
    # Not tmp_path: the path of a Unix socket has room for about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="pj-") as folder:
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "lib" / "demo.py"), "--exit"],
            env={**os.environ, "TMPDIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        for node in ("web1", "web2", "db1"):
            assert f"hello from {node}\n" in done.stdout
        assert "complete: 3 of 3 nodes succeeded" in done.stderr
        assert os.listdir(folder) == []
        assert _processes_of(folder) == []


def _processes_of(folder: str) -> List[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has just ended
        if folder in words:
            found.append(words)
    return found
