"""The real runner process: what surrounds a job, odd starts, and odd ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping

import pytest
from runner_client import PATIENCE, PROGRAM, RunnerProcess, is_alive, request
from waiting import wait_until

from push_jobs_agent.runner.spool import read_output

pytestmark = pytest.mark.e2e

Launch = Callable[..., RunnerProcess]

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Makes a runner with a whitelist and options; it is stopped after the test."""
    made: List[RunnerProcess] = []

    def make(whitelist: Mapping[str, Any], *options: str) -> RunnerProcess:
        made.append(RunnerProcess(tmp_path, whitelist, *options))
        return made[-1].start()

    yield make
    for runner in made:
        runner.stop()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can pass through."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def sh(text: str, **options: Any) -> Dict[str, Any]:
    """An entry that a shell runs."""
    return {"command_line": text, "shell": True, **options}


def output(runner: RunnerProcess, job: Mapping[str, Any]) -> bytes:
    return read_output(str(runner.state_dir), job["job_id"])[0]


def number_in(path: Path) -> int:
    """The number that a job writes into a file, when it is there."""
    text = wait_until(lambda: path.exists() and path.read_text(), f"{path.name}")
    return int(text)


# Running


def test_what_is_told_about_a_job(launch: Launch) -> None:
    runner = launch({"job": sh("echo out")})
    client = runner.connect()
    asked = request("job")
    before = time.time()
    reply = client.ask("start", request=asked)
    job = client.ended(asked["job_id"])
    assert before <= reply["started_at"] == job["started_at"] <= job["ended_at"] <= time.time()
    assert job == {
        "job_id": asked["job_id"],
        "state": "ended",
        "result": "succeeded",
        "exit_code": 0,
        "signal": None,
        "reason": None,
        "cause": None,
        "started_at": job["started_at"],
        "ended_at": job["ended_at"],
        "capture": True,
        "stdout_size": 4,
        "stderr_size": 0,
    }
    assert client.jobs() == {job["job_id"]: job}


