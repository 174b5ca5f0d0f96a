"""The engine after a restart, and the truth that comes late.

Without sockets, threads or a clock: what follows here takes up to a minute and more. Over real
sockets it is in ``test_engine_lives.py``, and with a killed server in ``tests/e2e/test_kills.py``.
"""

from __future__ import annotations

from typing import Optional

import pytest
from engine_desk import START, EngineDesk, request

from push_jobs_server.records import JobNode, JobRecord, LateResult, NodeChanged
from push_jobs_wire.states import JobStatus, NodeInput, NodeStatus


def record(status: JobStatus, node: NodeStatus, run_deadline: Optional[float] = None) -> JobRecord:
    return JobRecord(
        "j1",
        request(("a",)),
        status,
        created_at=START - 5,
        updated_at=START - 5,
        voting_deadline=START + 55,
        run_deadline=run_deadline,
        nodes={"a": JobNode(node)},
    )


def restarted(
    status: JobStatus = JobStatus.RUNNING, node: NodeStatus = NodeStatus.RUNNING
) -> EngineDesk:
    deadline = START + 1000 if status is JobStatus.RUNNING else None
    return EngineDesk([record(status, node, deadline)])


def test_a_running_node_is_adopted_without_an_abort() -> None:
    desk = restarted()
    assert desk.job() == ("running", {"a": "running"})
    desk.beat("a", "j1")
    assert desk.types("a") == ["ack"]
    desk.reply("a", NodeInput.SUCCEEDED)
    assert desk.job() == ("complete", {"a": "succeeded"})


def test_a_result_is_the_first_word_of_a_node() -> None:
    desk = restarted()
    desk.reply("a", NodeInput.SUCCEEDED)
    assert desk.job() == ("complete", {"a": "succeeded"})
    assert "abort" not in desk.types("a")


def test_an_early_result_counts_once_the_vote_is_over() -> None:
    desk = EngineDesk()
    for node in ("a", "b"):
        desk.beat(node, extensions=1, jobs=())
    desk.start(nodes=("a", "b"))
    desk.reply("a", NodeInput.SUCCEEDED, started_at=START)
    assert desk.job() == ("voting", {"a": "ready", "b": "new"})
    desk.reply("b", NodeInput.ACK_COMMIT)
    assert desk.job() == ("running", {"a": "succeeded", "b": "ready"})


def test_a_late_result_is_kept_and_confirmed_once_it_is_stored() -> None:
    desk = EngineDesk()
    desk.beat("a", extensions=1, jobs=())
    desk.types("a")
    desk.reply("a", NodeInput.SUCCEEDED, "forgotten")
    assert desk.types("a") == []
    desk.store()
    assert desk.types("a") == ["confirm"]
    (late,) = desk.stored
    assert isinstance(late, LateResult)
    assert (late.job_id, late.node, late.org) == ("forgotten", "a", "acme")
    assert late.status is NodeStatus.SUCCEEDED


def test_a_result_after_the_node_was_given_up_is_late() -> None:
    desk = restarted()
    for _ in range(7):
        desk.wait(10)
    assert desk.job() == ("crashed", {"a": "crashed"})
    desk.reply("a", NodeInput.FAILED)
    desk.store()
    late = [change for change in desk.stored if isinstance(change, LateResult)]
    assert [change.status for change in late] == [NodeStatus.FAILED]
    assert desk.job() == ("crashed", {"a": "crashed"})


@pytest.mark.proves("T-6")
def test_nodes_that_never_come_back_are_given_up_after_seven_intervals() -> None:
    desk = restarted()
    desk.wait(69)
    assert desk.job()[0] == "running"
    desk.wait(1)
    assert desk.job() == ("crashed", {"a": "crashed"})
    desk.store()
    (change,) = [change for change in desk.stored if isinstance(change, NodeChanged)]
    assert change.outcome.reason == "did not come back after the server was restarted"


def test_a_result_that_our_agent_repeats_aborts_nothing() -> None:
    desk = EngineDesk()
    for node in ("a", "b"):
        desk.beat(node, extensions=1, jobs=())
    desk.start(nodes=("a", "b"))
    for node in ("a", "b"):
        desk.reply(node, NodeInput.ACK_COMMIT)
    desk.reply("a", NodeInput.SUCCEEDED, started_at=START)
    desk.store()
    desk.sent.clear()
    desk.reply("a", NodeInput.SUCCEEDED, started_at=START)
    desk.store()
    assert desk.types("a") == ["confirm"]


@pytest.mark.proves("T-6")
def test_a_vote_that_was_open_is_asked_again() -> None:
    desk = restarted(JobStatus.VOTING, NodeStatus.NEW)
    desk.beat("a", extensions=1, jobs=())
    assert desk.types("a") == ["ack", "commit"]
    desk.reply("a", NodeInput.ACK_COMMIT)
    assert desk.types("a") == ["run"]


@pytest.mark.proves("T-6")
def test_timers_go_on_where_they_were() -> None:
    desk = EngineDesk([record(JobStatus.RUNNING, NodeStatus.RUNNING, START + 3)])
    desk.wait(3)
    assert desk.job() == ("timed_out", {"a": "timed_out"})
