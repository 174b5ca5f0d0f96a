"""Format, import order, lint, types and shell scripts: no finding is left."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_nothing_is_found_by_the_checks() -> None:
    done = subprocess.run(
        [str(ROOT / "scripts" / "check")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
