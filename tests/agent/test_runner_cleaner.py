"""Old job files go, and nothing else does."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Collection

import pytest
from runner_client import RunnerProcess
from waiting import wait_until

from push_jobs_agent.runner.cleaner import AGE, PERIOD, Cleaner


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def made(files: Path, name: str, age: float = AGE + 60) -> Path:
    """A folder with files, links and folders in it, last changed ``age`` seconds ago."""
    folder = files / name
    (folder / "inner" / "more").mkdir(parents=True)
    (folder / "job-file").write_text("old")
    (folder / "inner" / "more" / "file").write_text("old")
    (folder / "inner").chmod(0o700)
    os.mkfifo(folder / "pipe")
    changed = time.time() - age
    os.utime(folder, (changed, changed))
    return folder


def clean(files: Path, running: Collection[str] = ()) -> None:
    """Turn a cleaner until it has nothing more to do for now."""
    cleaner = Cleaner(str(files), 0.0)
    now = 0.0
    while now < PERIOD:
        cleaner.tick(running, now)
        now = cleaner.next_call


def test_only_old_folders_of_jobs_that_do_not_run_go(files: Path) -> None:
    old = [made(files, f"push-job-old{number}") for number in range(3)]
    kept = [
        made(files, "push-job-young", AGE - 60),
        made(files, "push-job-running"),
        made(files, "somebody-elses"),
        made(files, "push-job-"),
        made(files, "push-job-a b"),
    ]
    (files / "push-job-file").write_text("no folder")
    os.utime(files / "push-job-file", (0, 0))
    clean(files, ["running"])
    assert [folder for folder in old if folder.exists()] == []
    assert [folder for folder in kept if not folder.exists()] == []
    assert (files / "push-job-file").exists()


def test_links_are_removed_and_never_followed(files: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("kept")
    folder = made(files, "push-job-1")
    (folder / "inner" / "link").symlink_to(outside)
    (folder / "file-link").symlink_to(outside / "precious")
    os.utime(folder, (0, 0))
    (files / "push-job-2").symlink_to(outside)
    os.utime(files / "push-job-2", (0, 0), follow_symlinks=False)
    clean(files)
    assert not folder.exists()
    assert (outside / "precious").read_text() == "kept"


def test_what_lies_too_deep_stays(files: Path) -> None:
    folder = made(files, "push-job-1")
    deep = folder / "/".join(["d"] * 100)
    deep.mkdir(parents=True)
    os.utime(folder, (0, 0))
    clean(files)
    assert deep.exists()


def test_a_folder_for_job_files_that_is_missing(tmp_path: Path) -> None:
    clean(tmp_path / "missing")


@pytest.mark.e2e
def test_a_runner_removes_what_a_dead_one_left(tmp_path: Path) -> None:
    runner = RunnerProcess(tmp_path, {"true": "true"})
    old = made(runner.state_dir / "files", "push-job-0123456789abcdef")
    young = made(runner.state_dir / "files", "push-job-fedcba9876543210", 60)
    try:
        client = runner.start().connect()
        wait_until(lambda: not old.exists(), "the old folder to go")
        assert client.run("true")["result"] == "succeeded"
        assert young.exists()
        assert "removed the old job file push-job-0123456789abcdef" in runner.log.read_text()
    finally:
        runner.stop()
