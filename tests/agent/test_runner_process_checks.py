"""A real runner: what it refuses, and what a job finds around itself."""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping

import pytest
from runner_client import PATIENCE, RunnerClient, RunnerProcess, request
from waiting import wait_until

from push_jobs_agent.runner.spool import read_output

pytestmark = pytest.mark.e2e

ROOT = os.geteuid() == 0
NOBODY = 65534
NOT_ALLOWED = "nobody" if ROOT else "root"
SHOW_FILE = (
    'cat "$CHEF_PUSH_JOB_FILE"; '
    'stat -c "%a %u" "${CHEF_PUSH_JOB_FILE%/*}" "$CHEF_PUSH_JOB_FILE" >&2'
)
WHITELIST: Dict[str, Any] = {
    "true": "true",
    "off": False,
    "/o.*/": "true",
    "exact": "echo exact",
    "/exact|say (.*)/": ["printf", "<%s>", "\\1", "end"],
    "/shell (.*) (.*)/": {"command_line": 'printf "%s|%s|%s" "$#" "$1" "$2"', "shell": True},
    "/grep (.*)/": {"command_line": "echo \\1", "options": True},
    "/(z+)+y/": "true",
    "there": {"command_line": "pwd", "dir": "/"},
    "pwd": "pwd",
    "env": "env -0",
    "entry-env": {"command_line": "env -0", "env": {"A": "entry", "PATH": "/usr/bin:/bin"}},
    "file": {"command_line": SHOW_FILE, "shell": True},
    "root": {"command_line": "true", "user": "root"},
    "nobody": {"command_line": 'id -u; id -G; echo "$USER $HOME"', "shell": True, "user": "nobody"},
    "nobody-file": {"command_line": SHOW_FILE, "shell": True, "user": "nobody"},
}


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[RunnerProcess]:
    whitelist = {**WHITELIST, "locked": {"command_line": "true", "lock": str(tmp_path / "lock")}}
    runner = RunnerProcess(tmp_path, whitelist)
    yield runner
    runner.stop()


@pytest.fixture
def client(runner: RunnerProcess) -> RunnerClient:
    return runner.start().connect()


