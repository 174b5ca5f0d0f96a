"""Output that comes in pieces: what is stored of it, what is acknowledged, whom it belongs to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List

from engine_desk import EngineDesk
from hypothesis import given
from hypothesis import strategies as st

from push_jobs_server.engine.core import EngineRules
from push_jobs_server.engine.output import CREDIT, OutputIntake
from push_jobs_server.records import JobCreated, JobNode, OutputChunk, OutputStored
from push_jobs_wire.messages import JobRef, Output
from push_jobs_wire.states import AgentState, JobStatus, NodeInput, NodeStatus


def running(**rules: Any) -> EngineDesk:
    """A desk on which node a, which speaks our extensions, runs the job j1."""
    desk = EngineDesk(rules=EngineRules(**rules))
    for node in ("a", "b"):
        desk.beat(node, extensions=1, jobs=())
    desk.start(capture=True)
    desk.reply("a", NodeInput.ACK_COMMIT)
    desk.reply("a", NodeInput.ACK_RUN)
    desk.store()
    desk.sent.clear()
    return desk


def say(desk: EngineDesk, offset: int, data: bytes, node: str = "a", job: str = "j1") -> None:
    desk.say(node, Output(JobRef(job), "stdout", offset, data))


def chunks(desk: EngineDesk) -> List["tuple[int, bytes]"]:
    return [(each.offset, each.data) for each in desk.stored if isinstance(each, OutputChunk)]


def acks(desk: EngineDesk) -> List[Dict[str, Any]]:
    return [fields for _, fields in desk.sent if fields["type"] == "output_ack"]


def test_a_piece_is_acknowledged_and_told_once_it_is_stored() -> None:
    desk = running()
    before = len(desk.events)
    say(desk, 0, b"one\n")
    assert acks(desk) == [] and len(desk.events) == before
    desk.store()
    [ack] = acks(desk)
    assert (ack["job_id"], ack["stream"], ack["offset"], ack["credit"]) == (
        "j1", "stdout", 4, CREDIT,
    )  # fmt: skip
    assert chunks(desk) == [(0, b"one\n")]
    [event] = desk.events[before:]
    assert (event.name, event.data) == ("output", {"node": "a", "stream": "stdout"})


def test_what_was_here_before_is_acknowledged_again_and_stored_once() -> None:
    desk = running()
    say(desk, 0, b"0123456789")
    say(desk, 4, b"456789abc")
    say(desk, 0, b"0123")
    desk.store()
    assert chunks(desk) == [(0, b"0123456789"), (10, b"abc")]
    assert [ack["offset"] for ack in acks(desk)] == [10, 13, 13]


def test_a_piece_that_lost_another_before_it_is_not_taken() -> None:
    desk = running()
    say(desk, 0, b"0123")
    say(desk, 8, b"89ab")
    assert [(ack["offset"], ack["again"]) for ack in acks(desk)] == [(4, True)]
    desk.store()
    assert chunks(desk) == [(0, b"0123")]
    assert [(ack["offset"], "again" in ack) for ack in acks(desk)[1:]] == [(4, False)]
    say(desk, 4, b"4567")
    say(desk, 8, b"89ab")
    desk.store()
    assert chunks(desk) == [(0, b"0123"), (4, b"4567"), (8, b"89ab")]


def test_the_first_piece_of_a_new_job_may_get_lost_too() -> None:
    desk = running()
    say(desk, 4, b"4567")
    desk.store()
    assert chunks(desk) == []
    assert [(ack["offset"], ack["again"]) for ack in acks(desk)] == [(0, True)]


def test_what_the_node_skipped_is_not_missed() -> None:
    desk = running()
    say(desk, 0, b"0123")
    desk.say("a", Output(JobRef("j1"), "stdout", 100, b"tail", skipped=96))
    desk.store()
    assert chunks(desk) == [(0, b"0123"), (100, b"tail")]


def test_after_a_restart_a_node_goes_on_where_its_output_was_stored() -> None:
    [created] = [each for each in running().stored if isinstance(each, JobCreated)]
    nodes = {"a": JobNode(NodeStatus.RUNNING)}
    desk = EngineDesk(
        unfinished=[replace(created.job, status=JobStatus.RUNNING, run_deadline=1e10, nodes=nodes)]
    )
    desk.beat("a", job="j1", state=AgentState.RUNNING, extensions=1, jobs=("j1",))
    say(desk, 4, b"4567")
    desk.store()
    assert chunks(desk) == [(4, b"4567")]
    assert [(ack["offset"], "again" in ack) for ack in acks(desk)] == [(8, False)]


def test_the_result_says_that_all_output_is_there() -> None:
    desk = running()
    say(desk, 0, b"done\n")
    desk.reply("a", NodeInput.SUCCEEDED, exit_code=0, stdout_size=5, stderr_size=0)
    desk.store()
    assert [each for each in desk.stored if isinstance(each, OutputStored)] == [
        OutputStored("j1", "a", b"", b"")
    ]
    assert desk.job() == ("complete", {"a": "succeeded"})


def test_output_of_another_nodes_job_is_dropped_and_of_an_unknown_one_is_left_to_the_store() -> (
    None
):
    desk = running()
    say(desk, 0, b"mine", node="b")
    desk.store()
    assert chunks(desk) == [] and acks(desk) == []
    assert desk.engine.inbox.dropped["foreign_job"] == 1
    say(desk, 0, b"late", job="before-the-restart")
    desk.store()
    [chunk] = [each for each in desk.stored if isinstance(each, OutputChunk)]
    assert (chunk.job_id, chunk.org, chunk.node) == ("before-the-restart", "acme", "a")
    assert [ack["offset"] for ack in acks(desk)] == [4]
    assert desk.engine.output.end("before-the-restart", "a", "stdout") == 0


def test_of_too_much_the_chunks_say_where_head_and_tail_are() -> None:
    desk = running(max_output=10)
    say(desk, 0, b"0123456789abcdef")
    desk.store()
    found = [each for each in desk.stored if isinstance(each, OutputChunk)]
    assert [(each.offset, each.data) for each in found] == [(0, b"01234"), (5, b"56789abcdef")]
    assert {(each.head, each.tail) for each in found} == {(5, 11)}


@given(st.lists(st.tuples(st.integers(0, 60), st.binary(max_size=20)), max_size=20))
def test_no_byte_is_taken_twice(pieces: List["tuple[int, bytes]"]) -> None:
    intake = OutputIntake(30)
    seen = 0
    for offset, data in pieces:
        for chunk in intake.take("acme", "j", "a", Output(JobRef("j"), "stdout", offset, data)):
            assert chunk.offset >= seen and chunk.data
            assert chunk.offset >= 15 or chunk.offset + len(chunk.data) <= 15
            seen = chunk.offset + len(chunk.data)
