"""A real runner: jobs from start to release, their output, and the runner's own end."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import stat
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from runner_client import PATIENCE, RunnerClient, RunnerProcess, is_alive, request
from waiting import wait_until

from push_jobs_agent.runner.output import MARK
from push_jobs_agent.runner.spool import read_output

pytestmark = pytest.mark.e2e

WAIT = "while [ ! -e go ]; do sleep 0.02; done"
SHELL = {
    "exit": "exit 3",
    "signal": "kill -KILL $$",
    "stdin": "wc -c",
    "bytes": "printf '\\000\\377\\r\\n'; printf '\\376err' >&2",
    "much": "seq 1 100000",
    "waits": f"echo begin; {WAIT}; echo end; exit 3",
    "deaf": f"exec >&- 2>&-; touch closed; {WAIT}; exit 4",
    "child": "sleep 60 & echo $!",
}
PLAIN: Dict[str, Any] = {
    "true": "true",
    "missing": {"command_line": "no-such-program", "env": {"PATH": "/usr/bin:/bin"}},
    "slow": {"command_line": "sleep 60", "timeout": 0.2},
    "forever": "sleep 60",
    "quiet": {"command_line": "echo x", "capture_output": False},
    "loud": {"command_line": "echo x", "capture_output": True},
}


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[RunnerProcess]:
    whitelist: Dict[str, Any] = {**PLAIN, "not-a-program": str(tmp_path / "text")}
    for name, text in SHELL.items():
        whitelist[name] = {"command_line": text, "shell": True, "dir": str(tmp_path)}
    whitelist["locked"] = {**whitelist["waits"], "lock": str(tmp_path / "lock")}
    (tmp_path / "text").write_text("no program")
    runner = RunnerProcess(tmp_path, whitelist)
    yield runner
    runner.stop()


@pytest.fixture
def client(runner: RunnerProcess) -> RunnerClient:
    return runner.start().connect()


def output(runner: RunnerProcess, job: Dict[str, Any]) -> Tuple[bytes, bytes]:
    return read_output(str(runner.state_dir), job["job_id"])


def let_go(runner: RunnerProcess) -> None:
    runner.whitelist.with_name("go").touch()


def lines(runner: RunnerProcess, text: str) -> List[str]:
    return [line for line in runner.log.read_text().splitlines() if text in line]


# How a command ends


@pytest.mark.parametrize(
    "command, result, exit_code, number",
    [
        ("true", "succeeded", 0, None),
        ("exit", "failed", 3, None),
        ("signal", "failed", None, signal.SIGKILL),
    ],
)
def test_the_end_of_a_command(
    client: RunnerClient, command: str, result: str, exit_code: int, number: int
) -> None:
    job = client.run(command)
    assert (job["state"], job["result"], job["reason"]) == ("ended", result, None)
    assert (job["exit_code"], job["signal"]) == (exit_code, number)
    assert job["started_at"] <= job["ended_at"]
    assert client.jobs() == {job["job_id"]: job}


@pytest.mark.parametrize("command, code", [("missing", 127), ("not-a-program", 126)])
def test_a_command_that_cannot_be_run(client: RunnerClient, command: str, code: int) -> None:
    job = client.run(command)
    assert (job["result"], job["exit_code"]) == ("failed", code)
    assert job["reason"].startswith("cannot run ")


def test_standard_input_is_empty(runner: RunnerProcess, client: RunnerClient) -> None:
    assert output(runner, client.run("stdin"))[0].strip() == b"0"


def test_a_job_ends_after_the_time_of_its_entry(client: RunnerClient) -> None:
    job = client.run("slow")
    assert (job["result"], job["signal"]) == ("failed", signal.SIGTERM)
    assert job["reason"] == "it ran longer than the 0.2 s of its whitelist entry"
    assert job["ended_at"] - job["started_at"] >= 0.15


def test_the_server_has_two_seconds_to_end_a_job_first(client: RunnerClient) -> None:
    job = client.run("forever", run_timeout=0.1)
    assert (job["result"], job["reason"]) == ("failed", "it ran longer than the 0.1 s of the job")
    assert job["ended_at"] - job["started_at"] >= 2.0


# Output


def test_both_channels_byte_for_byte(runner: RunnerProcess, client: RunnerClient) -> None:
    assert output(runner, client.run("bytes")) == (b"\0\xff\r\n", b"\xfeerr")


def test_long_output_keeps_head_and_tail(runner: RunnerProcess) -> None:
    runner.options = ("--output-limit=1024",)
    job = runner.start().connect().run("much")
    text = b"".join(b"%d\n" % number for number in range(1, 100_001))
    expected = text[:512] + MARK % (len(text) - 1024) + text[-512:]
    assert job["result"] == "succeeded" and output(runner, job) == (expected, b"")


@pytest.mark.parametrize(
    "command, capture, expected",
    [
        ("bytes", False, b""),
        ("quiet", True, b""),
        ("loud", False, b"x\n"),
    ],
)
def test_the_entry_then_the_caller_decide_about_capturing(
    runner: RunnerProcess, client: RunnerClient, command: str, capture: bool, expected: bytes
) -> None:
    job = client.run(command, capture=capture)
    assert output(runner, job)[0] == expected
    assert job["capture"] is bool(expected)


def test_a_command_that_closes_its_output_early_still_runs(
    runner: RunnerProcess, client: RunnerClient
) -> None:
    job_id = client.start("deaf")
    wait_until(runner.whitelist.with_name("closed").exists, "the closed output")
    assert client.jobs()[job_id]["state"] == "running"
    let_go(runner)
    assert client.ended(job_id)["exit_code"] == 4


def test_a_child_that_is_left_behind_lives_and_is_not_waited_for(
    runner: RunnerProcess, client: RunnerClient
) -> None:
    job = client.run("child")
    child = int(output(runner, job)[0])
    try:
        assert job["result"] == "succeeded" and job["ended_at"] - job["started_at"] < 30
        assert is_alive(child)
    finally:
        os.kill(child, signal.SIGKILL)


# The session


def test_losing_the_session_changes_nothing(runner: RunnerProcess, client: RunnerClient) -> None:
    job_id = client.start("waits")
    client.close()
    let_go(runner)
    folder = runner.state_dir / "spool" / job_id
    wait_until((folder / "result.json").exists, "a result")
    job = runner.connect().jobs()[job_id]
    assert (job["state"], job["exit_code"], output(runner, job)) == (
        "ended",
        3,
        (b"begin\nend\n", b""),
    )


def test_a_newer_session_takes_over(runner: RunnerProcess, client: RunnerClient) -> None:
    job_id = client.start("waits")
    newer = runner.connect()
    assert client.hung_up()
    assert newer.jobs()[job_id]["state"] == "running"
    let_go(runner)
    assert newer.ended(job_id)["exit_code"] == 3


def test_an_id_is_used_once(runner: RunnerProcess, client: RunnerClient) -> None:
    job_id = client.start("waits")
    assert "was here before" in client.refusal("true", job_id=job_id)
    let_go(runner)
    client.ended(job_id)
    assert "was here before" in client.refusal("true", job_id=job_id)
    assert client.ask("release", job_id=job_id)["ok"]
    assert "was here before" in client.refusal("true", job_id=job_id)


def test_release_removes_an_ended_job_only(runner: RunnerProcess, client: RunnerClient) -> None:
    job_id = client.start("waits")
    assert "has not ended" in client.ask("release", job_id=job_id)["reason"]
    let_go(runner)
    client.ended(job_id)
    assert client.ask("release", job_id=job_id)["ok"]
    assert client.jobs() == {} and list((runner.state_dir / "spool").iterdir()) == []
    assert client.ask("release", job_id=job_id)["ok"]


def test_a_lock_is_held_as_long_as_the_job_runs(
    runner: RunnerProcess, client: RunnerClient, tmp_path: Path
) -> None:
    job_id = client.start("locked")
    assert "is held by another process" in client.refusal("locked")
    let_go(runner)
    client.ended(job_id)
    with (tmp_path / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("line", [b"no json", b"[" * 100_000, b"\xff"])
def test_nonsense_costs_the_connection_but_no_job(
    runner: RunnerProcess, client: RunnerClient, line: bytes
) -> None:
    job_id = client.start("waits")
    client.send_line(line)
    assert client.hung_up()
    newer = runner.connect()
    assert newer.ask("dance")["reason"] == "unknown operation 'dance'"
    assert newer.ask("start", request=[])["ok"] is False
    let_go(runner)
    assert newer.ended(job_id)["exit_code"] == 3


# The disk


def test_the_spool_is_private(runner: RunnerProcess, client: RunnerClient) -> None:
    folder = runner.state_dir / "spool" / client.run("bytes")["job_id"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    names = ("request.json", "process.json", "result.json", "stdout", "stderr")
    assert modes == dict.fromkeys(names, 0o600)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)] == [0o700] * 2


@contextmanager
def no_room(runner: RunnerProcess) -> Iterator[None]:
    """Files of the runner cannot grow: nearest to a full disk without one."""
    soft, hard = resource.prlimit(runner.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(runner.pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(runner.pid, resource.RLIMIT_FSIZE, (soft, hard))


def test_a_job_that_the_disk_does_not_take_is_refused_and_forgotten(
    runner: RunnerProcess, client: RunnerClient
) -> None:
    wanted = request("true")
    with no_room(runner):
        assert "cannot be written" in client.ask("start", request=wanted)["reason"]
    assert list((runner.state_dir / "spool").iterdir()) == []
    assert client.ask("start", request=wanted)["ok"]
    assert client.ended(wanted["job_id"])["result"] == "succeeded"


def test_a_result_that_the_disk_does_not_take_is_written_later(
    runner: RunnerProcess, client: RunnerClient
) -> None:
    job_id = client.start("waits", capture=False)
    result = runner.state_dir / "spool" / job_id / "result.json"
    with no_room(runner):
        let_go(runner)
        wait_until(result.with_name("result.json.new").exists, "a try")
        assert client.ask("hello")["ok"] and not result.exists()
    assert client.ended(job_id)["exit_code"] == 3 and result.exists()


# The whitelist again, and the end


@pytest.mark.parametrize("by_signal", [True, False])
def test_a_reload_takes_all_or_nothing(
    runner: RunnerProcess, client: RunnerClient, by_signal: bool
) -> None:
    def reload(event: str, count: int) -> Dict[str, Any]:
        if not by_signal:
            return client.ask("reload")
        os.kill(runner.pid, signal.SIGHUP)
        wait_until(lambda: len(lines(runner, event)) == count, event)
        return {}

    runner.write({"new": "echo new"})
    reload("the whitelist was loaded", 1)
    runner.write('{"new": 5, "newer": {"command_line": "x", "timeout": "soon"}}')
    reply = reload("the old whitelist is kept", 2)
    told = "\n".join(reply.get("problems", lines(runner, "the old whitelist is kept")))
    assert "new: is a number" in told and "newer: timeout: is text" in told
    assert client.ask("hello")["names"] == ["new"]
    assert client.run("new")["result"] == "succeeded"


def test_a_running_job_survives_a_reload(runner: RunnerProcess, client: RunnerClient) -> None:
    job_id = client.start("waits")
    runner.write({})
    assert client.ask("reload")["names"] == []
    let_go(runner)
    assert client.ended(job_id)["exit_code"] == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_runner_stops_at_once(
    runner: RunnerProcess, client: RunnerClient, number: int
) -> None:
    client.run("true")
    os.kill(runner.pid, number)
    assert runner.wait() == 0
    assert not runner.socket.exists()


@pytest.mark.parametrize("by_signal", [True, False])
def test_a_runner_that_stops_waits_for_the_job(
    runner: RunnerProcess, client: RunnerClient, by_signal: bool
) -> None:
    job_id = client.start("waits")
    if by_signal:
        os.kill(runner.pid, signal.SIGTERM)
        wait_until(lambda: lines(runner, "stops when the running job has ended"), "the log")
    else:
        assert client.ask("shutdown")["ok"]
    assert "about to stop" in client.refusal("true")
    let_go(runner)
    assert client.ended(job_id)["exit_code"] == 3
    assert runner.wait() == 0


def test_no_number_of_polite_signals_ends_a_job(
    runner: RunnerProcess, client: RunnerClient
) -> None:
    job_id = client.start("waits")
    for count in range(1, 4):
        os.kill(runner.pid, signal.SIGTERM)
        wait_until(
            lambda: len(lines(runner, "stops when the running job has ended")) == count, "the log"
        )
    assert "about to stop" in client.refusal("true")
    let_go(runner)
    assert client.ended(job_id)["exit_code"] == 3
    assert runner.wait() == 0


def test_an_interrupt_ends_the_job_too(runner: RunnerProcess, client: RunnerClient) -> None:
    job_id = client.start("forever")
    os.kill(runner.pid, signal.SIGTERM)
    os.kill(runner.pid, signal.SIGINT)
    job = client.ended(job_id)
    assert (job["result"], job["reason"]) == ("aborted", "the runner was stopped")
    assert runner.wait() == 0


def test_a_second_runner_does_not_start(runner: RunnerProcess, client: RunnerClient) -> None:
    second = subprocess.run(runner.command(), capture_output=True, text=True, timeout=PATIENCE)
    assert second.returncode == 1
    assert f"another runner works in {runner.state_dir}; stop that one first" in second.stderr
    assert client.ask("hello")["pid"] == runner.pid
