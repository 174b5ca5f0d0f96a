"""``push-jobs-server serf-key``, and what check-config says of that key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from server_commands import HOST, Commands

from push_jobs_wire.chef_auth import load_public_key


@pytest.fixture
def run(tmp_path: Path, capsys: "pytest.CaptureFixture[str]") -> Commands:
    commands = Commands(tmp_path / "data", capsys)
    commands.good("init", "--org", "acme", "--admin", "alice", "--host", HOST)
    return commands


def change(run: Commands, name: str, value: str) -> None:
    """Set a key of the section ``serf``."""
    settings = run.data_dir / "settings.yml"
    before = settings.read_text()
    after = re.sub(rf"(?m)^(serf:\n(?:.*\n)*?)  #{name}:.*$", rf"\1  {name}: {value}", before)
    assert after != before
    settings.write_text(after)


def test_the_key_is_made_once_and_private(run: Commands) -> None:
    first = run.good("serf-key")
    assert load_public_key(first).key_size == 2048
    assert run.good("serf-key") == first
    assert (run.data_dir / "shovey-sign.pem").stat().st_mode & 0o777 == 0o600
    assert b"BEGIN RSA PRIVATE KEY" in (run.data_dir / "shovey-sign.pem").read_bytes()


def test_a_broken_or_open_key_is_named(run: Commands) -> None:
    change(run, "organization", "acme")
    assert run("check-config").code == 0
    path = run.data_dir / "shovey-sign.pem"
    assert not path.exists()
    run.good("serf-key")
    path.chmod(0o644)
    assert "is open to other users" in run("check-config").err
    path.chmod(0o600)
    path.write_text("no key")
    assert str(path) in run("check-config").err
    assert str(path) in run.bad("serf-key")


def test_an_address_that_is_none_is_named(run: Commands) -> None:
    change(run, "address", "nowhere")
    assert "expected HOST:PORT" in run("serf-key").err
