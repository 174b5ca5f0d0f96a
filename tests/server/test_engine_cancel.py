"""Cancelling jobs in the engine: while they vote or run, in part, again, after a restart."""

from __future__ import annotations

from typing import List

import pytest
from cancel_desk import CancelDesk
from engine_desk import START, request

from push_jobs_server.engine.core import EngineRules
from push_jobs_server.engine.node import HealthRules
from push_jobs_server.records import Cancel, CancelStored, Change, JobNode, JobRecord, NodeChanged
from push_jobs_wire.states import AgentState, JobStatus, NodeInput, NodeStatus


@pytest.fixture
def desk() -> CancelDesk:
    return CancelDesk()


# While the job runs


def test_a_node_is_aborted_only_when_it_says_so(desk: CancelDesk) -> None:
    desk.running("a", "b")
    assert desk.cancel() == {"a": "requested", "b": "requested"}
    assert (desk.types("a"), desk.types("b")) == (["abort"], ["abort"])
    assert desk.job() == ("running", {"a": "running", "b": "running"})
    desk.reply("a", NodeInput.ABORTED)
    assert desk.job() == ("running", {"a": "aborted", "b": "running"})
    desk.reply("b", NodeInput.ABORTED)
    assert desk.job() == ("aborted", {"a": "aborted", "b": "aborted"})
    assert desk.types("a") == []
    assert desk.reasons() == {"a": "cancelled by bob", "b": "cancelled by bob"}


def test_the_abort_is_repeated_until_the_node_confirms(desk: CancelDesk) -> None:
    desk.running("a")
    desk.cancel()
    for _ in range(3):
        desk.wait(1)
    assert len(desk.types("a")) >= 3
    desk.reply("a", NodeInput.ABORTED)
    desk.wait(60)
    assert "abort" not in desk.types("a")


def test_nothing_is_sent_or_answered_before_the_cancel_is_stored(desk: CancelDesk) -> None:
    desk.running("a")
    answers = len(desk.answers)
    desk.ask_cancel(grace=3.0, reason="wrong release")
    assert (desk.sent, len(desk.answers)) == ([], answers)
    desk.store()
    assert desk.types("a") == ["abort"]
    cancel = Cancel("bob", "user", START, ("a",), 3.0, "wrong release")
    assert desk.cancels() == [CancelStored("j1", 0, cancel)]
    assert len(desk.answers) == answers + 1


def test_a_cancel_that_cannot_be_stored_does_nothing(desk: CancelDesk) -> None:
    desk.running("a")
    desk.ask_cancel()
    error = OSError("disk full")
    desk.fail(error)
    assert (desk.answers[-1], desk.sent) == (error, [])
    assert desk.cancel() == {"a": "requested"}


def test_grace_and_reason_go_only_to_nodes_that_understand_them(desk: CancelDesk) -> None:
    desk.running_ours("a")
    desk.cancel(grace=2.5, reason="wrong release")
    [(_, abort)] = desk.sent
    assert abort["type"] == "abort" and abort["grace"] == 2.5
    assert abort["reason"] == "cancelled by bob: wrong release"
    other = CancelDesk()
    other.running("a")
    other.cancel(grace=2.5, reason="wrong release")
    [(_, abort)] = other.sent
    assert set(abort) == {"sequence", "timestamp", "type"}


def test_our_agent_says_how_it_stopped(desk: CancelDesk) -> None:
    desk.running_ours("a")
    desk.cancel()
    desk.reply("a", NodeInput.ABORTED, signal=15, reason="its own words", stdout="x", stderr="")
    desk.store()
    assert desk.types("a") == ["abort", "confirm"]
    assert desk.job() == ("aborted", {"a": "aborted"})
    assert desk.reasons() == {"a": "its own words"}
    desk.reply("a", NodeInput.ABORTED, signal=15)
    desk.store()
    assert desk.types("a") == ["confirm"]


def test_a_node_that_was_ready_only_is_told_too(desk: CancelDesk) -> None:
    desk.old_agents("a")
    desk.start()
    desk.reply("a", NodeInput.ACK_COMMIT)
    assert desk.cancel() == {"a": "requested"}
    assert desk.types("a") == ["commit", "run", "abort"]
    desk.reply("a", NodeInput.ACK_RUN)
    desk.reply("a", NodeInput.ABORTED)
    assert desk.job() == ("aborted", {"a": "aborted"})


def test_a_node_that_ended_keeps_its_result(desk: CancelDesk) -> None:
    desk.running("a", "b")
    desk.reply("a", NodeInput.SUCCEEDED)
    assert desk.cancel() == {"a": "ended", "b": "requested"}
    assert desk.types("a") == []
    desk.reply("b", NodeInput.ABORTED)
    assert desk.job() == ("aborted", {"a": "succeeded", "b": "aborted"})


