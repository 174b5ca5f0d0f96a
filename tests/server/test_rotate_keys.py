"""``push-jobs-server rotate-keys``: what is replaced, what stays, and what it refuses."""

from __future__ import annotations

import stat
import time
from contextlib import closing
from pathlib import Path
from typing import Dict

import pytest
from server_commands import HOST, Commands

from push_jobs_server import data
from push_jobs_server.records import Grant, GrantStored, SessionKeyStored
from push_jobs_server.settings import load
from push_jobs_server.store import Store

DATABASE = "push-jobs"
KEYS = ("curve.json", "signing.pem")


@pytest.fixture
def run(tmp_path: Path, capsys: "pytest.CaptureFixture[str]") -> Commands:
    folder = tmp_path / "data"
    data.init(data.Plan(folder, (HOST,), "acme", "alice"), time.time())
    return Commands(folder, capsys)


def contents(folder: Path) -> Dict[str, bytes]:
    """All files but those of the database."""
    files = (path for path in folder.iterdir() if path.is_file())
    return {path.name: path.read_bytes() for path in files if not path.name.startswith(DATABASE)}


def store_of(run: Commands) -> Store:
    return Store(load(run.data_dir)["database.url"])


def test_both_keys_are_new_and_private_and_the_rest_stays(run: Commands) -> None:
    before = contents(run.data_dir)
    assert run("rotate-keys").code == 0
    after = contents(run.data_dir)
    assert {name for name in before if before[name] != after[name]} == set(KEYS)
    assert set(before) == set(after)
    for name in KEYS:
        assert stat.S_IMODE((run.data_dir / name).stat().st_mode) == 0o600
    assert data.curve_keys(run.data_dir) and data.signing_key(run.data_dir)


def test_what_nodes_signed_with_and_connected_with_is_forgotten(run: Commands) -> None:
    with closing(store_of(run)) as store:
        grant = Grant("k", "acme", "web1", time.time() + 99)
        store.write([GrantStored(grant), SessionKeyStored("acme", "web1", b"x")])
    run.good("rotate-keys")
    with closing(store_of(run)) as store:
        assert (store.grants(0.0), store.session_keys()) == ([], {})


@pytest.mark.parametrize("missing", KEYS)
def test_a_directory_without_keys_gets_none(run: Commands, missing: str) -> None:
    (run.data_dir / missing).unlink()
    before = contents(run.data_dir)
    assert missing in run.bad("rotate-keys")
    assert contents(run.data_dir) == before
