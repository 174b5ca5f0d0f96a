"""The session machine and what it reports: nothing is lost, an old server hears it exactly once."""

from __future__ import annotations

import json
import re
from typing import List

import pytest
from agent_desk import JOB, OTHER, Desk, commit, running_desk, server_settings, spooled
from hypothesis import given
from hypothesis import strategies as st

from push_jobs_agent.outcome import fit
from push_jobs_wire.messages import Ack, Confirm, JobRef, Reply, Run
from push_jobs_wire.states import AgentState, NodeInput


def reconnect(desk: Desk) -> None:
    desk.transport.peer.drop()
    desk.transport.peer.accept()
    desk.pump()
    desk.server.say(Ack())


def outcomes(desk: Desk) -> List[Reply]:
    return [reply for reply in desk.server.replies() if reply.kind is NodeInput.SUCCEEDED]


def test_an_outcome_is_repeated_until_it_is_confirmed_and_then_let_go() -> None:
    desk = running_desk()
    desk.ended()
    assert len(outcomes(desk)) == 1
    desk.advance(29.0, beats=True)
    assert outcomes(desk) == []
    desk.advance(2.0)
    assert len(outcomes(desk)) == 1
    reconnect(desk)
    assert len(outcomes(desk)) == 1
    assert desk.runner.ops("release") == []
    desk.server.say(Confirm(JOB))
    assert desk.runner.ops("release") == [{"job_id": JOB}]
    desk.advance(60.0, beats=True)
    reconnect(desk)
    assert outcomes(desk) == []


def test_an_old_server_hears_an_outcome_exactly_once() -> None:
    desk = running_desk(extensions=0)
    desk.ended(exit_code=0, reason="secret of extensions")
    [outcome] = desk.server.replies()
    assert outcome == Reply(NodeInput.SUCCEEDED, JobRef(JOB))
    assert desk.runner.ops("release") == [{"job_id": JOB}]
    desk.advance(60.0, beats=True)
    reconnect(desk)
    assert outcomes(desk) == []


def test_an_outcome_waits_for_a_connection_that_is_known_to_work() -> None:
    desk = running_desk(extensions=0)
    desk.transport.peer.drop()
    desk.pump()
    desk.ended()
    desk.advance(2.0)
    assert outcomes(desk) == []
    desk.transport.peer.accept()
    desk.pump()
    assert outcomes(desk) == []
    desk.server.say(Ack())
    assert len(outcomes(desk)) == 1


def test_an_outcome_that_the_transport_did_not_take_is_sent_again() -> None:
    desk = running_desk(extensions=0)
    desk.transport.peer.full = True
    desk.ended()
    desk.transport.peer.full = False
    assert desk.runner.ops("release") == []
    desk.advance(1.0)
    assert len(outcomes(desk)) == 1
    assert desk.runner.ops("release") == [{"job_id": JOB}]


def test_results_of_a_former_session_are_reported_again() -> None:
    desk = Desk()
    desk.found(
        spooled("one", state="ended", result="succeeded", exit_code=0),
        spooled("two", state="ended", result="failed", exit_code=3),
    )
    desk.reach()
    desk.advance(1.0)
    told = [(r.kind, r.job.id, r.exit_code) for r in desk.server.replies()]
    assert told == [(NodeInput.SUCCEEDED, "one", 0), (NodeInput.FAILED, "two", 3)]


def test_a_running_job_of_a_former_session_is_taken_over() -> None:
    desk = Desk()
    desk.found(spooled())
    desk.reach()
    assert desk.state() is AgentState.RUNNING
    desk.server.say(commit(OTHER))
    assert desk.server.replies()[-1].reason == f"busy with job {JOB}"
    desk.ended(exit_code=0)
    assert len(outcomes(desk)) == 1


@pytest.mark.parametrize("released", [False, True])
def test_a_job_that_was_here_before_is_refused(released: bool) -> None:
    desk = running_desk()
    desk.ended()
    if released:
        desk.server.say(Confirm(JOB))
    desk.server.heard()
    desk.server.say(commit())
    [nack] = desk.server.replies()
    assert (nack.kind, nack.reason) == (NodeInput.NACK_COMMIT, "this job was here before")
    assert len(desk.runner.ops("check")) == 1


def test_a_run_for_a_job_that_ended_gets_its_outcome_and_starts_nothing() -> None:
    desk = running_desk()
    desk.ended()
    desk.server.heard()
    desk.advance(1.0)
    desk.server.say(Run(JOB))
    assert len(outcomes(desk)) == 1
    assert len(desk.runner.ops("start")) == 1
    desk.server.say(Confirm(JOB))
    desk.server.say(Run(JOB))
    [nack] = desk.server.replies()
    assert (nack.kind, nack.reason) == (NodeInput.NACK_RUN, "this job was here before")