def test_a_cancel_that_came_too_late_everywhere_changes_nothing(desk: CancelDesk) -> None:
    desk.running("a", "b")
    desk.cancel()
    desk.reply("a", NodeInput.SUCCEEDED)
    desk.reply("a", NodeInput.ABORTED, None)
    desk.reply("b", NodeInput.FAILED)
    assert desk.job() == ("complete", {"a": "succeeded", "b": "failed"})


def test_some_nodes_are_cancelled_and_the_job_goes_on(desk: CancelDesk) -> None:
    desk.running("a", "b")
    assert desk.cancel(["a"]) == {"a": "requested"}
    assert (desk.types("a"), desk.types("b")) == (["abort"], [])
    desk.reply("a", NodeInput.ABORTED)
    assert desk.job() == ("running", {"a": "aborted", "b": "running"})
    desk.reply("b", NodeInput.SUCCEEDED)
    assert desk.job() == ("complete", {"a": "aborted", "b": "succeeded"})


def test_all_nodes_one_by_one_are_the_whole_job(desk: CancelDesk) -> None:
    desk.running("a", "b")
    desk.cancel(["a"])
    desk.cancel(["b"])
    for node in ("a", "b"):
        desk.reply(node, NodeInput.ABORTED)
    assert desk.job()[0] == "aborted"


def test_the_silence_of_an_old_agent_that_kills_is_no_crash() -> None:
    desk = CancelDesk(rules=EngineRules(HealthRules(interval=0.5)))
    desk.running("a")
    desk.cancel()
    for _ in range(10):
        desk.wait(0.5)
    assert desk.job() == ("running", {"a": "running"})
    desk.wait_for_end(0.5)
    assert desk.job() == ("aborted", {"a": "crashed"})
    assert desk.now < START + 10


def test_a_cancelled_node_that_vanishes_has_crashed(desk: CancelDesk) -> None:
    desk.running("a")
    desk.cancel()
    desk.wait_for_end(10)
    assert desk.job() == ("aborted", {"a": "crashed"})
    assert desk.reasons() == {"a": "no heartbeat for too long"}


def test_an_agent_that_is_idle_without_having_said_aborted_has_crashed(desk: CancelDesk) -> None:
    desk.running("a")
    desk.cancel()
    desk.beat("a")
    desk.beat("a")
    assert desk.job() == ("aborted", {"a": "crashed"})


def test_a_node_that_never_stops_times_out_with_the_job(desk: CancelDesk) -> None:
    desk.running_ours("a")
    desk.cancel()
    while desk.job()[0] == "running":
        desk.beat("a", "j1", extensions=1)
        desk.wait(10)
    assert desk.job() == ("timed_out", {"a": "timed_out"})
    assert desk.now == START + 3600


# While the job votes


def test_a_cancel_ends_the_vote(desk: CancelDesk) -> None:
    desk.old_agents("a", "b")
    desk.start(nodes=("a", "b", "c"))
    desk.reply("a", NodeInput.ACK_COMMIT)
    desk.sent.clear()
    assert desk.cancel() == {"a": "released", "b": "released", "c": "ended"}
    nodes = {"a": "was_ready", "b": "unavailable", "c": "unavailable"}
    assert desk.job() == ("aborted", nodes)
    assert (desk.types("a"), desk.types("b")) == (["abort"], ["abort"])
    reasons = desk.reasons()
    assert reasons["a"] == "cancelled by bob"
    assert reasons["b"] == "no answer before it was cancelled by bob"
    assert reasons["c"] == "not connected"
    desk.reply("a", NodeInput.ABORTED)
    desk.reply("b", NodeInput.ABORTED, None)
    assert desk.job() == ("aborted", nodes)
    assert [view.available for view in desk.engine.nodes("acme")] == [True, True]


def test_the_answer_waits_until_the_end_of_the_vote_is_stored(desk: CancelDesk) -> None:
    desk.old_agents("a")
    desk.start()
    desk.ask_cancel()
    answers = len(desk.answers)
    desk.begin()
    batch = desk.held.pop(0)
    desk._settle(batch)
    desk.collect()
    assert len(desk.answers) == answers and desk.held
    desk.store()
    assert len(desk.answers) == answers + 1


def test_some_nodes_leave_the_vote(desk: CancelDesk) -> None:
    desk.old_agents("a", "b")
    desk.start(nodes=("a", "b"), quorum=1)
    desk.reply("a", NodeInput.ACK_COMMIT)
    desk.types("a")
    assert desk.cancel(["a"]) == {"a": "released"}
    desk.reply("a", NodeInput.ABORTED)
    assert desk.types("a") == ["abort"]
    desk.reply("b", NodeInput.ACK_COMMIT)
    assert desk.job() == ("running", {"a": "was_ready", "b": "ready"})
    assert desk.types("a") == []
    desk.reply("b", NodeInput.ACK_RUN)
    desk.reply("b", NodeInput.SUCCEEDED)
    assert desk.job() == ("complete", {"a": "was_ready", "b": "succeeded"})