@pytest.fixture
def open_runner() -> Iterator[RunnerProcess]:
    """A runner in a folder that every user can pass through."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o711)
    runner = RunnerProcess(folder, WHITELIST)
    yield runner
    runner.stop()
    shutil.rmtree(folder)


def output(runner: RunnerProcess, client: RunnerClient, command: str, **fields: Any) -> bytes:
    job = client.run(command, **fields)
    assert job["result"] == "succeeded", job
    return read_output(str(runner.state_dir), job["job_id"])[0]


def environment(
    runner: RunnerProcess, client: RunnerClient, env: Mapping[str, str], command: str = "env"
) -> Dict[str, str]:
    text = output(runner, client, command, env=env, job_id="env-job").decode()
    return dict(line.split("=", 1) for line in text.split("\0") if line)


# The whitelist


def test_a_wrong_whitelist_ends_the_start_and_every_mistake_is_named(runner: RunnerProcess) -> None:
    runner.write('{"a": 1, "a": "x", "/(/": "x", "b": {"command": "x", "timeout": -1}}')
    ended = subprocess.run(runner.command(), capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 43 and "Traceback" not in ended.stderr
    for problem in ("a: is there more", "/(/: is not a", "b: command: is not", "b: timeout: is a"):
        assert f"whitelist.json: {problem}" in ended.stderr


def test_an_exact_name_counts_before_a_pattern(runner: RunnerProcess, client: RunnerClient) -> None:
    assert output(runner, client, "exact") == b"exact\n"


def test_a_group_is_one_argument(runner: RunnerProcess, client: RunnerClient) -> None:
    assert output(runner, client, "say a 'b $(id);") == b"<a 'b $(id);><end>"
    assert output(runner, client, "shell $(id) b") == b"2|$(id)|b"
    assert output(runner, client, "grep -x") == b"-x\n"


def test_a_yaml_whitelist(tmp_path: Path, runner: RunnerProcess) -> None:
    runner.whitelist = tmp_path / "whitelist.yml"
    runner.write("hello: echo hello\n'off': false\n")
    client = runner.start().connect()
    assert client.ask("hello")["names"] == ["hello"]
    assert output(runner, client, "hello") == b"hello\n"
    runner.write("hello: x\nhello: y\nother: 5\n")
    assert "hello is there more than once" in client.ask("reload")["problems"][0]
    assert client.ask("hello")["names"] == ["hello"]


# Refusals


@pytest.mark.parametrize(
    "command, fields, reason",
    [
        ("reboot", {}, "the job 'reboot' is not in the whitelist"),
        ("true x", {}, "the job 'true x' is not in the whitelist"),
        ("off", {}, "the job 'off' is switched off"),
        ("say -rf", {}, "could be read as an option"),
        ("shell a -b", {}, "could be read as an option"),
        ("z" * 60, {}, "took more than 0.2 s"),
        ("true\n", {}, "control character"),
        ("true", {"dir": "/no/such"}, "the directory '/no/such' does not exist"),
        ("true", {"dir": "tmp"}, "'tmp' is no absolute path"),
        ("true", {"dir": ""}, "'' is no absolute path"),
        ("true", {"user": ""}, "the user '' does not exist"),
        ("true", {"file": ""}, "no valid prefix"),
        ("there", {"dir": "/tmp"}, "runs 'there' in '/'"),
        ("true", {"user": "no-such-user"}, "'no-such-user' does not exist on this node"),
        ("true", {"user": NOT_ALLOWED}, "is not allowed for jobs on this node"),
        ("root", {"user": "nobody"}, "runs 'root' as 'root'"),
        ("true", {"env": {"A=B": "x"}}, "the env of the job is not usable"),
        ("true", {"env": {"A": "x\0"}}, "the env of the job is not usable"),
        ("true", {"file": "x"}, "no valid prefix"),
        ("true", {"file": "base64:?"}, "not valid base64"),
        ("true", {"file": "raw:" + "x" * 100_001}, "has 100001 bytes, at most 100000"),
        ("true", {"run_timeout": -1}, "the run_timeout of the job is not usable"),
        ("true", {"job_id": "../x"}, "the job id is not usable"),
        ("true", {"command": None}, "names no command"),
    ],
)
def test_refusals(client: RunnerClient, command: str, fields: Dict[str, Any], reason: str) -> None:
    wanted = {**request(command), **fields}
    replies = [client.ask(op, request=wanted) for op in ("check", "start")]
    assert [reply["ok"] for reply in replies] == [False, False]
    assert all(reason in reply["reason"] for reply in replies), replies
    assert client.jobs() == {}


def test_what_could_run_is_checked_without_a_trace(
    runner: RunnerProcess, client: RunnerClient
) -> None:
    assert client.ask("check", request=request("true"))["ok"]
    assert client.jobs() == {} and list((runner.state_dir / "spool").iterdir()) == []


def test_a_lock_that_somebody_holds(tmp_path: Path, client: RunnerClient) -> None:
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "is held by another process" in client.refusal("locked")
    assert client.run("locked")["result"] == "succeeded"


# Surroundings


def test_hostile_variables_are_only_data(runner: RunnerProcess) -> None:
    names = "PATH LD_PRELOAD PYTHONPATH BASH_ENV ENV GIT_SSH_COMMAND HOME CHEF_PUSH_JOB_ID".split()
    own = {"PATH": os.environ["PATH"], "HOME": "/own", "NOTIFY_SOCKET": "/x", "KEPT": "yes"}
    client = runner.start(env=own).connect()
    asked = {**{name: "/evil" for name in names}, "GREETING": "hello\nworld"}
    found = environment(runner, client, asked)
    assert {name: found[f"CHEF_PUSH_ENV_{name}"] for name in names} == dict.fromkeys(names, "/evil")
    assert "/evil" not in [found.get(name) for name in names]
    assert (found["GREETING"], found["KEPT"], found["HOME"]) == ("hello\nworld", "yes", "/own")
    assert found["CHEF_PUSH_JOB_ID"] == "env-job"
    assert found["CHEF_PUSH_NODE_NAME"] == "web01.example.com"
    assert "NOTIFY_SOCKET" not in found and "CHEF_PUSH_JOB_FILE" not in found


def test_the_environment_of_the_entry_wins(runner: RunnerProcess, client: RunnerClient) -> None:
    found = environment(runner, client, {"A": "caller", "B": "caller"}, "entry-env")
    assert (found["A"], found["B"], found["PATH"]) == ("entry", "caller", "/usr/bin:/bin")
    assert found["CHEF_PUSH_ENV_A"] == "caller"


@pytest.mark.parametrize("allowed, plain", [("A", {"A"}), ("", set())])
def test_only_allowed_variables(runner: RunnerProcess, allowed: str, plain: "set[str]") -> None:
    runner.options = (f"--allow-env={allowed}",)
    found = environment(runner, runner.start().connect(), {"A": "1", "B": "2"})
    assert {"A", "B"} & set(found) == plain
    assert found["CHEF_PUSH_ENV_B"] == "2"


def test_a_directory(runner: RunnerProcess, client: RunnerClient, tmp_path: Path) -> None:
    assert output(runner, client, "pwd", dir=str(tmp_path)).decode() == f"{tmp_path}\n"
    assert output(runner, client, "there") == b"/\n"
    assert output(runner, client, "there", dir="/") == b"/\n"


@pytest.mark.parametrize("kind", ["raw", "base64"])
def test_a_file_is_private_and_removed_afterwards(
    runner: RunnerProcess, client: RunnerClient, kind: str
) -> None:
    data = b"caf\xc3\xa9 $(id)\n"
    text = data.decode() if kind == "raw" else base64.encodebytes(data).decode()
    job = client.run("file", file=f"{kind}:{text}")
    out, err = read_output(str(runner.state_dir), job["job_id"])
    assert out == data
    assert err.decode().split() == ["700", str(os.geteuid()), "600", str(os.geteuid())]
    assert list((runner.state_dir / "files").iterdir()) == []


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_a_job_becomes_the_user_of_its_entry(open_runner: RunnerProcess) -> None:
    client = open_runner.start().connect()
    uid, groups, names = output(open_runner, client, "nobody").decode().splitlines()
    assert (uid, groups) == (str(NOBODY), str(NOBODY)) and names.startswith("nobody /")
    job = client.run("nobody-file", file="raw:data")
    out, err = read_output(str(open_runner.state_dir), job["job_id"])
    assert (out, err.split()) == (b"data", [b"700", b"65534", b"600", b"65534"])
    assert list((open_runner.state_dir / "files").iterdir()) == []


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_a_caller_may_choose_a_user_that_is_allowed(open_runner: RunnerProcess) -> None:
    open_runner.options = ("--allow-user=nobody",)
    client = open_runner.start().connect()
    text = output(open_runner, client, "env", user="nobody")
    assert {b"USER=nobody", b"LOGNAME=nobody"} <= set(text.split(b"\0"))


@pytest.mark.skipif(ROOT, reason="root can become everybody")
def test_without_root_a_job_cannot_become_somebody_else(client: RunnerClient) -> None:
    assert "cannot change users" in client.refusal("root")


# Who may ask


def test_the_socket_is_private(runner: RunnerProcess, client: RunnerClient) -> None:
    assert stat.S_IMODE(runner.socket.stat().st_mode) == 0o600
    assert client.ask("hello")["ok"]


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_another_user_is_refused_even_if_the_socket_lets_it_in(open_runner: RunnerProcess) -> None:
    client = open_runner.start().connect()
    open_runner.socket.chmod(0o666)
    os.seteuid(NOBODY)
    try:
        stranger = open_runner.connect()
    finally:
        os.seteuid(0)
    assert stranger.hung_up()
    wait_until(lambda: "refused a connection" in open_runner.log.read_text(), "a line in the log")
    assert client.ask("hello")["ok"]
