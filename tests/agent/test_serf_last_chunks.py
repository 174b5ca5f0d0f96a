"""A server of ours is told the last output of a run together with its end, and a short run as a
whole; a goiardi never is."""

from __future__ import annotations

from typing import Any, List, Mapping, Tuple

from serf_desk import JOB, SerfDesk, job

from push_jobs_agent.runner.causes import NOT_STARTED
from push_jobs_agent.serf_run import SHORT


def begun() -> SerfDesk:
    """A run that a server of ours asked for, which has just begun."""
    desk = SerfDesk()
    desk.hear(desk.payload(also_256=True))
    desk.reply()
    return desk


def started() -> SerfDesk:
    """The same when the server knows that it runs."""
    desk = begun()
    desk.advance(SHORT)
    desk.accept_all()
    return desk


def with_end(fields: Mapping[str, Any]) -> List[Tuple[str, int, str, bool]]:
    return [
        (chunk["output_type"], chunk["seq"], chunk["output"], chunk["is_last"])
        for chunk in fields["chunks"]
    ]


def test_a_run_that_printed_nothing_takes_two_messages() -> None:
    desk = started()
    desk.ended(started_at=5.0, ended_at=5.25)
    desk.accept_all()
    running, end = desk.said
    assert "chunks" not in running.fields
    assert "seconds" not in end.fields  # the server knows when it began
    assert with_end(end.fields) == [("stdout", 0, "", True), ("stderr", 0, "", True)]
    assert end.fields["status"] == "succeeded" and "/jobs/" in end.path
    desk.reply()
    assert desk.runs.empty and desk.journal == {}


def test_a_short_run_takes_one_message() -> None:
    desk = begun()
    desk.printed(b"hello\n")
    assert desk.said == []
    desk.ended(started_at=5.0, ended_at=5.25)
    (whole,) = desk.said
    assert (whole.fields["status"], whole.fields["seconds"]) == ("succeeded", 0.25)
    assert with_end(whole.fields) == [("stdout", 0, "hello\n", True), ("stderr", 0, "", True)]
    desk.accept_all()
    assert len(desk.said) == 1
    desk.reply()
    assert desk.runs.empty and desk.journal == {}


def test_a_run_that_is_not_short_is_told_to_run_before_its_output() -> None:
    desk = begun()
    desk.printed(b"hello\n")
    desk.advance(SHORT)
    assert desk.statuses() == ["running"] and desk.chunks() == []
    desk.accept_all()
    assert desk.chunks() == [(0, "hello\n", False)]


def test_a_short_run_that_could_not_be_started_is_invalid_at_once() -> None:
    desk = begun()
    desk.ended("failed", cause=NOT_STARTED, reason="no such program")
    (whole,) = desk.said
    assert whole.fields["status"] == "invalid" and "chunks" not in whole.fields


def test_a_short_run_that_is_cancelled_is_told_its_output_alone() -> None:
    desk = begun()
    desk.printed(b"hello\n")
    desk.hear(desk.payload("cancel", also_256=True))
    desk.ended("aborted", signal=15)
    desk.accept_all()
    assert desk.statuses() == []
    assert desk.chunks() == [(0, "hello\n", True)] and desk.chunks("stderr") == [(0, "", True)]


def test_a_run_that_began_before_the_agent_ended_is_found_by_the_next_one() -> None:
    desk = begun()
    desk.restart()
    desk.output[JOB] = (b"one", b"")
    desk.found(job(stdout=b"one"))
    desk.accept_all()
    assert desk.statuses() == ["running"] and desk.chunks() == [(0, "one", False)]


def test_only_the_last_chunk_of_a_channel_waits_for_the_end() -> None:
    desk = started()
    desk.printed(b"a" * 40000, b"oh\n")
    desk.ended()
    desk.accept_all()
    assert [(seq, len(text), last) for seq, text, last in desk.chunks()] == [(0, 32768, False)]
    assert with_end(desk.said[-1].fields) == [
        ("stdout", 1, "a" * 7232, True),
        ("stderr", 1, "", True),
    ]
    assert desk.chunks("stderr") == [(0, "oh\n", False)]


def test_an_end_that_was_not_taken_is_said_again_with_the_same_chunks() -> None:
    desk = started()
    desk.output[JOB] = (b"one", b"")
    desk.ended()
    first = desk.said[-1]
    assert with_end(first.fields) == [("stdout", 0, "one", True), ("stderr", 0, "", True)]
    desk.answer(503)
    desk.advance(60.0)
    assert desk.said[-1] == first
    desk.restart()
    desk.found(job(stdout=b"one", result="succeeded"))
    assert desk.said[-1] == first
    desk.accept_all()
    assert desk.statuses() == ["running", "succeeded", "succeeded", "succeeded"]


def test_a_cancelled_run_tells_its_output_without_an_end() -> None:
    desk = started()
    desk.printed(b"begun\n")
    desk.accept_all()
    desk.hear(desk.payload("cancel", also_256=True))
    desk.ended("aborted", signal=15)
    desk.accept_all()
    assert desk.statuses() == ["running"]
    assert desk.chunks() == [(0, "begun\n", False), (1, "", True)]
    assert desk.ops()[-1] == "release"


def test_a_cancel_while_the_end_is_not_taken_leaves_the_output_to_be_told() -> None:
    desk = started()
    desk.output[JOB] = (b"one", b"")
    desk.ended()
    desk.answer(503)
    desk.hear(desk.payload("cancel", also_256=True))
    desk.advance(60.0)
    desk.accept_all()
    assert desk.chunks() == [(0, "one", True)] and desk.chunks("stderr") == [(0, "", True)]
    assert desk.statuses() == ["running", "succeeded"] and desk.ops()[-1] == "release"
