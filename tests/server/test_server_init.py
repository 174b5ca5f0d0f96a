"""``push-jobs-server init``: what it makes, who may read it, and that it is all or nothing."""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import stat
from pathlib import Path
from typing import List

import pytest
from server_commands import HOST, Commands, snapshot

from push_jobs_server import data
from push_jobs_server.store import Store, StoreError
from push_jobs_wire.chef_auth import load_private_key

INIT = ("init", "--org", "acme", "--admin", "alice", "--host", HOST)


@pytest.fixture
def run(tmp_path: Path, capsys: "pytest.CaptureFixture[str]") -> Commands:
    return Commands(tmp_path / "data", capsys)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_makes_everything_and_only_the_owner_may_read_what_is_secret(run: Commands) -> None:
    old = os.umask(0)
    try:
        run.good(*INIT)
    finally:
        os.umask(old)
    folder = run.data_dir
    assert _mode(folder) == 0o700
    modes = {path.name: _mode(path) for path in folder.iterdir()}
    assert modes == {
        "settings.yml": 0o600,
        "ca.crt": 0o644,
        "ca.key": 0o600,
        "server.crt": 0o644,
        "server.key": 0o600,
        "signing.pem": 0o600,
        "curve.json": 0o600,
        "push-jobs.db": 0o600,
        "run": 0o700,
    }
    assert run("check-config").code == 0
    assert data.signing_key(folder).key_size == 2048
    assert [len(key) for key in data.curve_keys(folder)] == [40, 40]


def test_it_prints_the_fingerprint_of_the_ca_and_what_to_do_next(run: Commands) -> None:
    out = run.good(*INIT, "--set", "http.port=8443")
    der = ssl.PEM_cert_to_DER_cert((run.data_dir / "ca.crt").read_text())
    fingerprint = hashlib.sha256(der).hexdigest()
    assert f"CA fingerprint (SHA-256): {':'.join(re.findall('..', fingerprint))}\n" in out
    assert f"push-jobs-server --data-dir {run.data_dir} run\n" in out
    assert f"--server https://{HOST}:8443/organizations/acme --user alice" in out
    for path in run.data_dir.iterdir():
        assert path.name in out or path.name == "run"


def test_without_tls_the_next_step_goes_to_the_proxy(run: Commands) -> None:
    out = run.good(*INIT, "--set", "tls.enabled=false")
    assert f"--server https://{HOST}/organizations/acme --user alice" in out
    assert "alice.pem node list\n" in out and "address of a proxy" in out
    assert "--fingerprint" not in out and "http://" not in out


def test_the_administrators_key_is_printed_once_and_stored_nowhere(run: Commands) -> None:
    out = run.good(*INIT)
    found = re.findall(r"-----BEGIN RSA PRIVATE KEY-----\n.*?-----END [A-Z ]+-----\n", out, re.S)
    assert len(found) == 1 and out.count("PRIVATE KEY") == 2
    load_private_key(found[0].encode("ascii"))
    secret_line = found[0].splitlines()[5].encode("ascii")
    for path in filter(Path.is_file, run.data_dir.rglob("*")):
        assert secret_line not in path.read_bytes(), path
    assert run.good("user", "show", "alice").splitlines()[1].split() == ["alice", "acme", "default"]
    assert "user  alice" in run.good("group", "show", "admins")


def test_the_administrators_key_can_go_to_a_file(run: Commands, tmp_path: Path) -> None:
    file = tmp_path / "alice.pem"
    out = run.good(*INIT, "--admin-key", file)
    assert "PRIVATE KEY" not in out and str(file) in out
    assert _mode(file) == 0o600
    load_private_key(file.read_bytes())


def test_settings_given_stand_in_the_file(run: Commands) -> None:
    run.good(*INIT, "--set", "http.port=0", "--set", "trusted_proxies=[10.0.0.0/8]")
    shown = run.good("show-config")
    assert "  port: 0\n" in shown and "- 10.0.0.0/8\n" in shown
    assert f"advertised_host: {HOST}\n" in shown
    assert "\n  port: 0\n" in (run.data_dir / "settings.yml").read_text()


def test_an_empty_directory_is_taken_and_made_private(run: Commands) -> None:
    run.data_dir.mkdir(mode=0o755)
    run.good(*INIT)
    assert _mode(run.data_dir) == 0o700


