"""``push-jobs-server serf-key``, and what check-config says of that key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fake_serf import FakeSerf
from server_commands import HOST, Commands, Result

from push_jobs_server import data, settings
from push_jobs_server.serf_parts import SerfParts
from push_jobs_wire.chef_auth import load_public_key


@pytest.fixture
def run(tmp_path: Path, capsys: "pytest.CaptureFixture[str]") -> Commands:
    commands = Commands(tmp_path / "data", capsys)
    commands.good("init", "--org", "acme", "--admin", "alice", "--host", HOST)
    return commands


def change(run: Commands, name: str, value: str) -> None:
    """Set a key of the section ``serf``."""
    file = run.data_dir / "settings.yml"
    before = file.read_text()
    after = re.sub(rf"(?m)^(serf:\n(?:.*\n)*?)  #{name}:.*$", rf"\1  {name}: {value}", before)
    assert after != before
    file.write_text(after)


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


def test_a_key_is_made_only_where_none_was_chosen(run: Commands, tmp_path: Path) -> None:
    change(run, "organization", "acme")
    change(run, "signing_key", f"{tmp_path}/shovey-typo")
    wrong = f"serf.signing_key: cannot read {tmp_path}/shovey-typo: No such file or directory; "
    found = run.bad("serf-key")
    assert found.startswith(wrong) and "correct the setting" in found
    nobody: Any = None
    with pytest.raises(data.DataError, match="correct the setting"):
        SerfParts(settings.load(run.data_dir), run.data_dir, nobody, nobody)
    assert wrong in run("check-config").err
    assert not (tmp_path / "shovey-typo").exists()


def test_the_default_may_be_spelled_out(run: Commands) -> None:
    change(run, "organization", "acme")
    change(run, "signing_key", f"{run.data_dir}/./shovey-sign.pem")
    assert run("check-config").code == 0
    assert load_public_key(run.good("serf-key")).key_size == 2048


def test_a_key_of_another_place_is_used_as_it_is(run: Commands, tmp_path: Path) -> None:
    key = run.good("serf-key")
    change(run, "signing_key", "../known.pem")
    (run.data_dir / "shovey-sign.pem").rename(tmp_path / "known.pem")
    assert run.good("serf-key") == key


@pytest.mark.parametrize("name", ["folder", "file/below"])
def test_a_key_that_cannot_be_read_is_named(run: Commands, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    change(run, "organization", "acme")
    change(run, "signing_key", f"{tmp_path}/{name}")
    assert f"serf.signing_key: cannot read {tmp_path}/{name}: " in run("check-config").err


def test_what_keeps_only_serf_away_is_a_note(run: Commands) -> None:
    agent = FakeSerf()
    host, port = agent.address
    change(run, "organization", "acme")
    change(run, "address", f"{host}:{port}")
    order = f"{run.data_dir}: everything is in order\n"
    assert run("check-config") == Result(0, "", order)
    agent.close()
    found = run("check-config")
    note = f"note: serf.address: no Serf agent can be reached at {host}:{port}: Connection refused"
    assert found.code == 0 and found.err.startswith(note)
    assert found.err.endswith(f"{run.data_dir}: the server can run\n")


def test_an_organization_that_is_not_there_is_a_note(run: Commands) -> None:
    change(run, "organization", "acmee")
    note = "note: serf.organization: there is no organization acmee; there are: acme\n"
    assert note in run("check-config").err
    (run.data_dir / "push-jobs.db").unlink()
    result = run("check-config")
    assert result.code == 1 and "serf.organization" not in result.err


def test_an_address_that_is_none_is_named(run: Commands) -> None:
    change(run, "address", "nowhere")
    assert "expected HOST:PORT" in run("serf-key").err
