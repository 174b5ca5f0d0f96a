"""The sets of Ruby programs: installed once, found by tests, runnable."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from gems import gem_set
from peer import Missing, skip
from ruby_sets import RubySet

ROOT = Path(__file__).resolve().parents[2]


def installed(name: str) -> RubySet:
    """A set, or the end of the test."""
    try:
        return gem_set(name)
    except Missing as reason:
        skip(reason)


@pytest.mark.parametrize(
    "name, program, expected",
    [
        ("main", "knife", "Chef Infra Client: 18"),
        ("main", "chef-zero", "15.1"),
        ("ruby-client", "pushy-client", "2.100.0"),
        ("chef", "kitchen", "Test Kitchen version 3.9"),
    ],
)
def test_programs_run(name: str, program: str, expected: str) -> None:
    gems = installed(name)
    done = subprocess.run(
        [*gems.command(program), "--version"],
        env=gems.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
    )
    assert expected in done.stdout.decode()


def test_a_set_that_is_there_is_not_installed_again() -> None:
    folders = {name: installed(name).folder for name in ("main", "ruby-client", "chef")}
    times = {name: (folder / "installed").stat().st_mtime_ns for name, folder in folders.items()}
    script = """
        . scripts/lib/setup.sh
        . scripts/lib/gems.sh
        setup_gems main ruby-client chef
        for name in main ruby-client chef; do echo "$CACHE/gems/$(gem_set $name)"; done
    """
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == [str(folder) for folder in folders.values()]
    for name, folder in folders.items():
        assert (folder / "installed").stat().st_mtime_ns == times[name]


def test_an_unknown_content_of_a_gemfile_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    with pytest.raises(Missing, match="no Ruby programs 'main'.*scripts/test installs them"):
        gem_set("main")
