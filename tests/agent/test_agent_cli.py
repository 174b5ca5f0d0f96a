"""The agent's command line: options, checks, exit codes."""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List

import pytest

from push_jobs_agent import cli, exit_codes
from push_jobs_agent.config import Config, load
from push_jobs_agent.runner_keeper import runner_command
from push_jobs_agent.version import VERSION

URL = "https://push.example.test/organizations/acme"


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    """Settings and whitelist that are right."""
    (tmp_path / "client.pem").write_text("a key")
    (tmp_path / "whitelist.json").write_text(json.dumps({"chef-client": "chef-client"}))
    path = tmp_path / "agent.yml"
    path.write_text(
        f"chef_server_url: {URL}\nnode_name: web1\nclient_key: client.pem\n"
        f"whitelist: whitelist.json\nstate_dir: state\n"
    )
    return path


def captured(monkeypatch: pytest.MonkeyPatch) -> List[Config]:
    """Instead of serving, keep the settings."""
    seen: List[Config] = []

    def serve(config: Config, _: argparse.Namespace) -> int:
        seen.append(config)
        return 0

    monkeypatch.setattr(cli, "_serve", serve)
    return seen


@pytest.mark.parametrize("options", [["-h"], ["--help"]])
def test_help_goes_to_standard_output(options: List[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(options)
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in ("--client-key", "--whitelist", "--check", "--max-body-size", "-L", "-v"):
        assert option in text


@pytest.mark.parametrize("options", [["-v"], ["--version"]])
def test_the_version_goes_to_standard_output(options: List[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(options)
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"pushy-client {VERSION}\n"


def test_the_version_is_that_of_the_distribution() -> None:
    assert VERSION == metadata.version("push-jobs-agent")


def test_all_three_names_are_the_same_program() -> None:
    entries = {
        entry.name: entry.value
        for entry in metadata.distribution("push-jobs-agent").entry_points
        if entry.group == "console_scripts"
    }
    names = ("pushy-client", "push-jobs-client", "ctl-pushy-client")
    assert {entries[name] for name in names} == {"push_jobs_agent.cli:main"}


LONG = {
    "log_level": ("log-level", "debug"),
    "log_location": ("logfile", "/tmp/agent.log"),
    "node_name": ("node-name", "web2"),
    "chef_server_url": ("server", URL),
    "client_key": ("client-key", "/etc/key.pem"),
    "file_dir": ("file-dir", "/srv/files"),
    "max_body_size": ("max-body-size", "50000"),
    "whitelist": ("whitelist", "/etc/w.json"),
}


@pytest.mark.parametrize("sign", ["-", "_"])
def test_long_options_may_be_written_with_either_sign(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    seen = captured(monkeypatch)
    options = ["--config", str(settings_file), "--allow-unencrypted".replace("-u", f"{sign}u")]
    for name, value in LONG.values():
        options += [f"--{name.replace('-', sign)}={value}"]
    assert cli.main(options) == 0
    for key, (_, value) in LONG.items():
        assert str(seen[0][key]) == value
    assert seen[0]["allow_unencrypted"] is True and seen[0]["max_body_size"] == 50000


def test_short_options_are_the_old_ones(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = captured(monkeypatch)
    short = {
        "-l": "warn",
        "-L": "/a.log",
        "-N": "web3",
        "-S": URL,
        "-k": "/k",
        "-d": "/d",
        "-M": "2048",
    }
    options = [word for pair in short.items() for word in pair]
    assert cli.main(["-c", str(settings_file), *options]) == 0
    names = "log_level log_location node_name chef_server_url client_key file_dir max_body_size"
    assert [str(seen[0][name]) for name in names.split()] == list(short.values())


def test_a_check_without_findings_says_so(settings_file: Path, capsys: Any) -> None:
    assert cli.main(["-c", str(settings_file), "--check"]) == exit_codes.OK
    out, err = capsys.readouterr()
    assert "no mistake found; 1 entries" in out and err == ""


def test_a_check_names_all_problems_of_files_and_whitelist(
    settings_file: Path, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "client.pem").unlink()
    (tmp_path / "whitelist.json").write_text('{"a": 5, "/(/": "x", "b": {"comand_line": "y"}}')
    assert cli.main(["-c", str(settings_file), "--check"]) == exit_codes.CONFIG
    err = capsys.readouterr().err
    assert "client_key" in err
    for key in ("a:", "/(/:", "b:"):
        assert key in err


def test_a_check_reads_a_whitelist_in_yaml(
    settings_file: Path, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "w.yml").write_text("chef-client: chef-client\nother: [ls, -l]\n")
    options = ["-c", str(settings_file), "--check", "--whitelist", str(tmp_path / "w.yml")]
    assert cli.main(options) == exit_codes.OK
    assert "2 entries" in capsys.readouterr().out


def test_wrong_settings_are_all_named_on_standard_error(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "agent.yml"
    path.write_text("chef_server_url: http://push.example.test\nmax_body_size: 1\nnode: web1\n")
    checks: List[List[str]] = [[], ["--check"]]
    for check in checks:
        assert cli.main(["-c", str(path), *check]) == exit_codes.CONFIG
        out, err = capsys.readouterr()
        assert out == "" and len(err.splitlines()) == 3
        assert all(line.startswith(f"{path}: ") for line in err.splitlines())


@pytest.mark.parametrize("options", [["--nonsense"], ["positional"], ["-c"]])
def test_wrong_options_end_like_wrong_settings(options: List[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(options)
    assert caught.value.code == exit_codes.CONFIG
    assert "usage: pushy-client" in capsys.readouterr().err


def test_a_wrong_number_on_the_command_line_is_named(settings_file: Path, capsys: Any) -> None:
    assert cli.main(["-c", str(settings_file), "-M", "many"]) == exit_codes.CONFIG
    assert "max_body_size is 'many'" in capsys.readouterr().err


def test_ignored_lines_of_an_old_file_are_shown(
    settings_file: Path, tmp_path: Path, capsys: Any
) -> None:
    old = tmp_path / "client.rb"
    old.write_text(f"chef_server_url '{URL}'\nssl_verify_mode :verify_none\n")
    cli.main(["-c", str(old), "--check"])
    assert "line 2 is ignored: ssl_verify_mode is no setting" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["state_dir", "log_location"])
def test_places_that_cannot_be_written_are_named(
    settings_file: Path, tmp_path: Path, name: str
) -> None:
    blocked = tmp_path / "whitelist.json" / "below-a-file"
    with settings_file.open("a") as file:
        file.write(f"{name}: {blocked}\n")
    done = run(settings_file)
    assert done.returncode == exit_codes.CONFIG
    assert name in done.stderr and str(blocked) in done.stderr
    assert "Traceback" not in done.stderr


def run(settings_file: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "push_jobs_agent", "-c", str(settings_file)]
    return subprocess.run(
        command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_settings_reach_the_runner(tmp_path: Path) -> None:
    def options(**more: Any) -> List[str]:
        values: Dict[str, Any] = {"chef_server_url": URL, "state_dir": "/s", "whitelist": "/w"}
        command = runner_command(load(None, {**values, **more}, str(tmp_path)))
        assert command[:3] == [sys.executable, "-I", "-S"] and os.path.isdir(command[3])
        return command[4:]

    assert options() == ["--state-dir=/s", "--whitelist=/w", "--output-limit=1048576"]
    more = options(
        file_dir="/f",
        lockfile="/l",
        output_limit=2048,
        allowed_users=["deploy", "app"],
        allowed_overwritable_env_vars=["A"],
    )
    assert more[2:] == [
        "--file-dir=/f",
        "--lockfile=/l",
        "--output-limit=2048",
        "--allow-user=deploy",
        "--allow-user=app",
        "--allow-env=A",
    ]
    assert options(allowed_overwritable_env_vars=[])[-1] == "--allow-env="


def test_the_session_does_not_load_what_a_quiet_agent_does_not_need() -> None:
    code = (
        "import sys, push_jobs_agent.cli, push_jobs_agent.service, push_jobs_agent.fetcher\n"
        "import push_jobs_agent.transports.zeromq\n"
        "heavy = {'requests', 'cryptography', 'yaml', 'ssl', 'http', 'asyncio', 'email'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert found.stdout.decode().strip() == "[]"


MACHINE = (
    "session slot reports health refetch refusals guard outbox outcome actions spooled "
    "serf_runs serf_run run_table run_reports run_output run_verdict shovey_check accepted "
    "serf_pulse schob_file".split()
)
IMPURE = {"socket", "threading", "subprocess", "logging", "zmq", "signal", "random", "time", "os"}


def test_the_machine_is_pure() -> None:
    folder = Path(cli.__file__).parent
    for name in [*MACHINE, "server_settings"]:
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text())):
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & IMPURE, name
            elif isinstance(node, ast.ImportFrom):
                assert str(node.module).split(".")[0] not in IMPURE, name
