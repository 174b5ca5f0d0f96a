"""What every script does first: making the virtual environment of a clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("push-jobs", "push-jobs-server", "pushy-client")

SETUP = '. scripts/lib/setup.sh; setup "$RUN_PACKAGES"; '
FROM_INDEX = (
    '. scripts/lib/setup.sh; cd "$ROOT"; from_index "$RUN_PACKAGES"; PATH=$VENV/bin:$PATH; '
)
VERSIONS = "; ".join(f"{program} --version" for program in PROGRAMS)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of everything that gets installed, as fresh as after a clone."""
    made = tmp_path / "clone"
    unwanted = shutil.ignore_patterns("*.egg-info", "__pycache__", "build")
    for name in ("wire", "agent", "server", "workstation", "scripts"):
        shutil.copytree(ROOT / name, made / name, ignore=unwanted)
    return made


def _environment(clone: Path) -> Dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH",)}
    return {**kept, "XDG_CACHE_HOME": str(clone.parent / "cache")}


def _start(clone: Path, script: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=clone,
        env=_environment(clone),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _ends_well(process: "subprocess.Popen[str]") -> List[str]:
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output.splitlines()


def test_two_scripts_may_start_at_once_and_the_clone_may_move(clone: Path) -> None:
    both = [_start(clone, SETUP + VERSIONS) for _ in range(2)]
    for process in both:
        lines = _ends_well(process)
        assert [line.split()[0] for line in lines[-3:]] == list(PROGRAMS)
    moved = clone.rename(clone.with_name("moved"))
    _ends_well(_start(moved, SETUP + VERSIONS))
    where = _ends_well(_start(moved, SETUP + "command -v push-jobs; head -n 1 .venv/bin/push-jobs"))
    assert where == [f"{moved}/.venv/bin/push-jobs", f"#!{moved}/.venv/bin/python"]


def test_nothing_is_done_when_there_is_nothing_to_do(clone: Path) -> None:
    _ends_well(_start(clone, SETUP))
    stamp = (clone / ".venv" / "stamp").stat().st_mtime_ns
    assert _ends_well(_start(clone, SETUP)) == []
    assert (clone / ".venv" / "stamp").stat().st_mtime_ns == stamp


def test_pip_is_used_where_debian_packages_cannot_be_had(clone: Path, tmp_path: Path) -> None:
    _need_an_index(tmp_path)
    lines = _ends_well(_start(clone, FROM_INDEX + VERSIONS))
    assert [line.split()[0] for line in lines[-3:]] == list(PROGRAMS)


def _need_an_index(tmp_path: Path) -> None:
    """Skip unless a package index answers."""
    options = ["--no-deps", "--no-cache-dir", "--timeout", "5", "--retries", "0"]
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", *options, "-d", str(tmp_path), "bottle"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if asked.returncode:
        pytest.skip("no package index answers here")