def test_a_vote_that_cannot_win_any_more_fails_as_ever(desk: CancelDesk) -> None:
    desk.old_agents("a", "b")
    desk.start(nodes=("a", "b"))
    desk.reply("a", NodeInput.ACK_COMMIT)
    desk.cancel(["b"])
    assert desk.job() == ("quorum_failed", {"a": "was_ready", "b": "unavailable"})


def test_a_node_that_runs_before_the_vote_is_over_is_stopped(desk: CancelDesk) -> None:
    for node in ("a", "b"):
        desk.beat(node, extensions=1, jobs=())
    desk.start(nodes=("a", "b"))
    desk.beat("a", "j1", extensions=1)
    desk.sent.clear()
    assert desk.cancel() == {"a": "requested", "b": "released"}
    assert desk.job() == ("running", {"a": "running", "b": "unavailable"})
    assert desk.types("a") == ["abort"]
    desk.reply("a", NodeInput.ABORTED)
    assert desk.job() == ("aborted", {"a": "aborted", "b": "unavailable"})


# Again


def test_a_second_cancel_changes_nothing(desk: CancelDesk) -> None:
    desk.running("a")
    assert desk.cancel() == desk.cancel() == {"a": "requested"}
    assert (desk.types("a"), len(desk.cancels())) == (["abort"], 1)
    desk.reply("a", NodeInput.ABORTED)
    assert desk.cancel() == {"a": "ended"}
    assert (desk.types("a"), len(desk.cancels())) == ([], 1)


def test_a_second_cancel_can_only_be_in_more_haste(desk: CancelDesk) -> None:
    desk.running_ours("a")
    for grace in (30.0, 60.0, None, 0.0):
        desk.cancel(grace=grace)
    assert [abort["grace"] for _, abort in desk.sent] == [30.0, 0.0]
    assert [stored.number for stored in desk.cancels()] == [0, 1]


def test_two_cancels_at_once_have_two_numbers(desk: CancelDesk) -> None:
    desk.running("a", "b")
    desk.ask_cancel(["a"])
    desk.ask_cancel(["b"])
    desk.store()
    assert [stored.number for stored in desk.cancels()] == [0, 1]


def test_a_job_that_is_not_in_memory_or_of_others_is_not_touched(desk: CancelDesk) -> None:
    desk.running("a")
    desk.ask_cancel(job_id="j2")
    desk.ask_cancel(org="other")
    assert desk.answers[-2:] == [None, None]
    assert desk.sent == []


# After a restart


def restarted(status: JobStatus, node: NodeStatus) -> CancelDesk:
    record = JobRecord(
        "j1",
        request(("a",)),
        status,
        created_at=START - 5,
        updated_at=START - 5,
        voting_deadline=START + 55,
        run_deadline=START + 1000 if status is JobStatus.RUNNING else None,
        nodes={"a": JobNode(node)},
        cancels=(Cancel("bob", "user", START - 1, ("a",), 2.0, None),),
    )
    return CancelDesk([record])


def test_the_abort_is_sent_again_to_a_node_that_still_runs_the_job() -> None:
    desk = restarted(JobStatus.RUNNING, NodeStatus.RUNNING)
    desk.beat("a", "j1", extensions=1, jobs=("j1",))
    ack, abort = [fields for _, fields in desk.sent]
    assert (ack["type"], abort["type"], abort["grace"]) == ("ack", "abort", 2.0)
    desk.reply("a", NodeInput.ABORTED)
    assert desk.job() == ("aborted", {"a": "aborted"})


def test_the_abort_is_sent_again_to_an_old_agent() -> None:
    desk = restarted(JobStatus.RUNNING, NodeStatus.RUNNING)
    desk.beat("a", "j1")
    assert desk.types("a") == ["ack", "abort"]
    desk.reply("a", NodeInput.ABORTED)
    assert desk.job() == ("aborted", {"a": "aborted"})


def test_aborted_is_the_first_word_after_the_restart() -> None:
    desk = restarted(JobStatus.RUNNING, NodeStatus.RUNNING)
    desk.reply("a", NodeInput.ABORTED)
    assert desk.job() == ("aborted", {"a": "aborted"})


@pytest.mark.parametrize(
    "node, ended", [(NodeStatus.NEW, "unavailable"), (NodeStatus.READY, "was_ready")]
)
def test_a_vote_that_was_cancelled_is_not_held_again(node: NodeStatus, ended: str) -> None:
    desk = restarted(JobStatus.VOTING, node)
    assert desk.job() == ("aborted", {"a": ended})
    desk.collect()
    desk.store()
    assert any(isinstance(change, NodeChanged) for change in desk.stored)
    desk.beat("a", "j1", state=AgentState.COMMITTED, extensions=1, jobs=("j1",))
    assert "abort" in desk.types("a")


def test_the_same_cancel_after_the_restart_is_the_first() -> None:
    desk = restarted(JobStatus.RUNNING, NodeStatus.RUNNING)
    assert desk.cancel() == {"a": "requested"}
    stored: List[Change] = desk.stored
    assert not [change for change in stored if isinstance(change, CancelStored)]
