"""The agent as real processes, session and runner, against a server of raw sockets."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Callable, Iterator
from uuid import uuid4

import psutil
import pytest
from agent_process import AgentProcess
from raw_server import RawServer, key_of
from waiting import wait_until

from push_jobs_wire.messages import Abort, Commit, Run

pytestmark = pytest.mark.e2e

# Not the same in every run: processes of a job are known by its id.
JOB, OTHER = uuid4().hex, uuid4().hex
WAITS = "echo begin; while [ ! -e go ]; do sleep 0.02; done; echo end; echo bad >&2; exit 3"

Start = Callable[..., AgentProcess]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RawServer]:
    server = RawServer(tmp_path)
    yield server
    server.close()


@pytest.fixture
def start(server: RawServer, tmp_path: Path) -> Iterator[Start]:
    """Starts an agent and waits for its first heartbeats."""
    agents = []

    def start(wait: bool = True, **settings: Any) -> AgentProcess:
        folder = tmp_path / "node"
        waits = {"command_line": WAITS, "shell": True, "dir": str(folder)}
        stays = {"command_line": "trap '' TERM; sleep 60 & sleep 60; sleep 60", "shell": True}
        whitelist = {"true": "true", "echo": "echo hello", "waits": waits, "stays": stays}
        agent = AgentProcess(
            folder, server.url, server.ca_file, key_of("web1"), whitelist, **settings
        )
        agents.append(agent)
        agent.start()
        if wait:
            server.expect("heartbeat")
            server.expect("heartbeat")
        return agent

    yield start
    for agent in agents:
        agent.close()


def vote(server: RawServer, command: str, job_id: str = JOB) -> None:
    server.say(Commit(job_id, command, server="push", capture=True, run_timeout=60))
    server.expect("ack_commit", job_id=job_id)


def run(server: RawServer, command: str, job_id: str = JOB) -> None:
    vote(server, command, job_id)
    server.say(Run(job_id))
    server.expect("ack_run", job_id=job_id)


def test_a_job_from_the_vote_to_the_confirmed_outcome(server: RawServer, start: Start) -> None:
    agent = start()
    run(server, "echo")
    outcome = server.expect("succeeded", job_id=JOB)
    assert (outcome["stdout"], outcome["stderr"], outcome["exit_code"]) == ("hello\n", "", 0)
    assert outcome["started_at"] <= outcome["ended_at"]
    server.until(lambda: agent.spooled() == [], "an empty spool")
    assert server.bad == []


def test_the_first_heartbeat_says_what_the_server_has_to_know(
    server: RawServer, start: Start
) -> None:
    start(wait=False)
    first = server.expect("heartbeat")
    second = server.expect("heartbeat")
    assert (first["jobs"], first["extensions"], first["job_id"]) == ([], 1, None)
    assert "jobs" not in second and second["extensions"] == 1


def test_a_name_that_is_not_on_the_whitelist_is_refused_with_the_reason(
    server: RawServer, start: Start
) -> None:
    start()
    server.say(Commit(JOB, "reboot"))
    assert "whitelist" in server.expect("nack_commit", job_id=JOB)["reason"]


def test_a_session_that_is_killed_during_a_job_is_no_harm(server: RawServer, start: Start) -> None:
    agent = start()
    run(server, "waits")
    agent.kill_session()
    agent.start()
    first = server.expect("heartbeat", job_state="running", job_id=JOB)
    assert first["jobs"] == [JOB]
    (agent.folder / "go").touch()
    outcome = server.expect("failed", job_id=JOB)
    assert (outcome["stdout"], outcome["stderr"]) == ("begin\nend\n", "bad\n")
    assert outcome["exit_code"] == 3


def test_a_session_that_is_killed_before_it_could_report_is_no_harm(
    server: RawServer, start: Start
) -> None:
    agent = start()
    run(server, "waits")
    agent.kill_session()
    (agent.folder / "go").touch()
    wait_until(lambda: (agent.state_dir / "spool" / JOB / "result.json").exists(), "a result")
    agent.start()
    first = server.expect("heartbeat")
    assert first["jobs"] == [JOB] and first["job_id"] is None
    outcome = server.expect("failed", job_id=JOB)
    assert (outcome["stdout"], outcome["exit_code"]) == ("begin\nend\n", 3)
    server.until(lambda: agent.spooled() == [], "an empty spool")


def test_a_runner_that_is_killed_ends_its_job_and_is_replaced(
    server: RawServer, start: Start
) -> None:
    agent = start()
    run(server, "stays")
    runner = agent.runner_pid
    tree = psutil.Process(runner).children(recursive=True)
    assert tree
    os.kill(runner, signal.SIGKILL)
    outcome = server.expect("aborted", job_id=JOB)
    assert "runner" in outcome["reason"]
    server.until(lambda: not any(map(_lives, tree)), "the end of the job's processes")
    run(server, "true", OTHER)
    server.expect("succeeded", job_id=OTHER)
    assert agent.runner_pid != runner


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_an_abort_kills_the_tree_while_heartbeats_go_on(server: RawServer, start: Start) -> None:
    agent = start(abort_grace=1.5)
    run(server, "stays")
    tree = psutil.Process(agent.runner_pid).children(recursive=True)
    server.until(lambda: _children(agent) >= 2, "the whole tree")
    server.say(Abort())
    server.say(Abort())
    server.expect("heartbeat", job_state="running", job_id=JOB)
    server.expect("heartbeat", job_state="running", job_id=JOB)
    outcome = server.expect("aborted")
    assert outcome["job_id"] == JOB
    assert not any(map(_lives, tree))
    server.say(Abort())
    assert server.expect("aborted")["job_id"] is None


def _children(agent: AgentProcess) -> int:
    return len(psutil.Process(agent.runner_pid).children(recursive=True))


def test_hang_up_reads_the_whitelist_again_and_keeps_the_old_one_when_it_is_wrong(
    server: RawServer, start: Start
) -> None:
    agent = start()
    agent.write_whitelist({"new": "echo new"})
    agent.signal(signal.SIGHUP)
    agent.wait_for_line("read the whitelist again")
    run(server, "new")
    assert server.expect("succeeded")["stdout"] == "new\n"
    agent.write_whitelist('{"new": 5, "newer": {"command": "x"}}')
    agent.signal(signal.SIGHUP)
    agent.wait_for_line("the whitelist is wrong; the old one is kept", count=2)
    run(server, "new", OTHER)
    server.expect("succeeded", job_id=OTHER)


def test_hang_up_takes_over_settings_without_disturbing_the_job(
    server: RawServer, start: Start
) -> None:
    agent = start()
    runner = agent.runner_pid
    run(server, "waits")
    whitelist = agent.folder / "other.json"
    whitelist.write_text('{"new": "echo new"}')
    elsewhere = "https://localhost:1/organizations/other"
    agent.write_settings(whitelist=str(whitelist), log_level="info", chef_server_url=elsewhere)
    agent.signal(signal.SIGHUP)
    line = agent.wait_for_line("read the settings again")
    assert line["changed"] == "whitelist, log_level"
    line = agent.wait_for_line("a changed setting needs a restart")
    assert line["setting"] == "chef_server_url"
    server.expect("heartbeat", job_state="running", job_id=JOB)
    assert psutil.pid_exists(runner)
    (agent.folder / "go").touch()
    outcome = server.expect("failed", job_id=JOB)
    assert (outcome["stdout"], outcome["exit_code"]) == ("begin\nend\n", 3)
    found = "the runner is there"
    server.until(lambda: len(agent.lines(found)) == 2, "a runner with the new options")
    run(server, "new", OTHER)
    assert server.expect("succeeded", job_id=OTHER)["stdout"] == "new\n"
    assert [line for line in agent.lines() if line["level"] in ("error", "critical")] == []


def test_hang_up_keeps_all_settings_when_any_is_wrong(server: RawServer, start: Start) -> None:
    agent = start()
    runner = agent.runner_pid
    agent.write_settings(log_level="loud", output_limit=1, whitelist="/no/such/file")
    agent.signal(signal.SIGHUP)
    wrong = "the settings are wrong; the old ones are kept"
    agent.wait_for_line(wrong, count=2)
    assert {line["problem"].split()[0] for line in agent.lines(wrong)} == {
        "log_level",
        "output_limit",
    }
    run(server, "echo")
    server.expect("succeeded", job_id=JOB)
    assert agent.runner_pid == runner
    assert agent.lines("read the whitelist again")


def test_terminate_lets_the_job_end_then_stops_runner_and_session(
    server: RawServer, start: Start
) -> None:
    agent = start()
    run(server, "waits")
    runner = agent.runner_pid
    agent.signal(signal.SIGTERM)
    agent.wait_for_line("signal")
    server.say(Commit(OTHER, "true"))
    assert "draining" in server.expect("nack_commit", job_id=OTHER)["reason"]
    (agent.folder / "go").touch()
    server.expect("failed", job_id=JOB)
    server.until(lambda: _ended(agent), "the end of the session")
    assert agent.exit_code() == 0
    server.until(lambda: not psutil.pid_exists(runner), "the end of the runner")


def _ended(agent: AgentProcess) -> bool:
    assert agent.session is not None
    return agent.session.poll() is not None


def test_a_second_signal_stops_at_once_and_the_job_goes_on(server: RawServer, start: Start) -> None:
    agent = start()
    run(server, "waits")
    agent.signal(signal.SIGTERM)
    agent.wait_for_line("signal")
    agent.signal(signal.SIGINT)
    assert agent.exit_code() == 0
    assert agent.lines("a job goes on in the runner; the next agent reports it")
    agent.start()
    server.expect("heartbeat", job_state="running", job_id=JOB)
    (agent.folder / "go").touch()
    assert server.expect("failed", job_id=JOB)["stdout"] == "begin\nend\n"


def test_draining_ends_after_its_time(server: RawServer, start: Start) -> None:
    agent = start(drain_timeout=0.2)
    run(server, "waits")
    agent.signal(signal.SIGTERM)
    assert agent.exit_code() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 3), (signal.SIGINT, 2)])
def test_a_signal_before_there_are_settings_has_the_old_exit_codes(
    server: RawServer, start: Start, number: int, code: int
) -> None:
    server.refusal = (401, "not yet")
    agent = start(wait=False)
    agent.wait_for_line("no settings from the server")
    agent.signal(number)
    assert agent.exit_code() == code


def test_a_node_that_is_not_registered_yet_is_tried_again(server: RawServer, start: Start) -> None:
    server.refusal = (404, "organization 'acme' does not exist.")
    agent = start(wait=False)
    line = agent.wait_for_line("no settings from the server")
    assert "knows no organization acme" in line["reason"] and line["node"] == "web1"
    server.refusal = None
    server.expect("heartbeat")


def test_a_server_that_offers_no_encryption_is_not_used_unless_allowed(
    server: RawServer, start: Start
) -> None:
    server.changes = {"curve_public_key": None}
    agent = start(wait=False)
    line = agent.wait_for_line("no settings from the server")
    assert "allow_unencrypted" in line["reason"]


@pytest.mark.proves("P-9c")
def test_a_key_that_is_refused_leads_to_new_settings(server: RawServer, start: Start) -> None:
    server.admitting = False
    start(wait=False)
    server.until(lambda: len(server.gets) >= 2, "a second GET")
    server.admitting = True
    server.expect("heartbeat")


@pytest.mark.proves("P-14a")
def test_a_restarted_server_is_followed_and_the_job_goes_on(
    server: RawServer, start: Start
) -> None:
    agent = start()
    run(server, "waits")
    server.close_command()
    lost = "lost the connection to the server"
    server.until(lambda: bool(agent.lines(lost)), lost)
    server.incarnation_id = "server-2"
    server.open_command(server.command_addr)
    server.expect("heartbeat", job_state="running", job_id=JOB)
    server.until(lambda: len(server.gets) >= 2, "a second GET")
    (agent.folder / "go").touch()
    assert server.expect("failed", job_id=JOB)["exit_code"] == 3


def test_usr1_fetches_settings(server: RawServer, start: Start) -> None:
    start().signal(signal.SIGUSR1)
    before = server.identity
    server.until(lambda: server.identity != before, "a new connection")
    assert len(server.gets) == 2
    run(server, "true")


@pytest.mark.proves("P-12b")
def test_an_old_server_gets_each_outcome_once(server: RawServer, start: Start) -> None:
    server.extensions = 0
    agent = start()
    run(server, "echo")
    outcome = server.expect("succeeded", job_id=JOB)
    assert outcome["stdout"] == "hello\n" and "exit_code" not in outcome
    server.until(lambda: agent.spooled() == [], "an empty spool")


def test_garbage_from_the_server_ends_nothing(server: RawServer, start: Start) -> None:
    start()
    for frames in ((b"",), (b"x", b"y"), (b"x", b"y", b"z"), (b"\xff" * 5000, b"{}")):
        server.say_raw(*frames)
        server.broadcast_raw(*frames)
    run(server, "true")
    server.expect("succeeded", job_id=JOB)


def test_the_server_chooses_the_grace_time(server: RawServer, start: Start) -> None:
    agent = start(abort_grace=600)
    run(server, "stays")
    server.until(lambda: _children(agent) >= 2, "the whole tree")
    server.say(Abort(0.2, "cancelled by alice"))
    outcome = server.expect("aborted", job_id=JOB)
    assert outcome["reason"] == "cancelled by alice"
    assert _children(agent) == 0
