"""``push-jobs-server``: identities, settings, help, and errors that are no tracebacks."""

from __future__ import annotations

import json
import re
import shlex
import stat
import sys
import time
import types
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import click
import pytest
from server_commands import HOST, Commands, copy_of

from push_jobs_server.cli import root
from push_jobs_server.data_check import find_problems
from push_jobs_server.keys import KeyPair, new_key_pair
from push_jobs_server.settings import load
from push_jobs_server.store import Store
from push_jobs_wire.chef_auth import load_private_key, load_public_key


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory to copy: making one takes half a second."""
    from push_jobs_server import data

    folder = tmp_path_factory.mktemp("template") / "data"
    data.init(data.Plan(folder, (HOST,), "acme", "alice"), time.time())
    return folder


@pytest.fixture(scope="module")
def keys() -> KeyPair:
    return new_key_pair()


@pytest.fixture
def run(tmp_path: Path, template: Path, capsys: "pytest.CaptureFixture[str]") -> Commands:
    return Commands(copy_of(template, tmp_path / "data"), capsys)


@pytest.fixture
def public(tmp_path: Path, keys: KeyPair) -> Path:
    path = tmp_path / "node.pub"
    path.write_text(keys.public)
    return path


def _json(run: Commands, *words: str) -> Any:
    return json.loads(run.good(*words, "--format", "json"))


# Keys


def test_a_client_is_made_with_its_own_public_key(
    run: Commands, public: Path, keys: KeyPair
) -> None:
    assert run.good("client", "create", "web1", "--public-key", public) == ""
    shown = _json(run, "client", "show", "web1")
    assert shown == {"name": "web1", "organization": "acme", "keys": {"default": keys.public}}


def test_a_private_key_that_is_made_is_printed_and_stored_nowhere(run: Commands) -> None:
    result = run("client", "create", "web1")
    assert result.code == 0 and "it is stored nowhere else" in result.err
    key = load_private_key(result.out.encode("ascii"))
    stored = load_public_key(_json(run, "client", "show", "web1")["keys"]["default"])
    assert key.public_key().public_numbers() == stored.public_numbers()
    secret_line = result.out.splitlines()[5].encode("ascii")
    for path in filter(Path.is_file, run.data_dir.rglob("*")):
        assert secret_line not in path.read_bytes(), path


def test_a_private_key_that_is_made_can_go_to_a_file(run: Commands, tmp_path: Path) -> None:
    file = tmp_path / "web1.pem"
    assert run.good("client", "create", "web1", "--key-out", file) == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    load_private_key(file.read_bytes())
    content = file.read_bytes()
    assert "exists already" in run.bad("client", "create", "web2", "--key-out", file)
    assert file.read_bytes() == content
    assert run.good("client", "list").split() == ["CLIENT", "ORGANIZATION", "web1", "acme"]


def test_no_key_file_is_left_when_the_client_cannot_be_made(
    run: Commands, tmp_path: Path, public: Path
) -> None:
    run.good("client", "create", "web1", "--public-key", public)
    assert "already" in run.bad("client", "create", "web1", "--key-out", tmp_path / "x.pem")
    assert not (tmp_path / "x.pem").exists()


def test_what_is_no_public_key_is_refused(run: Commands, tmp_path: Path, keys: KeyPair) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_bytes(keys.private)
    found = run.bad("client", "create", "web1", "--public-key", wrong)
    assert found.startswith(f"{wrong}: this is a private key")
    wrong.write_text("nothing")
    assert str(wrong) in run.bad("client", "create", "web1", "--public-key", wrong)
    found = run.bad("client", "create", "web1", "--public-key", tmp_path / "none.pub")
    assert found == f"cannot read {tmp_path}/none.pub: No such file or directory"
    both = ("--public-key", wrong, "--key-out", wrong)
    assert run("client", "create", "web1", *both).code == 2
    assert _json(run, "client", "list") == []


def test_more_keys_can_be_added_and_taken_away(run: Commands, public: Path) -> None:
    run.good("client", "create", "web1", "--public-key", public)
    for kind, name in (("user", "alice"), ("client", "web1")):
        run.good(kind, "add-key", name, "second", "--public-key", public)
        assert sorted(_json(run, kind, "show", name)["keys"]) == ["default", "second"]
        run.good(kind, "remove-key", name, "default")
        assert sorted(_json(run, kind, "show", name)["keys"]) == ["second"]
        assert "default" in run.bad(kind, "remove-key", name, "default")


# Organizations, users, groups


def test_organizations_come_and_go(run: Commands) -> None:
    run.good("org", "create", "beta", "--full-name", "Beta Ltd.")
    assert _json(run, "org", "list") == [
        {"name": "acme", "full_name": "acme"},
        {"name": "beta", "full_name": "Beta Ltd."},
    ]
    run.good("org", "add-user", "beta", "alice")
    assert _json(run, "org", "show", "beta") == {
        "name": "beta",
        "users": 1,
        "clients": 0,
        "groups": 1,
        "full_name": "Beta Ltd.",
    }
    assert _json(run, "user", "show", "alice")["organizations"] == ["acme", "beta"]
    run.good("org", "remove-user", "beta", "alice")
    assert _json(run, "user", "list", "--org", "beta") == []
    run.good("org", "delete", "beta")
    assert len(_json(run, "org", "list")) == 1
    assert "beta" in run.bad("org", "show", "beta")


def test_the_only_organization_need_not_be_named(run: Commands, public: Path) -> None:
    run.good("org", "create", "beta")
    found = run.bad("client", "create", "web1", "--public-key", public)
    assert found == "which organization? Name it with --org; there are: acme, beta"
    found = run.bad("client", "list", "--org", "gamma")
    assert found == "there is no organization gamma; there are: acme, beta"
    run.good("client", "create", "web1", "--public-key", public, "--org", "beta")
    run.good("org", "delete", "acme")
    assert _json(run, "client", "list") == [{"organization": "beta", "name": "web1"}]
    run.good("client", "delete", "web1")
    assert _json(run, "client", "list") == []


def test_a_user_is_let_into_organizations_as_an_administrator_or_not(
    run: Commands, public: Path
) -> None:
    run.good("org", "create", "beta")
    both = ("--org", "acme", "--org", "beta")
    run.good("user", "create", "bob", "--public-key", public, *both)
    run.good("user", "create", "carol", "--public-key", public, "--admin", "--org", "beta")
    assert _json(run, "user", "list") == [{"name": "alice"}, {"name": "bob"}, {"name": "carol"}]
    assert _json(run, "user", "show", "bob")["organizations"] == ["acme", "beta"]
    assert _json(run, "group", "show", "admins", "--org", "beta")["users"] == ["carol"]
    run.good("user", "delete", "carol")
    assert _json(run, "group", "show", "admins", "--org", "beta")["users"] == []


def test_a_user_is_made_in_all_organizations_or_not_at_all(run: Commands, public: Path) -> None:
    run.good("org", "create", "beta")
    run.good("group", "delete", "admins", "--org", "beta")
    both = ("--org", "acme", "--org", "beta")
    assert "admins" in run.bad("user", "create", "bob", "--admin", "--public-key", public, *both)
    assert _json(run, "user", "list") == [{"name": "alice"}]


def test_groups_hold_users_clients_and_groups(run: Commands, public: Path) -> None:
    run.good("client", "create", "web1", "--public-key", public)
    run.good("group", "create", "web")
    assert _json(run, "group", "list") == [
        {"organization": "acme", "name": "admins"},
        {"organization": "acme", "name": "web"},
    ]
    run.good("group", "add", "admins", "--client", "web1", "--group", "web")
    assert _json(run, "group", "show", "admins") == {
        "name": "admins",
        "organization": "acme",
        "users": ["alice"],
        "clients": ["web1"],
        "groups": ["web"],
    }
    table = run.good("group", "show", "admins")
    assert [line.split() for line in table.splitlines()[1:]] == [
        ["user", "alice"],
        ["client", "web1"],
        ["group", "web"],
    ]
    run.good("group", "remove", "admins", "--client", "web1")
    run.good("group", "delete", "web")
    shown = _json(run, "group", "show", "admins")
    assert (shown["clients"], shown["groups"]) == ([], [])
    assert run("group", "add", "admins").code == 2
    assert "nobody" in run.bad("group", "add", "admins", "--user", "nobody")


# Settings


def test_settings_are_shown_with_their_passwords_masked(run: Commands) -> None:
    text = "database: {url: 'postgresql://u:hunter2@h/d'}\nhttp: {port: 5}\n"
    (run.data_dir / "settings.yml").write_text(text)
    for format_ in ("yaml", "json"):
        out = run.good("show-config", "--format", format_)
        assert "hunter2" not in out and "postgresql://u:********@h/d" in out
    assert _json(run, "show-config")["http"]["port"] == 5


def test_the_reference_needs_no_data_directory(run: Commands, tmp_path: Path) -> None:
    run.data_dir = tmp_path / "none"
    out = run.good("show-config", "--reference")
    assert "| `http.port` | `10003` | a whole number from 0 to 65535 |" in out


def test_wrong_settings_are_all_named_by_every_command(run: Commands) -> None:
    (run.data_dir / "settings.yml").write_text("http: {port: x, prot: 1}\nlog: {level: 5}\n")
    for command in ("check-config", "show-config", "run", "status"):
        result = run(command)
        assert (result.code, result.out) == (1, "")
        assert result.err.splitlines() == [
            f"error: {run.data_dir}/settings.yml has 3 mistakes:",
            "  http.port is 'x', expected a whole number from 0 to 65535",
            "  unknown key 'http.prot'; did you mean 'http.port'?",
            "  log.level is 5, expected one of debug, info, warning, error",
        ]


def test_every_command_says_so_when_there_is_no_data_directory(
    run: Commands, tmp_path: Path
) -> None:
    run.data_dir = tmp_path / "none"
    for words in (["run"], ["status"], ["org", "list"], ["migrate"], ["check-config"]):
        assert "'push-jobs-server init' makes one" in run.bad(*words)
    assert not run.data_dir.exists()


def test_check_config_names_everything_that_is_wrong(run: Commands) -> None:
    assert run("check-config").err == f"{run.data_dir}: everything is in order\n"
    (run.data_dir / "signing.pem").write_text("x")
    (run.data_dir / "curve.json").write_text('{"public": "a", "secret": "b"}')
    (run.data_dir / "push-jobs.db").unlink()
    (run.data_dir / "server.key").write_bytes((run.data_dir / "ca.key").read_bytes())
    (run.data_dir / "server.key").chmod(0o644)
    (run.data_dir / "ca.crt").write_bytes((run.data_dir / "server.crt").read_bytes())
    result = run("check-config")
    assert result.code == 1
    first, *problems = result.err.splitlines()
    assert first == f"error: {run.data_dir} cannot be used as it is:"
    expected = (
        "signing.pem: the private key cannot be read",
        "curve.json holds no CURVE key pair",
        "there is no database",
        "are no certificate and its unlocked private key: KEY_VALUES_MISMATCH",
        "ca.crt is not the certificate of an authority",
        "server.key is open to other users",
    )
    assert len(problems) == len(expected)
    for problem, part in zip(problems, expected):
        assert part in problem
    assert not (run.data_dir / "push-jobs.db").exists()


def test_certificates_that_have_expired_are_named(run: Commands) -> None:
    values = load(run.data_dir)
    assert find_problems(run.data_dir, values, time.time()) == []
    problems = find_problems(run.data_dir, values, time.time() + 3654 * 86400)
    assert len(problems) == 2
    for problem, name in zip(problems, ("server.crt", "ca.crt")):
        assert re.search(rf"/{name} has expired on 20\d\d-\d\d-\d\d; renew it$", problem)


def test_migrate_makes_the_tables_that_are_missing(run: Commands) -> None:
    (run.data_dir / "push-jobs.db").unlink()
    assert "there is no database" in run.bad("org", "list")
    run.good("migrate")
    assert _json(run, "org", "list") == []
    assert "make one with push-jobs-server org create" in run.bad("client", "list")


# The whole


def test_run_hands_over_to_the_server_and_returns_its_exit_code(
    run: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: List[Tuple[Any, Path]] = []

    def fake(values: Any, data_dir: Path) -> int:
        seen.append((values["zeromq.advertised_host"], data_dir))
        return 5

    app = types.ModuleType("push_jobs_server.app")
    app.run = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "push_jobs_server.app", app)
    assert run("run").code == 5
    assert seen == [(HOST, run.data_dir)]


def test_the_data_directory_comes_from_the_environment_too(
    run: Commands, monkeypatch: pytest.MonkeyPatch, capsys: "pytest.CaptureFixture[str]"
) -> None:
    from push_jobs_server.cli import main

    monkeypatch.setenv("PUSHJOBS_SERVER_DATA", str(run.data_dir))
    assert main(["user", "list"]) == 0
    assert "alice" in capsys.readouterr().out


def test_a_defect_is_a_sentence_and_no_traceback(
    run: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: Store, _url: str) -> None:
        raise ZeroDivisionError("by\x1b[2J zero")

    monkeypatch.delenv("PUSHJOBS_DEBUG", raising=False)
    monkeypatch.setattr(Store, "__init__", fail)
    result = run("org", "list")
    assert result.code == 1
    assert result.err.splitlines()[0] == (
        "error: this is a defect of push-jobs-server: ZeroDivisionError: by\\x1b[2J zero"
    )


def test_an_error_of_the_system_names_its_file(
    run: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: Store, _url: str) -> None:
        raise OSError(28, "No space left on device", "/some/file")

    monkeypatch.setattr(Store, "__init__", fail)
    assert run.bad("org", "list") == "/some/file: No space left on device"


def _commands(group: click.Group, *path: str) -> Iterator[Tuple[Tuple[str, ...], click.Command]]:
    yield path, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, *path, name)
        else:
            yield (*path, name), command


COMMANDS = dict(_commands(root))


def test_the_commands_of_the_manual_are_there() -> None:
    for noun in ("org", "user", "client", "group"):
        assert {(noun, verb) for verb in ("create", "list", "show", "delete")} < set(COMMANDS)
    names = ("init", "run", "show-config", "check-config", "status", "migrate")
    assert {(name,) for name in names} < set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "root")
def test_each_command_has_help_with_two_examples_that_are_right(
    path: Tuple[str, ...], capsys: "pytest.CaptureFixture[str]"
) -> None:
    from push_jobs_server.cli import main

    assert main([*path, "--help"]) == 0
    out = capsys.readouterr().out
    found = re.findall(r"^    \$ push-jobs-server (.+)$", out, re.M)
    assert len(found) == 2 and "Examples:" in out
    for example in found:
        words = shlex.split(example)
        if words[0] == "--data-dir":
            del words[:2]
        shown: click.Command = root
        while isinstance(shown, click.Group):
            shown = shown.commands[words.pop(0)]
        shown.make_context("example", words)


@pytest.mark.parametrize("words", [[], ["frob"], ["org", "frob"], ["org", "create"], ["--frob"]])
def test_wrong_usage_exits_with_2(run: Commands, words: List[str]) -> None:
    assert run(*words).code == 2
