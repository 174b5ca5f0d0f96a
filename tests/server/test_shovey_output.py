"""Output in numbered pieces over the Shovey API: order, gaps, ends, readers that wait, limits."""

from __future__ import annotations

import threading
from typing import Any, Dict, Iterator, List

import pytest
from shovey_desk import JOBS, NODE, OTHER, ShoveyDesk, open_shovey_desk


@pytest.fixture
def desk(store_url: str) -> Iterator[ShoveyDesk]:
    with open_shovey_desk(store_url, max_output=4096) as made:
        made.beat(NODE)
        made.beat(OTHER)
        yield made


def test_pieces_in_any_order_find_their_place(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    for seq, text in ((2, "c"), (1, "b")):
        assert desk.chunk(job, seq, text).status == 200
    assert desk.stream(job)["output"] == "" and desk.run(job)["output"] == ""
    desk.chunk(job, 0, "a")
    shown = desk.stream(job)
    assert (shown["output"], shown["last_seq"], shown["is_last"]) == ("abc", 2, False)
    assert desk.run(job)["output"] == "abc"
    again = desk.chunk(job, 1, "other")
    assert again.status == 409
    assert again.error == [f"sequence 1 for {job} - {NODE} already exists"]
    assert desk.stream(job, "?sequence=1")["output"] == "bc"


def test_a_piece_that_waits_for_another_is_taken_once(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    assert [desk.chunk(job, 1, text).status for text in ("one", "two")] == [200, 409]
    assert desk.chunk(job, 0, "zero ").status == 200
    assert desk.chunk(job, 1, "three").status == 409
    assert desk.stream(job)["output"] == "zero one"


def test_a_gap_stops_a_reader_until_the_end(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    desk.chunk(job, 0, "a")
    desk.chunk(job, 2, "c", is_last=True)
    shown = desk.stream(job)
    assert (shown["output"], shown["last_seq"], shown["is_last"]) == ("a", 0, False)
    desk.report(job, "succeeded")
    shown = desk.stream(job)
    assert (shown["output"], shown["last_seq"], shown["is_last"]) == ("ac", 2, True)
    assert desk.run(job)["output"] == "ac"


def test_both_streams_in_the_order_of_arrival(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    desk.chunk(job, 0, "o1 ")
    desk.chunk(job, 0, "e1 ", "stderr", is_last=True)
    desk.chunk(job, 1, "o2")
    both = desk.stream(job, "?output_type=both")
    assert (both["output"], both["last_seq"], both["is_last"]) == ("o1 e1 o2", 2, False)
    desk.chunk(job, 2, "", is_last=True)
    rest = desk.stream(job, "?output_type=both&sequence=3")
    assert (rest["output"], rest["last_seq"], rest["is_last"]) == ("", 3, True)


def test_output_after_the_end_still_counts(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    desk.report(job, "succeeded")
    assert desk.stream(job)["is_last"] is False
    desk.chunk(job, 0, "late", is_last=True)
    assert desk.stream(job)["output"] == "late" and desk.run(job)["output"] == "late"


def test_a_stream_that_never_ends_is_over_after_a_while(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    desk.chunk(job, 0, "some")
    desk.report(job, "succeeded")
    assert desk.stream(job)["is_last"] is False
    desk.desk.skew = 31.0
    assert desk.stream(job)["is_last"] is True


def test_a_stream_of_what_was_cancelled_before_it_began_has_ended(desk: ShoveyDesk) -> None:
    job = desk.start(NODE, OTHER)
    desk.report(job, "running", OTHER)
    desk.call("PUT", JOBS + "/cancel", {"run_id": job})
    assert desk.stream(job)["is_last"] is True
    # The last pieces of what ran may still come.
    assert desk.stream(job, node=OTHER)["is_last"] is False


def test_a_reader_may_wait_for_more(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    found: List[Dict[str, Any]] = []
    reader = threading.Thread(target=lambda: found.append(desk.stream(job, "?wait=20")))
    reader.start()
    while desk.desk.feeds._count == 0:
        pass
    desk.chunk(job, 0, "now\n")
    reader.join(20)
    assert found[0]["output"] == "now\n"
    for wrong in ("x", "-1", "61", ""):
        assert desk.call("GET", f"/shovey/stream/{job}/{NODE}?wait={wrong}").status == 400


def test_a_waiting_reader_hears_of_the_end(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    found: List[Dict[str, Any]] = []
    reader = threading.Thread(target=lambda: found.append(desk.stream(job, "?wait=20")))
    reader.start()
    while desk.desk.feeds._count == 0:
        pass
    desk.report(job, "nacked")
    reader.join(20)
    assert found[0]["is_last"] is True


def test_readers_of_ended_jobs_leave_threads_to_others(store_url: str) -> None:
    with open_shovey_desk(store_url, http={"threads": 3}) as desk:
        desk.beat(NODE)
        job = desk.start(NODE)
        desk.report(job, "succeeded")
        found: List[Dict[str, Any]] = []
        readers = [
            threading.Thread(target=lambda: found.append(desk.stream(job, "?wait=20")))
            for _ in range(2)
        ]
        for reader in readers:
            reader.start()
        while not found:
            pass
        assert found[0]["output"] == "" and any(reader.is_alive() for reader in readers)
        desk.chunk(job, 0, "late", is_last=True)
        for reader in readers:
            reader.join(20)
        assert found[1]["output"] == "late"


def test_a_reader_may_wait_for_the_last_pieces_of_a_job_that_has_ended(desk: ShoveyDesk) -> None:
    """A schob reports its final status before it sends the rest of the output."""
    job = desk.start(NODE)
    desk.report(job, "succeeded")
    found: List[Dict[str, Any]] = []
    reader = threading.Thread(target=lambda: found.append(desk.stream(job, "?wait=20")))
    reader.start()
    reader.join(0.3)
    assert reader.is_alive() and not found
    desk.chunk(job, 0, "late\n", is_last=True)
    reader.join(20)
    assert (found[0]["output"], found[0]["is_last"]) == ("late\n", True)


def test_too_much_output_keeps_head_and_tail(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    for seq in range(20):
        assert desk.chunk(job, seq, f"{seq:03d}" * 341 + "\n").status == 200
    desk.chunk(job, 20, "the end", is_last=True)
    desk.report(job, "succeeded")
    output = desk.run(job)["output"]
    assert output.startswith("000000") and output.endswith("the end")
    assert len(output) < 5000 and "left out" in output


def test_pieces_behind_a_missing_one_have_a_limit(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    statuses = [desk.chunk(job, seq, "x" * 1000).status for seq in range(1, 8)]
    assert statuses == [200] * 5 + [413] * 2
    assert desk.chunk(job, 0, "x").status == 200
    assert desk.chunk(job, 6, "x").status == 200


@pytest.mark.parametrize("path", ["stream/{job}/nope", "jobs/{job}/nope", "stream/nope/{node}"])
def test_unknown_runs_are_404_for_operators(desk: ShoveyDesk, path: str) -> None:
    job = desk.start(NODE)
    assert desk.call("GET", "/shovey/" + path.format(job=job, node=NODE)).status == 404


def piece(stream: str, seq: int, output: str) -> Dict[str, Any]:
    return {"output_type": stream, "seq": seq, "output": output, "is_last": True}


def test_the_last_pieces_may_come_with_the_end(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    desk.chunk(job, 0, "one ")
    last = [piece("stdout", 1, "two"), piece("stderr", 0, "oh")]
    for _ in range(2):  # the answer may get lost: it is said again
        assert desk.report(job, "succeeded", exit_status=0, chunks=last).status == 200
    for stream, output in (("stdout", "one two"), ("stderr", "oh"), ("both", "one twooh")):
        shown = desk.stream(job, f"?output_type={stream}")
        assert (shown["output"], shown["is_last"]) == (output, True)
    assert desk.run(job)["output"] == "one two" and desk.run(job)["status"] == "succeeded"


def test_a_piece_that_comes_with_the_end_may_be_there_already(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    desk.chunk(job, 0, "one", is_last=True)
    last = [piece("stdout", 0, "other"), piece("stderr", 0, "")]
    assert desk.report(job, "failed", exit_status=3, chunks=last).status == 200
    assert desk.stream(job)["output"] == "one" and desk.run(job)["status"] == "failed"


@pytest.mark.parametrize(
    "chunks",
    [
        None,
        "x",
        {},
        [1],
        [{}],
        [piece("stdin", 0, "")],
        [{**piece("stdout", 0, ""), "seq": "0"}],
        [{**piece("stdout", 0, ""), "output": 1}],
        [{**piece("stdout", 0, ""), "is_last": 1}],
        [piece("stdout", 0, "a"), piece("stdout", 1, "b")],
    ],
)
def test_wrong_pieces_with_the_end_change_nothing(desk: ShoveyDesk, chunks: Any) -> None:
    job = desk.start(NODE)
    assert desk.report(job, "succeeded", chunks=chunks).status == 400
    assert desk.run(job)["status"] == "created" and desk.stream(job)["output"] == ""
