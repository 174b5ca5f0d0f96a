"""A server of ours is told the last output of a run together with its end; a goiardi never is."""

from __future__ import annotations

from typing import Any, List, Mapping, Tuple

from serf_desk import JOB, SerfDesk, job


def started() -> SerfDesk:
    """A run that a server of ours asked for, which knows that it runs."""
    desk = SerfDesk()
    desk.hear(desk.payload(also_256=True))
    desk.reply()
    desk.accept_all()
    return desk


def with_end(fields: Mapping[str, Any]) -> List[Tuple[str, int, str, bool]]:
    return [
        (chunk["output_type"], chunk["seq"], chunk["output"], chunk["is_last"])
        for chunk in fields["chunks"]
    ]


def test_a_run_that_printed_nothing_takes_two_messages() -> None:
    desk = started()
    desk.ended()
    desk.accept_all()
    running, end = desk.said
    assert "chunks" not in running.fields
    assert with_end(end.fields) == [("stdout", 0, "", True), ("stderr", 0, "", True)]
    assert end.fields["status"] == "succeeded" and "/jobs/" in end.path
    desk.reply()
    assert desk.runs.empty and desk.journal == {}


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
