"""Runs over Serf when the agent is started again: what was not told is told, and nothing else."""

from __future__ import annotations

import pytest
from serf_desk import JOB, SerfDesk, job

from push_jobs_agent.serf_run import Phase


def test_a_running_job_goes_on() -> None:
    desk = SerfDesk()
    desk.start()
    desk.printed(b"one ")
    desk.accept_all()
    desk.restart()
    assert desk.runs.owns(JOB) and not desk.puts
    desk.found(job(stdout=b"one two"))
    desk.output[JOB] = (b"one two", b"")
    desk.accept_all()
    desk.printed(b"one two three")
    desk.ended()
    desk.accept_all()
    # The first chunk is said again: it is not known whether the server has taken it.
    assert [text for _, text, _ in desk.chunks()][:2] == ["one ", "one "]
    assert [seq for seq, _, _ in desk.chunks()] == [0, 0, 1, 2, 3]
    assert "".join(text for _, text, _ in desk.chunks()[1:]) == "one two three"
    assert desk.statuses() == ["running", "succeeded"]


def test_a_chunk_that_was_on_its_way_is_the_same_one() -> None:
    desk = SerfDesk()
    desk.start()
    desk.printed(b"one")
    desk.restart()
    desk.output[JOB] = (b"one two", b"")
    desk.found(job(stdout=b"one two", result="succeeded"))
    desk.answer(409)
    desk.accept_all()
    assert desk.chunks() == [(0, "one", False), (0, "one", False), (1, " two", True)]


@pytest.mark.parametrize("told", ["none", "once"])
def test_an_end_that_was_not_taken_is_told_by_the_next_agent(told: str) -> None:
    desk = SerfDesk()
    desk.start()
    desk.ended()
    if told == "once":
        desk.accept_all(goiardi=True)
    desk.restart()
    desk.found(job(result="succeeded"))
    desk.accept_all()
    assert desk.statuses()[-1] == "succeeded" and desk.ops() == ["release"]
    desk.reply()
    assert desk.journal == {}


@pytest.mark.parametrize("phase", list(Phase))
def test_a_run_that_the_runner_does_not_know(phase: Phase) -> None:
    desk = SerfDesk()
    if phase is Phase.NEW:
        desk.hear(desk.payload())
    else:
        desk.start()
    if phase in (Phase.ENDED, Phase.DONE):
        desk.ended()
    if phase is Phase.DONE:
        desk.accept_all()
    desk.said.clear()
    desk.restart()
    desk.found()
    desk.accept_all()
    if phase is Phase.DONE:
        assert desk.said == [] and desk.ops() == ["release"]
        return
    last = desk.said[-1].fields
    lost = phase is not Phase.ENDED
    assert (last["status"], "lost" in last["error"]) == ("failed" if lost else "succeeded", lost)


def test_a_refusal_that_was_not_told_is_told_by_the_next_agent() -> None:
    desk = SerfDesk()
    desk.do(desk.runs.drain(desk.now))
    desk.hear(desk.payload())
    desk.journal[JOB]["channels"]["stdout"]["chunk"] = None  # it ended before that was written
    desk.said.clear()
    desk.restart()
    desk.found()
    desk.accept_all()
    assert (desk.statuses(), desk.journal) == (["failed"], {})
    assert desk.chunks() == desk.chunks("stderr") == [(0, "", True)]


def test_a_cancelled_run_stays_cancelled() -> None:
    desk = SerfDesk()
    desk.start()
    desk.hear(desk.payload("cancel"))
    desk.restart()
    desk.found(job())
    assert desk.ops() == ["abort"]
    desk.ended("aborted")
    desk.accept_all()
    assert desk.statuses() == ["running"]
