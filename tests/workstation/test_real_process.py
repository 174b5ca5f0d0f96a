"""The command line as a process of its own: signals, closed pipes, and a real terminal."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import pytest
from pushy_stub import PushyStub, ran

START = [sys.executable, "-c", "import sys; from push_jobs.cli import main; sys.exit(main())"]


@pytest.fixture
def environment(stub: PushyStub, tmp_path: Path) -> Dict[str, str]:
    """The environment of the process."""
    return {**stub.environ(tmp_path), "TERM": "xterm", "COLUMNS": "60", "LINES": "24"}


@pytest.fixture
def terminal() -> Iterator[Tuple[int, int]]:
    """Both ends of a pseudo-terminal: the keyboard and screen, and the process's side."""
    screen, inside = pty.openpty()
    yield screen, inside
    os.close(screen)


def on_terminal(
    terminal: Tuple[int, int], environment: Dict[str, str], *arguments: str
) -> Tuple[int, str]:
    """Run a command on the terminal; return its code and what was on the screen."""
    screen, inside = terminal
    process = subprocess.Popen(
        [*START, *arguments], env=environment, stdout=inside, stderr=inside, stdin=inside
    )
    os.close(inside)
    shown: List[bytes] = []
    while True:
        try:
            data = os.read(screen, 65536)
        except OSError:  # how Linux says that the other end was closed
            break
        if not data:
            break
        shown.append(data)
    return process.wait(30), b"".join(shown).decode()


def test_interrupting_ends_the_waiting_but_not_the_job(
    stub: PushyStub, environment: Dict[str, str]
) -> None:
    stub.plays["slow"] = [("running", {"web1": {"status": "running"}})]
    process = subprocess.Popen(
        [*START, "job", "start", "slow", "web1"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = [process.stderr.readline(), process.stderr.readline()]
    assert lines[1] == "running: 0 of 1 done\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    job_id = stub.jobs[0]["id"]
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines() == [
        "interrupted",
        f"job {job_id} goes on; look at it with: push-jobs job show {job_id}",
        f"to cancel it: push-jobs job cancel {job_id}",
    ]


def test_a_reader_that_goes_away_is_no_drama(stub: PushyStub, environment: Dict[str, str]) -> None:
    for _ in range(2000):
        stub.add_job("a command with a name that is rather long")
    process = subprocess.Popen(
        [*START, "job", "list", "--all"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(3) == b"JOB"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == 1


def test_a_reader_of_both_outputs_that_goes_away(environment: Dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    for arguments in (["node", "list"], ["node", "nonsense"], ["job", "show", "zz"]):
        done = subprocess.run([*START, *arguments], env=environment, stdout=write, stderr=write)
        assert done.returncode == 1
    os.close(write)


def test_a_full_disk_is_a_sentence(environment: Dict[str, str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*START, "help", "exit-codes"], env=environment, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr and b"Traceback" not in done.stderr


def test_closed_outputs_are_no_drama(environment: Dict[str, str]) -> None:
    closed = ["sh", "-c", '"$@" >&- 2>&-', "sh", *START]
    assert subprocess.run([*closed, "node", "list"], env=environment).returncode == 0
    assert subprocess.run([*closed, "node", "nonsense"], env=environment).returncode == 2


def test_on_a_terminal_one_line_is_redrawn(
    stub: PushyStub, environment: Dict[str, str], terminal: Tuple[int, int]
) -> None:
    stub.plays["true"] = [
        ("running", {}),
        ("running", {"web1": ran(0)}),
        ("complete", {"web2": ran(1, reason="x" * 80)}),
    ]
    code, screen = on_terminal(terminal, environment, "job", "start", "true", "web1", "web2")
    assert code == 3
    assert re.search(r"\r\x1b\[2Krunning: 0 of 2 done, 0\.\d s\r\x1b\[2Krunning: 1 of 2", screen)
    before, _, after = screen.rpartition("\r\x1b[2K")
    assert "NODE" in after and "\n" not in before.partition("\n")[2]
    assert "\x1b[32msucceeded" in after and "\x1b[31mfailed" in after
    rows = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in after.splitlines()]
    assert max(len(row) for row in rows) <= 60
    assert sum(row.count("x") for row in rows if "x" * 5 in row) == 80, "nothing is cut off"


def test_no_color_is_honoured(
    stub: PushyStub, environment: Dict[str, str], terminal: Tuple[int, int]
) -> None:
    stub.add_job()
    code, screen = on_terminal(terminal, {**environment, "NO_COLOR": "1"}, "job", "list")
    assert code == 0 and "voting" in screen
    assert not re.search(r"\x1b\[(3|4|9)\d", screen)


def test_a_dumb_terminal_gets_plain_lines(
    stub: PushyStub, environment: Dict[str, str], terminal: Tuple[int, int]
) -> None:
    stub.plays["true"] = [("running", {}), ("complete", {"web1": ran(0)})]
    code, screen = on_terminal(terminal, {**environment, "TERM": "dumb"}, "run", "true", "web1")
    assert code == 0 and "\x1b" not in screen
    assert "running: 0 of 1 done\r\n" in screen


def test_json_lines_on_a_terminal_are_not_mixed_with_a_redrawn_line(
    stub: PushyStub, environment: Dict[str, str], terminal: Tuple[int, int]
) -> None:
    code, screen = on_terminal(terminal, environment, "run", "true", "web1", "--format", "jsonl")
    assert code == 0 and "\x1b" not in screen


def test_raw_output_is_refused_on_a_terminal(
    stub: PushyStub, environment: Dict[str, str], terminal: Tuple[int, int]
) -> None:
    stub.outputs = {("web1", "stdout"): b"\x1b[2J"}
    arguments = ["job", "output", stub.add_job(), "web1", "--stream", "stdout", "--raw"]
    code, screen = on_terminal(terminal, environment, *arguments)
    assert code == 2 and "send it to a file or a pipe" in screen and "\x1b[2J" not in screen
