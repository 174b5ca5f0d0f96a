"""Output that goes to the server as it comes: in order, within its credit, complete at the end."""

from __future__ import annotations

from typing import List

import pytest
from agent_desk import JOB, Desk, ready_desk, running_desk, spooled

from push_jobs_agent.streams import FIRST_CREDIT
from push_jobs_wire.messages import Ack, Confirm, Heartbeat, Output, OutputAck, Reply
from push_jobs_wire.states import NodeInput

BIG = bytes(range(256)) * 1000


def store(desk: Desk, heard: List[Output], credit: int = FIRST_CREDIT) -> None:
    """Play the server that has stored what it heard."""
    for output in heard:
        end = output.offset + len(output.data)
        desk.server.say(OutputAck(JOB, output.stream, end, credit))


def joined(outputs: List[Output], stream: str = "stdout") -> bytes:
    content = b""
    for output in outputs:
        if output.stream == stream:
            assert output.offset == len(content)
            content += output.data
    return content


def all_output(desk: Desk) -> List[Output]:
    """Everything that comes while the server stores it."""
    outputs: List[Output] = []
    while True:
        heard = desk.server.output()
        if not heard:
            return outputs
        outputs += heard
        store(desk, heard)


def test_what_a_job_prints_is_sent_at_once() -> None:
    desk = running_desk(capture=True)
    desk.printed(JOB, b"one\n")
    desk.printed(JOB, b"one\ntwo\n", b"oh\n")
    assert [(part.stream, part.offset, part.data) for part in desk.server.output()] == [
        ("stdout", 0, b"one\n"),
        ("stdout", 4, b"two\n"),
        ("stderr", 0, b"oh\n"),
    ]


def test_no_more_is_under_way_than_the_server_has_granted() -> None:
    desk = running_desk(capture=True)
    desk.printed(JOB, BIG)
    assert len(joined(desk.server.output())) == FIRST_CREDIT
    desk.server.say(OutputAck(JOB, "stdout", 1000, 0))
    assert desk.server.output() == []
    desk.server.say(OutputAck(JOB, "stdout", FIRST_CREDIT, 10))
    [part] = desk.server.output()
    assert (part.offset, len(part.data)) == (FIRST_CREDIT, 10)


def test_the_outcome_follows_the_last_byte_and_says_how_many_there_were() -> None:
    desk = running_desk(capture=True)
    desk.runner.output[JOB] = (BIG, b"err")
    desk.ended(capture=True)
    heard = desk.server.heard()
    outputs = [message for message in heard if isinstance(message, Output)]
    assert not any(isinstance(message, Reply) for message in heard)
    store(desk, outputs)
    while True:
        heard = desk.server.heard()
        outputs += [message for message in heard if isinstance(message, Output)]
        replies = [message for message in heard if isinstance(message, Reply)]
        if replies:
            break
        store(desk, [message for message in heard if isinstance(message, Output)])
    assert (joined(outputs), joined(outputs, "stderr")) == (BIG, b"err")
    [outcome] = replies
    assert (outcome.kind, outcome.stdout) == (NodeInput.SUCCEEDED, None)
    assert (outcome.stdout_size, outcome.stderr_size) == (len(BIG), 3)
    desk.server.say(Confirm(JOB))
    assert desk.runner.ops("release") == [{"job_id": JOB}]


def test_a_new_connection_repeats_what_was_not_stored() -> None:
    desk = running_desk(capture=True)
    desk.printed(JOB, b"0123456789")
    desk.server.heard()
    desk.server.say(OutputAck(JOB, "stdout", 4, FIRST_CREDIT))
    desk.transport.peer.drop()
    desk.transport.peer.accept()
    desk.pump()
    heard = [message for message in desk.server.heard() if not isinstance(message, Heartbeat)]
    assert heard == []
    desk.server.say(Ack())
    [part] = desk.server.output()
    assert (part.offset, part.data) == (4, b"456789")


def test_a_new_session_sends_what_the_spool_holds_and_skips_what_the_server_has() -> None:
    desk = Desk()
    desk.runner.output[JOB] = (BIG, b"")
    desk.found(spooled(JOB, capture=True, stdout_size=len(BIG)))
    desk.reach()
    desk.server.heard()
    desk.server.say(OutputAck(JOB, "stdout", len(BIG) - 5, FIRST_CREDIT))
    outputs = desk.server.output()
    assert outputs[-1].data == BIG[-5:]


def test_bytes_that_were_left_out_are_not_waited_for() -> None:
    desk = running_desk(capture=True)
    desk.printed(JOB, b"x" * 10)
    desk.runner.output[JOB] = (b"", b"")
    desk.do(
        desk.session.runner_event(
            {"event": "output", "job": spooled(JOB, capture=True, stdout_size=500)}, desk.now
        )
    )
    desk.pump()
    desk.ended(capture=True)
    assert desk.server.replies() == []
    desk.server.say(OutputAck(JOB, "stdout", 10, FIRST_CREDIT))
    [outcome] = desk.server.replies()
    assert outcome.kind is NodeInput.SUCCEEDED


def test_an_acknowledgement_about_something_else_changes_nothing() -> None:
    desk = ready_desk()
    desk.server.say(OutputAck("unknown", "stdout", 10, 10))
    desk.server.say(OutputAck(None, "stderr", 10, 10))
    assert desk.server.heard() == []


@pytest.mark.parametrize("server_limit", [65536, 8192, 4096])
def test_a_piece_fits_into_what_both_sides_accept(server_limit: int) -> None:
    desk = running_desk(capture=True, max_body_size=server_limit)
    desk.printed(JOB, BIG)
    bodies = [body for _, body in desk.transport.peer.received]
    assert max(map(len, bodies)) <= min(63000, server_limit - 2048)
    assert joined(all_output(desk)) == BIG
