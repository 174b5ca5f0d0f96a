"""The machine of runs over Serf: what the server is told, in which order, and over restarts."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest
from serf_desk import JOB, NODE, RUN, SerfDesk

from push_jobs_agent.runner.causes import NOT_STARTED, TIMED_OUT


def test_a_run_is_told_from_its_start_to_its_end() -> None:
    desk = SerfDesk()
    desk.hear(desk.payload())
    assert desk.ops() == ["start"] and desk.said == []
    assert desk.asked[0].fields["request"] == {
        "job_id": JOB,
        "node": NODE,
        "command": "chef-client",
        "capture": True,
        "run_timeout": 300,
    }
    desk.reply()
    desk.accept_all()
    desk.printed(b"one\n", b"two\n")
    desk.accept_all()
    desk.ended()
    desk.accept_all()
    assert desk.said[0].path == f"/shovey/jobs/{RUN}/{NODE}"
    assert desk.said[1].path == f"/shovey/stream/{RUN}/{NODE}"
    assert desk.said[0].fields == {
        "node_name": NODE,
        "run_id": RUN,
        "status": "running",
        "exit_status": 0,
        "error": "",
        "extensions": 1,
        "protocol_major": 0,
        "protocol_minor": 1,
    }
    assert desk.statuses() == ["running", "succeeded"]
    assert desk.chunks() == [(0, "one\n", False), (1, "", True)]
    assert desk.chunks("stderr") == [(0, "two\n", False), (1, "", True)]
    assert "status" in desk.said[-1].fields  # the end comes after the last chunks
    assert desk.ops() == ["start", "release"]
    assert desk.runs.owns(JOB)
    desk.reply()
    assert desk.runs.empty and desk.journal == {}


def test_one_thing_is_on_its_way_at_a_time() -> None:
    desk = SerfDesk()
    desk.hear(desk.payload())
    desk.reply()
    desk.printed(b"a" * 100000, b"b" * 100000)
    desk.ended()
    while desk.puts:
        assert len(desk.puts) == 1
        desk.answer()
    assert "".join(text for _, text, _ in desk.chunks()) == "a" * 100000
    assert [seq for seq, _, _ in desk.chunks("stderr")] == [0, 1, 2, 3]
    assert [last for _, _, last in desk.chunks("stderr")] == [False, False, False, True]


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"result": "failed", "exit_code": 3}, ("failed", 3, "exit status 3")),
        ({"result": "failed", "signal": 9}, ("failed", 255, "signal: killed")),
        ({"result": "failed", "signal": 15}, ("failed", 255, "signal: terminated")),
        ({"result": "failed", "signal": 64}, ("failed", 255, "signal: signal 64")),
        (
            {"result": "failed", "signal": 9, "cause": TIMED_OUT, "reason": "it ran longer"},
            ("failed", 0, f"Job {RUN} on node {NODE} timed out"),
        ),
        (
            {"result": "failed", "exit_code": 127, "cause": NOT_STARTED, "reason": "no such"},
            ("invalid", 0, "no such"),
        ),
        ({"result": "crashed", "reason": "the runner died"}, ("failed", 255, "the runner died")),
        ({"result": "aborted"}, ("failed", 255, "the job was aborted")),
    ],
)
def test_how_a_run_ends(fields: Dict[str, Any], told: Any) -> None:
    desk = SerfDesk()
    desk.start()
    desk.ended(**fields)
    desk.accept_all()
    last = desk.said[-1].fields
    assert (last["status"], last["exit_status"], last["error"]) == told
    assert desk.statuses()[0] == "running"
    assert bool(desk.chunks()) == (told[0] == "failed")


@pytest.mark.parametrize(
    "reply, told",
    [
        (
            {"listed": False, "reason": "the job 'x' is not in the whitelist"},
            ("nacked", "command chef-client not in whitelist"),
        ),
        ({"reason": "the user is not known"}, ("invalid", "the user is not known")),
    ],
)
def test_a_run_that_is_refused(reply: Dict[str, Any], told: Any) -> None:
    desk = SerfDesk()
    desk.hear(desk.payload())
    desk.reply(ok=False, **reply)
    desk.accept_all()
    assert [(s.fields["status"], s.fields["error"]) for s in desk.said] == [told]
    assert desk.runs.empty and desk.journal == {} and desk.ops() == ["start"]
    lines = [(line.level, line.fields) for line in desk.logs if line.text.startswith("refused")]
    assert lines == [("warning", {"job_id": JOB, "reason": reply["reason"]})]
    ended = [line.fields for line in desk.logs if line.text == "job ended"]
    assert ended == [{"job_id": JOB, "result": told[0], "reason": told[1]}]


@pytest.mark.parametrize("timeout", ["0", "-5"])
def test_a_run_without_time_is_not_started(timeout: str) -> None:
    desk = SerfDesk()
    desk.hear(desk.payload(timeout=timeout))
    desk.accept_all()
    assert desk.ops() == [] and desk.said[-1].fields["error"].endswith("timed out")


def test_a_full_disk_is_said() -> None:
    desk = SerfDesk()
    desk.full = True
    desk.hear(desk.payload())
    desk.accept_all()
    assert desk.statuses() == ["invalid"] and "No space left" in desk.said[0].fields["error"]
    assert desk.ops() == []


def test_a_stopping_agent_starts_nothing() -> None:
    desk = SerfDesk()
    desk.do(desk.runs.drain(desk.now))
    desk.hear(desk.payload())
    assert JOB in desk.journal
    desk.accept_all()
    assert desk.statuses() == ["failed"] and desk.ops() == []
    assert desk.chunks() == [(0, "", True)]


def test_a_run_waits_for_a_runner_that_is_away_but_not_for_ever() -> None:
    desk = SerfDesk()
    desk.do(desk.runs.runner_lost(desk.now))
    desk.hear(desk.payload())
    assert desk.ops() == []
    desk.advance(5.0)
    desk.found()
    assert desk.ops() == ["start"]
    desk.do(desk.runs.runner_lost(desk.now))
    desk.found()
    assert desk.ops() == ["start", "start"]
    desk.do(desk.runs.runner_lost(desk.now))
    desk.advance(31.0)
    desk.accept_all()
    assert desk.statuses() == ["invalid"]


def test_several_runs_at_once() -> None:
    desk = SerfDesk()
    runs = [f"{number:08x}-be32-4ea0-a302-bae080ab6f83" for number in range(5)]
    for run in runs:
        desk.hear(desk.payload(run=run))
        desk.reply()
    assert len(desk.puts) == 5 and len(desk.runs.running) == 5


# A cancel


def test_a_cancelled_run_is_aborted_and_its_end_is_not_told() -> None:
    desk = SerfDesk()
    desk.start()
    desk.printed(b"begun\n")
    desk.hear(desk.payload("cancel"))
    assert desk.asked[-1].fields["grace"] == 10.0 and desk.ops() == ["start", "abort"]
    desk.ended("aborted", signal=15)
    desk.accept_all()
    assert desk.statuses() == ["running"]
    assert desk.chunks() == [(0, "begun\n", False), (1, "", True)]
    assert desk.ops()[-1] == "release"


def test_a_cancel_before_the_runner_has_answered() -> None:
    desk = SerfDesk()
    desk.hear(desk.payload())
    desk.hear(desk.payload("cancel"))
    assert desk.ops() == ["start"]
    desk.reply()
    assert desk.ops() == ["start", "abort"]
    desk.ended("aborted")
    desk.accept_all()
    assert desk.statuses() == []


def test_a_cancel_before_there_is_a_runner() -> None:
    desk = SerfDesk()
    desk.do(desk.runs.runner_lost(desk.now))
    desk.hear(desk.payload())
    desk.hear(desk.payload("cancel"))
    desk.found()
    assert (desk.ops(), desk.said, desk.journal) == ([], [], {})


def test_a_cancelled_run_is_not_started_by_the_next_runner() -> None:
    desk = SerfDesk()
    desk.hear(desk.payload())
    desk.hear(desk.payload("cancel"))
    desk.do(desk.runs.runner_lost(desk.now))
    desk.found()
    desk.accept_all()
    assert (desk.ops(), desk.statuses(), desk.journal) == (["start"], [], {})


def test_a_cancel_keeps_an_end_that_waits_from_being_told() -> None:
    desk = SerfDesk()
    desk.start()
    desk.ended()
    desk.answer(500)
    desk.hear(desk.payload("cancel"))
    desk.advance(60.0)
    desk.accept_all()
    assert desk.statuses() == ["running"] and desk.ops() == ["start", "release"]


def test_a_cancel_of_an_unknown_run_does_nothing() -> None:
    desk = SerfDesk()
    desk.hear(desk.payload("cancel"))
    assert (desk.ops(), desk.said) == ([], [])


# Reports


def test_what_is_not_taken_is_said_again_with_growing_pauses() -> None:
    desk = SerfDesk()
    desk.hear(desk.payload())
    desk.reply()
    at: List[float] = []
    for status in (0, 500, 503, 429, 408, 401, 403, 412, 302, 0, 0, 0):
        at.append(desk.now.steady)
        desk.answer(status)
        assert not desk.puts
        while not desk.puts:
            due = desk.runs.next_call()
            assert due is not None
            desk.advance(due - desk.now.steady)
    pauses = [round(after - before, 1) for before, after in zip(at, at[1:])]
    assert pauses[:4] == [0.2, 0.4, 0.8, 1.6] and pauses[-2:] == [30.0, 30.0]
    assert set(desk.statuses()) == {"running"}


def test_a_server_that_is_back_is_told_all_at_once() -> None:
    desk = SerfDesk()
    for number in range(3):
        desk.hear(desk.payload(run=f"{number:08x}-be32-4ea0-a302-bae080ab6f83"))
        desk.reply()
    for _ in range(8):
        while desk.puts:
            desk.answer(0)
        due = desk.runs.next_call()
        assert due is not None
        desk.advance(due - desk.now.steady)
    desk.answer()
    assert len(desk.puts) == 2


@pytest.mark.proves("G-5b")
def test_a_chunk_that_is_there_already_is_not_sent_again() -> None:
    desk = SerfDesk()
    desk.start()
    desk.printed(b"one")
    desk.answer(409)
    desk.ended()
    desk.accept_all()
    assert desk.chunks() == [(0, "one", False), (1, "", True)]
    assert desk.statuses()[-1] == "succeeded"


def test_a_refused_report_is_logged_and_the_next_one_follows() -> None:
    desk = SerfDesk()
    desk.hear(desk.payload())
    desk.reply()
    desk.answer(400, problem="status 400: Bad request")
    desk.printed(b"one")
    desk.answer(413)
    desk.ended()
    desk.accept_all()
    assert [seq for seq, _, _ in desk.chunks()] == [0, 1]
    assert desk.statuses() == ["running", "succeeded"]
    assert [line.text for line in desk.logs].count("the server refuses a report") == 2


def test_a_run_that_the_server_does_not_know_is_dropped_when_it_ends() -> None:
    desk = SerfDesk()
    desk.start()
    desk.printed(b"one")
    desk.answer(404, unknown=True)
    desk.printed(b"one two")
    assert desk.ops() == ["start"] and not desk.puts
    desk.ended()
    assert desk.ops() == ["start", "release"] and not desk.puts


def test_a_404_of_somebody_else_is_asked_again() -> None:
    desk = SerfDesk()
    desk.start()
    desk.ended()
    desk.answer(404)
    assert not desk.puts
    desk.advance(1.0)
    desk.accept_all()
    assert desk.statuses()[-1] == "succeeded" and not desk.journal[JOB]["muted"]


@pytest.mark.proves("G-7")
def test_a_goiardi_is_told_the_end_twice() -> None:
    desk = SerfDesk()
    desk.start()
    desk.ended()
    desk.accept_all(goiardi=True)
    assert desk.ops() == ["start"]
    desk.advance(0.9)
    assert not desk.puts
    desk.advance(0.2)
    desk.accept_all(goiardi=True)
    assert desk.statuses() == ["running", "succeeded", "succeeded"]
    assert desk.ops() == ["start", "release"]