def test_several_jobs_at_a_time(launch: Launch, tmp_path: Path) -> None:
    wait = sh(f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done")
    client = launch({"wait": wait, "true": "true"}).connect()
    waiting = [client.start("wait"), client.start("wait")]
    assert client.run("true")["result"] == "succeeded"
    assert [client.jobs()[job_id]["state"] for job_id in waiting] == ["running"] * 2
    (tmp_path / "go").touch()
    assert [client.ended(job_id)["result"] for job_id in waiting] == ["succeeded"] * 2


def test_an_endless_talker_costs_bounded_disk(launch: Launch) -> None:
    runner = launch({"job": "yes"}, "--output-limit=4096")
    client = runner.connect()
    job_id = client.start("job")
    folder = runner.state_dir / "spool" / job_id
    wait_until(lambda: len(list(folder.glob("stdout.*"))) > 1, "a piece of the tail")
    assert client.ask("abort", job_id=job_id, grace=PATIENCE, reason="enough")["ok"]
    job = client.ended(job_id)
    assert (job["result"], job["reason"], job["signal"]) == ("aborted", "enough", 15)
    assert sum(file.stat().st_size for file in folder.glob("stdout*")) <= 8192
    assert b"bytes left out" in output(runner, job)


def test_abort_does_not_wait_longer_than_needed(launch: Launch, tmp_path: Path) -> None:
    text = f"setsid sh -c 'echo $$ > {tmp_path}/daemon; exec sleep 1000' & sleep 1000"
    client = launch({"job": sh(text)}).connect()
    job_id = client.start("job")
    pid = number_in(tmp_path / "daemon")
    client.ask("abort", job_id=job_id, grace=1000, reason="x")
    assert client.ended(job_id)["signal"] == signal.SIGTERM
    assert not is_alive(pid)


def test_a_program_that_may_not_be_run(launch: Launch) -> None:
    job = launch({"job": "/etc/passwd"}).connect().run("job")
    assert (job["result"], job["exit_code"]) == ("failed", 126)
    assert job["reason"] == "cannot run '/etc/passwd': Permission denied"


# Locks


def test_the_lock_of_chef_client_is_tested_but_left_to_it(launch: Launch, tmp_path: Path) -> None:
    chef, other = tmp_path / "chef.pid", tmp_path / "other.lock"
    chef.write_text("4711")
    runner = launch(
        {
            "chef": ["flock", "-n", str(chef), "true"],
            "own": {"command_line": ["flock", "-n", str(chef), "true"], "lock": True},
            "other": {"command_line": ["flock", "-n", str(other), "true"], "lock": str(other)},
            "missing": {"command_line": "true", "lock": "/no/such/folder/x"},
        },
        f"--lockfile={chef}",
    )
    client = runner.connect()
    with subprocess.Popen(
        ["flock", "-n", str(chef), "sh", "-c", "echo; cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"\n"
        assert client.refusal("own") == f"the lock {chef} is held by another process"
        holder.communicate()
    assert chef.read_text() == "4711"
    assert client.run("own")["exit_code"] == 0
    # Any other lock is held while the job runs, and free again afterwards.
    assert [client.run("other")["exit_code"] for _ in range(2)] == [1, 1]
    assert client.run("missing")["exit_code"] == 0


# What a job sees


HOSTILE = {
    name: "evil"
    for name in (
        "PATH ENV IFS BASH_ENV BASH_FUNC_x%% SHELLOPTS PS4 LD_PRELOAD LD_LIBRARY_PATH PYTHONPATH"
        " PYTHONSTARTUP RUBYOPT RUBYLIB PERL5OPT PERL5LIB NODE_OPTIONS GIT_SSH_COMMAND GCONV_PATH"
        " GLIBC_TUNABLES HOME USER TMPDIR CLASSPATH JAVA_TOOL_OPTIONS XDG_CONFIG_HOME"
        " CHEF_PUSH_JOB_ID CHEF_PUSH_NODE_NAME CHEF_PUSH_JOB_FILE CHEF_PUSH_ENV_X"
    ).split()
}


def test_every_hostile_variable_is_renamed(launch: Launch) -> None:
    runner = launch({"env": {"command_line": "env -0", "env": {"OURS": "entry"}}})
    job = runner.connect().run("env", env={**HOSTILE, "OURS": "evil", "HARMLESS": "x"})
    lines = output(runner, job).decode().split("\0")
    seen = dict(line.split("=", 1) for line in lines if line)
    assert [name for name, value in seen.items() if value == "evil"] == [
        f"CHEF_PUSH_ENV_{name}" for name in [*HOSTILE, "OURS"]
    ]
    assert (seen["OURS"], seen["HARMLESS"]) == ("entry", "x")


@pytest.fixture
def ignored_signals() -> Iterator[None]:
    """What is started meanwhile ignores some signals, as it does below nohup or a shell's ``&``."""
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGRTMAX)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("ignored_signals")
def test_a_job_has_a_session_of_its_own_and_nothing_of_the_runner(launch: Launch) -> None:
    text = "import os; print(os.getsid(0) == os.getpid(), sorted(os.listdir('/proc/self/fd')))"
    runner = launch(
        {
            "own": [sys.executable, "-I", "-S", "-c", text],
            "signals": sh("grep -E 'Sig(Blk|Ign)' /proc/self/status"),
        }
    )
    client = runner.connect()
    # The fourth descriptor is the folder being listed.
    assert output(runner, client.run("own")) == b"True ['0', '1', '2', '3']\n"
    masks = output(runner, client.run("signals")).splitlines()
    assert [line.split()[1] for line in masks] == [b"0" * 16] * 2


def test_what_a_job_put_beside_its_file_stays(launch: Launch) -> None:
    runner = launch({"job": sh('touch "$CHEF_PUSH_JOB_FILE.mine"')})
    job = runner.connect().run("job", file="raw:x")
    left = runner.state_dir / "files" / f"push-job-{job['job_id']}"
    assert [file.name for file in left.iterdir()] == ["job-file.mine"]


def test_a_folder_for_job_files_that_others_can_write_is_refused(
    launch: Launch, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    files.chmod(0o777)
    client = launch({"true": "true"}, f"--file-dir={files}").connect()
    wanted = request("true", file="raw:x")
    reply = client.ask("start", request=wanted)
    assert not reply["ok"] and "can be written by others" in reply["reason"]
    assert client.jobs() == {}
    # Nothing of it is left, so the same job can be started once that is repaired.
    files.chmod(0o1777)
    assert client.ask("start", request=wanted)["ok"]
    assert client.ended(wanted["job_id"])["result"] == "succeeded"


@AS_ROOT
def test_a_user_comes_with_all_groups_and_its_own_home(open_folder: Path) -> None:
    runner = RunnerProcess(open_folder, {"job": sh('id -G; echo "$HOME $USER $LOGNAME"')})
    runner.options = ("--allow-user=bin", "--allow-user=www-data")
    try:
        job = runner.start().connect().run("job", user="www-data", env={"HOME": "/evil"})
        assert output(runner, job).split() == [b"33", b"/var/www", b"www-data", b"www-data"]
    finally:
        runner.stop()


@AS_ROOT
def test_a_directory_that_the_user_cannot_enter(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    entry = {"command_line": "true", "user": "nobody", "dir": f"{tmp_path}/private"}
    job = launch({"job": entry}).connect().run("job")
    assert (job["result"], job["exit_code"]) == ("failed", 126)
    assert job["reason"] == f"cannot enter the directory '{tmp_path}/private': Permission denied"


@AS_ROOT
def test_a_runner_without_rights(open_folder: Path) -> None:
    whitelist = {"job": {"command_line": "true", "user": "root"}, "own": "id -un"}
    runner = RunnerProcess(open_folder, whitelist)
    shutil.chown(open_folder, "nobody")
    runner.process = subprocess.Popen(
        runner.command(), user="nobody", stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    try:
        client = runner.wait_until_it_answers()
        assert "is no superuser and cannot change users" in client.refusal("job")
        job = client.run("own", user="nobody", file="raw:x")
        assert output(runner, job) == b"nobody\n"
    finally:
        runner.stop()


# Odd starts


def fails(command: List[str]) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=PATIENCE
    )


@pytest.mark.parametrize(
    "options, code, text",
    [
        (["--bogus"], 43, "unknown option --bogus"),
        (["--output-limit=7"], 43, "--output-limit is '7', expected a number from 1024 on"),
        (["--file-dir"], 43, "--file-dir needs a value"),
        (["--state-dir="], 43, "--state-dir and --whitelist are needed"),
        (["--whitelist=/no/such/file"], 43, "/no/such/file: cannot be read: No such file"),
        (["--state-dir=/proc/x"], 1, "cannot work: /proc/x: No such file or directory"),
    ],
)
def test_mistakes_at_the_start(tmp_path: Path, options: List[str], code: int, text: str) -> None:
    done = fails(RunnerProcess(tmp_path, {}, *options).command())
    assert (done.returncode, done.stderr.count(b"\n")) == (code, 1), done.stderr
    assert text in done.stderr.decode()


def test_a_state_folder_whose_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    done = fails(RunnerProcess(tmp_path, {}, f"--state-dir={tmp_path}/{'x' * 100}").command())
    assert done.returncode == 1 and b"too long" in done.stderr


def test_a_runner_that_was_started_with_closed_channels(tmp_path: Path) -> None:
    runner = RunnerProcess(tmp_path, {"job": sh("echo out; echo err >&2")})
    words = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *runner.command()]
    runner.process = subprocess.Popen(words)
    try:
        job = runner.wait_until_it_answers().run("job")
        assert read_output(str(runner.state_dir), job["job_id"]) == (b"out\n", b"err\n")
    finally:
        runner.stop()


def test_losing_the_reader_of_the_log_hurts_nobody(tmp_path: Path) -> None:
    runner = RunnerProcess(tmp_path, {"true": "true"})
    runner.process = subprocess.Popen(runner.command(), stderr=subprocess.PIPE)
    assert runner.process.stderr is not None
    runner.process.stderr.close()
    try:
        assert runner.wait_until_it_answers().run("true")["result"] == "succeeded"
    finally:
        runner.stop()


def test_a_runner_never_ends_itself_when_the_job_of_a_dead_one_started_it(launch: Launch) -> None:
    runner = launch({"job": "sleep 1000"})
    job_id = runner.connect().start("job")
    runner.kill()
    folder = os.path.realpath(runner.state_dir / "spool" / job_id)
    client = runner.start(env={**os.environ, "CHEF_PUSH_JOB_SPOOL": folder}).connect()
    wait_until(lambda: client.jobs()[job_id]["state"] == "ended", "the end of the job")
    assert client.jobs()[job_id]["result"] == "crashed"
    assert client.ask("hello")["pid"] == runner.pid


def test_a_runner_that_died_before_the_job_had_a_process(launch: Launch) -> None:
    runner = launch({})
    runner.kill()
    (runner.state_dir / "spool" / "j1").mkdir()
    client = runner.start().connect()
    wait_until(lambda: client.jobs()["j1"]["state"] == "ended", "the end of the job")
    job = client.jobs()["j1"]
    assert (job["result"], job["reason"]) == ("crashed", "the runner died before it ran")
    assert job["started_at"] is None


def test_a_child_that_is_not_the_command_yet_does_not_keep_the_lock(tmp_path: Path) -> None:
    text = (
        f"import os, signal, sys; sys.path.append({str(Path(PROGRAM).parents[1])!r})\n"
        "from push_jobs_agent.runner.main import _lock\n"
        f"lock = _lock({str(tmp_path / 'lock')!r})\n"
        "child = os.fork() or signal.pause()\n"
        "os.close(lock)\n"
        "try: _lock(sys.argv[1])\n"
        "finally: os.kill(child, signal.SIGKILL)"
    )
    done = fails([sys.executable, "-I", "-S", "-c", text, str(tmp_path / "lock")])
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_line_without_end_costs_the_connection(launch: Launch) -> None:
    runner = launch({"true": "true"})
    client = runner.connect()
    try:
        client.send_line(b"x" * 5_000_000)
    except ConnectionError:
        pass
    assert client.hung_up()
    assert runner.connect().run("true")["result"] == "succeeded"


def test_it_stays_small() -> None:
    heavy = "typing dataclasses subprocess logging argparse inspect yaml threading traceback"
    text = (
        f"import sys; sys.path.append({str(Path(PROGRAM).parents[1])!r})\n"
        "import push_jobs_agent.runner.main\n"
        f"print(sorted(set({heavy.split()!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = fails([sys.executable, "-I", "-S", "-c", text])
    assert done.stderr == b"[]\n"