def test_a_confirmation_of_something_else_changes_nothing() -> None:
    desk = running_desk()
    for job_id in (OTHER, None, JOB):
        desk.server.say(Confirm(job_id))
    assert desk.runner.ops("release") == [] and desk.state() is AgentState.RUNNING


def test_a_folder_that_was_not_let_go_is_not_reported_a_second_time() -> None:
    desk = running_desk(extensions=0)
    desk.ended()
    desk.server.heard()
    desk.found(spooled(state="ended", result="succeeded"))
    desk.pump()
    assert outcomes(desk) == []
    assert len(desk.runner.ops("release")) == 2


def test_many_outcomes_are_sent_one_after_the_other() -> None:
    desk = Desk()
    desk.found(*(spooled(f"j{n}", state="ended", result="succeeded") for n in range(20)))
    desk.pump()
    desk.do(desk.session.settings_fetched(server_settings(), desk.now))
    desk.transport.peer.accept()
    desk.pump()
    desk.server.say(Ack())
    assert len(outcomes(desk)) == 1
    desk.advance(0.9)
    assert len(outcomes(desk)) >= 15
    desk.advance(0.5)
    assert desk.server.fields()[-1]["type"] in ("succeeded", "heartbeat")


# Output


@pytest.mark.proves("P-12c")
def test_an_old_server_gets_output_only_when_it_was_asked_for() -> None:
    for capture in (False, True):
        desk = running_desk(capture=capture, extensions=0)
        desk.runner.output[JOB] = (b"hello\n", b"")
        desk.ended(capture=capture)
        [outcome] = desk.server.replies()
        assert (outcome.stdout, outcome.stderr) == (("hello\n", "") if capture else (None, None))


@pytest.mark.proves("P-12c")
def test_output_that_cannot_be_read_does_not_hold_the_outcome_up() -> None:
    desk = running_desk(capture=True, extensions=0)
    desk.ended(capture=True)
    [outcome] = desk.server.replies()
    assert outcome.kind is NodeInput.SUCCEEDED
    assert outcome.stdout is None and outcome.stderr is None


def test_an_old_server_gets_no_output_of_an_aborted_job() -> None:
    desk = running_desk(capture=True, extensions=0)
    desk.runner.output[JOB] = (b"half done\n", b"")
    desk.ended(result="aborted", capture=True)
    [outcome] = desk.server.replies()
    assert outcome == Reply(NodeInput.ABORTED, JobRef(JOB))


@pytest.mark.proves("P-10c")
@pytest.mark.parametrize("server_limit", [65536, 8192, 4096])
def test_a_message_fits_both_limits_and_keeps_head_and_tail(server_limit: int) -> None:
    desk = running_desk(capture=True, max_body_size=server_limit, extensions=0)
    desk.runner.output[JOB] = (b"HEAD" + b'"' * 200_000 + b"TAIL", b"\xff" * 100_000)
    desk.ended(capture=True)
    _, body = desk.transport.peer.received[-1]
    limit = min(63000, server_limit - 2048)
    assert limit - 200 <= len(body) <= limit
    [outcome] = desk.server.replies()
    assert outcome.stdout is not None and outcome.stderr is not None
    assert outcome.stdout.startswith("HEAD") and outcome.stdout.endswith("TAIL")
    assert "bytes left out ...]" in outcome.stdout


def test_a_mark_of_the_runner_is_taken_into_the_one_of_the_message() -> None:
    stdout, _ = fit(b"a" * 5000 + b"\n[... 1000 bytes left out ...]\n" + b"z" * 5000, b"", 2000)
    [mark] = re.findall(r"\[\.\.\. (\d+) bytes", stdout)
    assert int(mark) == 11_000 - stdout.count("a") - stdout.count("z")


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert fit(b"a\0b\xffc\xc3\xa4", b"", 1000) == ("a\ufffdb\ufffdc\u00e4", "")


def test_a_channel_that_needs_little_leaves_the_rest_to_the_other() -> None:
    stdout, stderr = fit(b"x" * 5000, b"short", 2000)
    assert stderr == "short" and 1900 < len(stdout) <= 1995
    stdout, stderr = fit(b"short", b"x" * 5000, 2000)
    assert stdout == "short" and 1900 < len(stderr) <= 1995


@given(st.binary(max_size=3000), st.binary(max_size=3000), st.integers(0, 4000))
def test_whatever_the_output_it_fits(stdout: bytes, stderr: bytes, room: int) -> None:
    texts = fit(stdout, stderr, room)
    assert sum(len(json.dumps(text)) - 2 for text in texts) <= room
    if len(stdout + stderr) * 6 <= room:
        assert texts[0] == stdout.decode("utf-8", "replace").replace("\0", "\ufffd")