def test_a_directory_with_something_in_it_is_not_touched(run: Commands) -> None:
    run.good(*INIT)
    before = snapshot(run.data_dir)
    assert "is not empty; nothing was changed" in run.bad(*INIT)
    assert snapshot(run.data_dir) == before


def test_a_place_where_nothing_can_be_made_is_named(run: Commands, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "no" / "parent"):
        run.data_dir = place
        found = run.bad(*INIT)
        assert found.startswith(f"cannot make the data directory {place}: ")
        assert "choose another one with --data-dir" in found
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_directory_that_may_not_be_written_is_named(
    run: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_args: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    found = run.bad(*INIT)
    assert found.startswith(f"cannot make the data directory {run.data_dir}: Permission denied; ")


FAILING = [
    ["--org", "Bad Org"],
    ["--admin", "a/b"],
    ["--host", "no host"],
    ["--host", HOST, "--host", "host:10003"],
    ["--set", "database.url=sqlite:////no/such/folder/x.db"],
    ["--set", "tls.ca=/no/such/ca.crt"],
    ["--admin-key", "/no/such/folder/alice.pem"],
]


@pytest.mark.parametrize("change", FAILING, ids=" ".join)
@pytest.mark.parametrize("there", [False, True])
def test_nothing_half_made_is_left_behind(run: Commands, change: List[str], there: bool) -> None:
    if there:
        run.data_dir.mkdir(mode=0o755)
    run.bad(*INIT, *change)
    if there:
        assert not list(run.data_dir.iterdir()) and _mode(run.data_dir) == 0o755
    else:
        assert not run.data_dir.exists()


def test_an_interruption_leaves_nothing_either(
    run: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_url: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "migrate", interrupt)
    assert run(*INIT).code == 130
    assert not run.data_dir.exists()


def test_an_error_of_the_database_leaves_nothing_either(
    run: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_url: str) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Store, "migrate", fail)
    assert run.bad(*INIT) == "the disk is full"
    assert not run.data_dir.exists()


def test_an_existing_file_is_never_replaced_by_the_administrators_key(
    run: Commands, tmp_path: Path
) -> None:
    file = tmp_path / "alice.pem"
    file.write_text("precious")
    assert f"{file} exists already and was left as it is" in run.bad(*INIT, "--admin-key", file)
    assert file.read_text() == "precious"
    assert not run.data_dir.exists()


def test_in_a_database_elsewhere_the_identities_are_taken_out_again(
    run: Commands, tmp_path: Path
) -> None:
    elsewhere = ("--set", f"database.url=sqlite:///{tmp_path}/shared.db")
    run.bad(*INIT, *elsewhere, "--admin-key", "/no/such/folder/alice.pem")
    run.good(*INIT, *elsewhere)
    assert run.good("user", "list").split() == ["USER", "alice"]


def test_a_database_that_is_in_use_is_left_alone(run: Commands, tmp_path: Path) -> None:
    elsewhere = ("--set", f"database.url=sqlite:///{tmp_path}/shared.db")
    run.good(*INIT, *elsewhere)
    first, run.data_dir = run.data_dir, tmp_path / "second"
    assert "the database holds organizations already" in run.bad(*INIT, *elsewhere)
    assert not run.data_dir.exists()
    run.data_dir = first
    assert run.good("user", "list").split() == ["USER", "alice"]


def test_a_file_given_as_ca_that_is_none_is_named(run: Commands, tmp_path: Path) -> None:
    (tmp_path / "own.crt").write_text("x")
    found = run.bad(*INIT, "--set", f"tls.ca={tmp_path}/own.crt")
    assert found == f"{tmp_path}/own.crt: there is no certificate in PEM form in it"


def test_all_wrong_settings_are_named_at_once(run: Commands) -> None:
    result = run(*INIT, "--set", "http.prot=1", "--set", "http.port=x", "--set", "log.level=loud")
    assert result.code == 1
    assert result.err.splitlines() == [
        "error: --set has 3 mistakes:",
        "  unknown key 'http.prot'; did you mean 'http.port'?",
        "  http.port is 'x', expected a whole number from 0 to 65535",
        "  log.level is 'loud', expected one of debug, info, warning, error",
    ]
    assert "line 1, column" in run.bad(*INIT, "--set", "http.port=[")
    assert run(*INIT, "--set", "http.port").code == 2
    assert not run.data_dir.exists()
