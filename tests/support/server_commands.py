"""Runs ``push-jobs-server`` commands in this process, and makes data directories for them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List

import pytest

from push_jobs_server.cli import main

HOST = "push.example.com"


@dataclass
class Result:
    """What a command left: its exit code and both outputs."""

    code: int
    out: str
    err: str


class Commands:
    """Commands of one data directory; none of them may ever show a traceback."""

    def __init__(self, data_dir: Path, capsys: "pytest.CaptureFixture[str]") -> None:
        self.data_dir = data_dir
        self._capsys = capsys

    def __call__(self, *words: Any) -> Result:
        self._capsys.readouterr()
        code = main(["--data-dir", str(self.data_dir), *map(str, words)])
        out, err = self._capsys.readouterr()
        assert "Traceback" not in out + err
        return Result(code, out, err)

    def good(self, *words: Any) -> str:
        """Run a command that must succeed; returns its output."""
        result = self(*words)
        assert result.code == 0, result.err
        return result.out

    def bad(self, *words: Any, code: int = 1) -> str:
        """Run a command that must fail; returns the one line that says why."""
        result = self(*words)
        assert (result.code, result.out) == (code, "")
        (line,) = result.err.splitlines()
        assert line.startswith("error: ")
        return line[len("error: ") :]


def snapshot(folder: Path) -> List[str]:
    """Everything that is below a folder, as text that is easy to compare."""
    return sorted(
        f"{path.relative_to(folder)} {path.stat().st_mode:o} {path.stat().st_mtime_ns}"
        for path in folder.rglob("*")
    )


def copy_of(template: Path, target: Path) -> Path:
    """A data directory of one's own."""
    shutil.copytree(template, target)
    target.chmod(0o700)
    return target
