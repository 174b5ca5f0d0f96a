"""The small parts around the session machine: log, service manager, helper, the runner's socket."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from agent_process import AgentProcess
from raw_server import PATIENCE, RawServer, key_of
from waiting import wait_until

from push_jobs_agent import fetcher, logs
from push_jobs_agent.actions import Ask
from push_jobs_agent.config import load
from push_jobs_agent.fetcher import Fetcher
from push_jobs_agent.notify import Notifier
from push_jobs_agent.runner_link import MAX_LINE
from push_jobs_agent.runner_link import PATIENCE as LINK_PATIENCE
from push_jobs_agent.runner_link import RunnerLink, RunnerLost
from push_jobs_agent.signals import Signals
from push_jobs_wire.messages import Commit

# The log


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "agent.log"
    yield path
    logs.set_up("web1", "info", None, False)


def test_lines_have_time_level_node_event_and_fields(log_file: Path) -> None:
    logs.set_up("web1", "info", str(log_file), False)
    logs.log("info", "job ended", {"job_id": "abc", "exit_code": 3})
    logs.log("debug", "not shown")
    words = log_file.read_text().split(" ", 1)
    assert words[0].startswith("time=20") and words[0].endswith("Z")
    assert words[1] == 'level=info node=web1 event="job ended" job_id=abc exit_code=3\n'


def test_what_a_server_says_cannot_forge_a_line(log_file: Path) -> None:
    logs.set_up("web1", "info", str(log_file), False)
    logs.log("warning", "refused", {"command": 'x\nlevel=info event="fine" \x1b[2J\u2028'})
    text = log_file.read_text()
    assert len(text.splitlines()) == 1 and "\x1b" not in text
    assert r'command="x\nlevel=info event=\"fine\" \u001b[2J\u2028"' in text


def test_lines_may_be_json(log_file: Path) -> None:
    logs.set_up("web1", "debug", str(log_file), True)
    logs.log("error", "no settings", {"retry_in_s": 1.5})
    line = json.loads(log_file.read_text())
    assert (line["level"], line["node"], line["retry_in_s"]) == ("error", "web1", 1.5)


def test_a_log_that_was_rotated_is_opened_again(log_file: Path, tmp_path: Path) -> None:
    logs.set_up("web1", "info", str(log_file), False)
    logs.log("info", "one")
    log_file.rename(tmp_path / "agent.log.1")
    logs.reopen()
    logs.log("info", "two")
    assert "event=two" in log_file.read_text()
    assert "two" not in (tmp_path / "agent.log.1").read_text()


# The service manager


def test_the_service_manager_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(PATIENCE)
        environ = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "4000000"}
        notifier = Notifier(environ)
        assert notifier.interval == 2.0
        notifier.ready()
        notifier.reloading()
        notifier.alive(100.0)
        notifier.alive(101.9)
        notifier.alive(102.0)
        notifier.stopping()
        told = [manager.recv(1000).decode().split("\n")[0] for _ in range(5)]
    assert told == ["READY=1", "RELOADING=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NOTIFY_SOCKET": "/no/such/socket", "WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
    ],
)
def test_without_a_service_manager_nothing_happens(environ: Dict[str, str]) -> None:
    notifier = Notifier(environ)
    assert notifier.interval is None
    notifier.ready()
    notifier.alive(1.0)


def test_signals_are_collected_and_wake_up() -> None:
    signals = Signals()
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(lambda: bool(os.read(signals.fd, 1)), "a byte")
        assert set(signals.take()) == {signal.SIGUSR1, signal.SIGHUP}
        assert signals.take() == []
    finally:
        signals.close()


# The helper


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[Fetcher]:
    options = {
        "chef_server_url": "https://127.0.0.1:1/organizations/acme",
        "node_name": "web1",
        "client_key": str(tmp_path / "none.pem"),
        "https_proxy": "http://proxy.test:1",
    }
    fetching = Fetcher(load(None, options, str(tmp_path)))
    yield fetching
    fetching.stop()


def answer_of(helper: Fetcher) -> Dict[str, Any]:
    found: List[Any] = []

    def here() -> bool:
        found.append(helper.receive(time.monotonic()))
        return found[-1] is not None

    wait_until(here, "an answer of the helper")
    return dict(found[-1])


def test_the_helper_answers_without_being_waited_for(helper: Fetcher) -> None:
    helper.start("0" * 40, time.monotonic())
    assert helper.fd is not None and helper.next_call() is not None
    assert "cannot read the client key" in answer_of(helper)["error"]
    assert helper.fd is None and helper.next_call() is None


def test_a_helper_that_hangs_is_ended(helper: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "COMMAND", [sys.executable, "-c", "import time; time.sleep(60)"])
    helper.start("0" * 40, 1000.0)
    assert helper.receive(1029.0) is None
    answer = helper.receive(1031.0)
    assert answer is not None and "within 30 s" in answer["error"]


@pytest.mark.parametrize("code", ["print('[]')", "print('{')", "raise SystemExit(1)", ""])
def test_a_helper_that_breaks_down_is_a_failure(
    helper: Fetcher, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(fetcher, "COMMAND", [sys.executable, "-c", code])
    helper.start("0" * 40, time.monotonic())
    assert "broke down" in answer_of(helper)["error"]


# The runner's socket

Pair = Tuple[RunnerLink, socket.socket]


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Pair]:
    path = str(tmp_path / "runner.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        mine = RunnerLink(path)
        runner, _ = listener.accept()
        yield mine, runner
        mine.close()
        runner.close()


def test_replies_find_their_requests_and_events_have_none(link: Pair) -> None:
    mine, runner = link
    first, second = Ask("check", {"request": {"job_id": "a"}}), Ask("reload")
    mine.ask(first, 0.0)
    mine.ask(second, 0.0)
    lines = [json.loads(line) for line in runner.recv(10_000).splitlines()]
    assert lines == [
        {"id": 1, "op": "check", "request": {"job_id": "a"}},
        {"id": 2, "op": "reload"},
    ]
    runner.sendall(b'{"id":2,"ok":true}\n{"event":"ended","job":{}}\n{"id":1,')
    assert mine.receive() == [
        (second, {"id": 2, "ok": True}),
        (None, {"event": "ended", "job": {}}),
    ]
    assert mine.next_call() == LINK_PATIENCE
    runner.sendall(b'"ok":false}\n')
    assert mine.receive() == [(first, {"id": 1, "ok": False})]
    assert mine.receive() == [] and mine.next_call() is None


def test_a_large_request_goes_out_as_the_runner_reads(link: Pair) -> None:
    mine, runner = link
    mine.ask(Ask("start", {"request": {"file": "x" * 2_000_000}}), 0.0)
    assert mine.sending
    read = 0
    while mine.sending:
        read += len(runner.recv(1_000_000))
        mine.flush()
    while read < 2_000_000:
        read += len(runner.recv(1_000_000))


@pytest.mark.parametrize(
    "words", [b"nonsense\n", b"[]\n", b'{"id":7}\n', b'{"ok":true}\n', b"[" * 99999 + b"\n"]
)
def test_a_runner_that_talks_nonsense_is_given_up(link: Pair, words: bytes) -> None:
    mine, runner = link
    runner.sendall(words)
    with pytest.raises(RunnerLost):
        mine.receive()


def test_a_line_without_end_is_given_up(link: Pair) -> None:
    mine, runner = link
    runner.setblocking(False)
    with pytest.raises(RunnerLost, match="more than"):
        for _ in range(2 * MAX_LINE // 65536):
            try:
                runner.send(b"x" * 65536)
            except BlockingIOError:
                pass
            mine.receive()


def test_a_runner_that_hangs_up_is_noticed(link: Pair) -> None:
    mine, runner = link
    runner.close()
    with pytest.raises(RunnerLost):
        mine.receive()
    with pytest.raises(RunnerLost):
        mine.ask(Ask("reload"), 0.0)


def test_a_runner_that_does_not_answer_is_noticed(link: Pair) -> None:
    mine, _ = link
    mine.ask(Ask("reload"), 100.0)
    mine.check_patience(129.0)
    with pytest.raises(RunnerLost, match="not answered"):
        mine.check_patience(131.0)


def test_no_runner_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(RunnerLost, match="no runner listens"):
        RunnerLink(str(tmp_path / "runner.sock"))


# Starting


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RawServer]:
    server = RawServer(tmp_path)
    yield server
    server.close()


@pytest.fixture
def agent(server: RawServer, tmp_path: Path) -> Iterator[AgentProcess]:
    """An agent that was not started yet."""
    agent = AgentProcess(
        tmp_path / "node", server.url, server.ca_file, key_of("web1"), {"true": "true"}
    )
    yield agent
    agent.close()


@pytest.mark.parametrize(
    ("refusal", "code"), [((401, "no"), 4), ((403, "no"), 4), ((404, "no"), 5)]
)
def test_a_person_who_watches_is_not_kept_waiting(
    server: RawServer, agent: AgentProcess, refusal: Tuple[int, str], code: int
) -> None:
    server.refusal = refusal
    terminal, end = pty.openpty()
    try:
        agent.start(stdin=end)
        assert agent.exit_code() == code
    finally:
        os.close(terminal)
        os.close(end)


def test_a_wrong_whitelist_ends_the_start_with_all_its_mistakes(agent: AgentProcess) -> None:
    agent.write_whitelist('{"a": 5, "/(/": "x"}')
    agent.start()
    assert agent.exit_code() == 43
    text = agent.log_file.read_text()
    assert "a:" in text and "/(/:" in text and "Traceback" not in text


def test_a_second_agent_in_the_same_folder_does_not_start(
    server: RawServer, agent: AgentProcess
) -> None:
    agent.start()
    server.expect("heartbeat")
    first = agent.session
    agent.start()
    assert agent.exit_code() == 1
    assert "another agent uses" in agent.log_file.read_text()
    agent.session = first
    server.say(Commit("a" * 32, "true"))
    server.expect("ack_commit")
