"""The session machine and a runner that dies, comes back, or says things that make no sense."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import pytest
from agent_desk import JOB, Desk, commit, ready_desk, running_desk, spooled

from push_jobs_wire.messages import Abort, Run
from push_jobs_wire.states import AgentState, NodeInput


def kinds(desk: Desk) -> List[NodeInput]:
    return [reply.kind for reply in desk.server.replies()]


def test_without_a_runner_nothing_is_accepted() -> None:
    desk = ready_desk()
    desk.do(desk.session.runner_lost(desk.now))
    desk.server.say(commit())
    [nack] = desk.server.replies()
    assert nack.kind is NodeInput.NACK_COMMIT and "runner" in str(nack.reason)


def test_a_runner_that_dies_while_it_thinks_loses_the_vote() -> None:
    desk = ready_desk()
    desk.runner.hold = True
    desk.server.say(commit())
    desk.do(desk.session.runner_lost(desk.now))
    [nack] = desk.server.replies()
    assert nack.kind is NodeInput.NACK_COMMIT and "died" in str(nack.reason)
    assert desk.session.free


def test_a_runner_that_dies_between_vote_and_run_is_no_harm_when_it_is_back() -> None:
    desk = ready_desk()
    desk.server.say(commit())
    desk.do(desk.session.runner_lost(desk.now))
    desk.found()
    desk.server.say(Run(JOB))
    assert kinds(desk) == [NodeInput.ACK_COMMIT, NodeInput.ACK_RUN]


def test_a_run_while_the_runner_is_gone_is_refused() -> None:
    desk = ready_desk()
    desk.server.say(commit())
    desk.do(desk.session.runner_lost(desk.now))
    desk.server.say(Run(JOB))
    assert kinds(desk) == [NodeInput.ACK_COMMIT, NodeInput.NACK_RUN]


def test_the_next_runner_says_what_became_of_a_start() -> None:
    cases: List[Tuple[List[Dict[str, Any]], List[NodeInput]]] = [
        ([], [NodeInput.NACK_RUN]),
        ([spooled()], [NodeInput.ACK_RUN]),
        ([spooled(state="ended", result="crashed")], [NodeInput.ACK_RUN, NodeInput.ABORTED]),
    ]
    for jobs, expected in cases:
        desk = ready_desk()
        desk.server.say(commit())
        desk.runner.hold = True
        desk.server.say(Run(JOB))
        desk.server.heard()
        desk.do(desk.session.runner_lost(desk.now))
        desk.found(*jobs)
        desk.pump()
        assert kinds(desk) == expected


def test_a_job_that_crashed_with_its_runner_is_reported_with_the_reason() -> None:
    desk = running_desk()
    desk.do(desk.session.runner_lost(desk.now))
    desk.advance(10.0)
    assert [beat.state for beat in desk.server.heartbeats()] == [AgentState.RUNNING]
    desk.found(spooled(state="ended", result="crashed", reason="the runner died"))
    desk.pump()
    [outcome] = desk.server.replies()
    assert (outcome.kind, outcome.reason) == (NodeInput.ABORTED, "the runner died")


def test_a_job_that_the_next_runner_does_not_know_is_lost_and_said_so() -> None:
    desk = running_desk()
    desk.do(desk.session.runner_lost(desk.now))
    desk.found()
    desk.pump()
    [outcome] = desk.server.replies()
    assert outcome.kind is NodeInput.ABORTED and "lost" in str(outcome.reason)
    assert desk.session.free


def test_an_abort_is_asked_again_of_the_next_runner() -> None:
    desk = running_desk()
    desk.do(desk.session.runner_lost(desk.now))
    desk.server.say(Abort())
    desk.found(spooled())
    assert len(desk.runner.ops("abort")) == 2


@pytest.mark.parametrize("words", [{}, {"event": "ended"}, {"event": "ended", "job": 5}])
def test_words_of_a_runner_that_make_no_sense_change_nothing(words: Dict[str, Any]) -> None:
    desk = running_desk()
    desk.do(desk.session.runner_event(words, desk.now))
    assert desk.state() is AgentState.RUNNING
