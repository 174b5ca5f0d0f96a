"""Output that goes to the server as it comes: in order, within its credit, complete at the end."""

from __future__ import annotations

from typing import List

import pytest
from agent_desk import JOB, Desk, ready_desk, running_desk, spooled

from push_jobs_agent.streams import FIRST_CREDIT, PART, REPEAT
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
    [part] = desk.server.output()
    assert (part.stream, part.offset, part.data) == ("stdout", 0, b"one\n")


def test_one_piece_is_under_way_and_the_channels_take_turns() -> None:
    desk = running_desk(capture=True)
    desk.printed(JOB, b"x")
    desk.printed(JOB, BIG, BIG)
    [first] = desk.server.output()
    assert (first.stream, first.data) == ("stdout", b"x")
    heard = [first]
    for _ in range(4):
        store(desk, heard[-1:])
        heard += desk.server.output()
    assert [part.stream for part in heard] == ["stdout", "stderr", "stdout", "stderr", "stdout"]


def test_no_more_is_sent_than_the_server_has_granted() -> None:
    desk = running_desk(capture=True)
    desk.printed(JOB, BIG)
    desk.server.say(OutputAck(JOB, "stdout", PART, 0))
    desk.server.output()
    desk.printed(JOB, BIG + b"more")
    assert desk.server.output() == []
    desk.server.say(OutputAck(JOB, "stdout", PART, 10))
    [part] = desk.server.output()
    assert (part.offset, len(part.data)) == (PART, 10)


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


def test_a_piece_that_the_transport_does_not_take_is_sent_before_what_follows_it() -> None:
    desk = running_desk(capture=True)
    desk.transport.peer.full = True
    desk.printed(JOB, b"one\n")
    desk.transport.peer.full = False
    desk.printed(JOB, b"one\ntwo\n")
    assert joined(desk.server.output()) == b"one\ntwo\n"


def test_what_the_server_misses_is_sent_again() -> None:
    desk = running_desk(capture=True)
    desk.printed(JOB, b"one\n")
    desk.server.say(OutputAck(JOB, "stdout", 4, FIRST_CREDIT))
    desk.printed(JOB, b"one\ntwo\n")
    desk.server.output()
    desk.server.say(OutputAck(JOB, "stdout", 4, FIRST_CREDIT, again=True))
    [part] = desk.server.output()
    assert (part.offset, part.data) == (4, b"two\n")


def test_a_piece_that_is_not_acknowledged_is_sent_again_after_a_while() -> None:
    desk = running_desk(capture=True)
    desk.printed(JOB, b"one\n")
    [first] = desk.server.output()
    desk.advance(REPEAT - 1, beats=True)
    assert desk.server.output() == []
    desk.advance(1)
    assert desk.server.output() == [first]


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
