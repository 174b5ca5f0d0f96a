"""Nodes over Serf in the engine: up and down, mixed jobs, restarts, and lost starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List

import pytest
from engine_desk import EngineDesk
from serf_engine import ORG, desk_with, orders, report

from push_jobs_server.engine.serf import DOWN_AFTER, PATIENCE
from push_jobs_server.engine.serf_orders import SerfKnown
from push_jobs_server.engine.starts import ANSWER_TIME
from push_jobs_server.records import (
    Cancel,
    JobChanged,
    JobCreated,
    JobNode,
    JobRequest,
    NodeChanged,
    Outcome,
)
from push_jobs_server.serf_records import NodeStatusSeen, RunReport, SerfRun
from push_jobs_wire.states import JobStatus, NodeInput, NodeStatus


def test_a_job_over_both_transports() -> None:
    desk = desk_with("s1", "s2")
    desk.old_agents("p1", "p2")
    desk.start(nodes=("p1", "s1", "p2", "s2"), quorum=4)
    assert desk.types("p1") == ["commit"] and orders(desk) == []
    for node in ("p1", "p2"):
        desk.reply(node, NodeInput.ACK_COMMIT)
    desk.store()
    assert desk.types("p1")[-1:] == ["run"]
    assert orders(desk) == [("start", "j1", ("s1", "s2"))]
    for node in ("p1", "p2"):
        desk.reply(node, NodeInput.ACK_RUN)
        desk.reply(node, NodeInput.SUCCEEDED)
    report(desk, "s1", "running")
    report(desk, "s1", "succeeded")
    assert desk.job()[0] == "running"
    report(desk, "s2", "failed")
    status, nodes = desk.job()
    assert status == "complete"
    assert nodes == {"p1": "succeeded", "s1": "succeeded", "p2": "succeeded", "s2": "failed"}


def test_a_cancel_of_a_job_over_both_transports() -> None:
    desk = desk_with("s1")
    desk.old_agents("p1")
    desk.start(nodes=("p1", "s1"), quorum=2)
    desk.reply("p1", NodeInput.ACK_COMMIT)
    desk.store()
    desk.reply("p1", NodeInput.ACK_RUN)
    orders(desk)
    job = desk.engine.jobs.by_id["j1"]
    job.cancel(Cancel("alice", "user", 0.0, ("p1", "s1")), desk.engine.now)
    desk.store()
    assert orders(desk) == [("cancel", "j1", ("s1",))]
    assert desk.job()[1] == {"p1": "running", "s1": "aborted"}
    desk.reply("p1", NodeInput.ABORTED)
    desk.store()
    assert desk.job() == ("aborted", {"p1": "aborted", "s1": "aborted"})


def test_a_job_over_serf_alone_is_stored_once_and_sent_then() -> None:
    """A report that came before its part is stored would be about a run that is not there."""
    desk = desk_with("s1")
    desk.ask(nodes=("s1", "away"), quorum=1)
    (batch,) = desk.held
    kinds = [type(each).__name__ for each in batch.changes]
    assert kinds[0] == "JobCreated" and {"SerfRun", "JobChanged"} <= set(kinds)
    assert desk.engine.serf.take_orders() == [] and desk.answers == []
    assert orders(desk) == [("start", "j1", ("s1",))]
    assert desk.answers == ["j1"]
    assert desk.job() == ("running", {"s1": "ready", "away": "unavailable"})


def test_a_job_that_can_never_be_stored_is_gone() -> None:
    desk = desk_with("s1")
    desk.ask(nodes=("s1",))
    desk.fail(ValueError("no"))
    assert [str(answer) for answer in desk.answers] == ["no"]
    assert desk.engine.jobs.by_id == {} and orders(desk) == []
    desk.wait(60 + PATIENCE)
    desk.start("j2", nodes=("s1",))
    assert orders(desk) == [("start", "j2", ("s1",))]


def test_a_job_that_is_stored_too_late_is_not_sent() -> None:
    """Its caller was told to try again."""
    desk = desk_with("s1")
    desk.ask(nodes=("s1",))
    desk.now += ANSWER_TIME + 1
    assert orders(desk) == []
    assert desk.job() == ("crashed", {"s1": "unavailable"})


def test_a_job_that_is_over_before_it_is_stored_does_not_begin_again() -> None:
    desk = desk_with("s1")
    desk.ask(nodes=("away",), quorum=1)
    desk.wait(desk.engine.rules.job_linger + 1)
    assert desk.engine.jobs.by_id == {}
    assert orders(desk) == [] and desk.answers == ["j1"]
    assert desk.engine.jobs.by_id == {}


def test_an_end_tells_of_the_beginning_too() -> None:
    desk = desk_with("s1")
    desk.start(nodes=("s1",))
    orders(desk)
    whole = RunReport("j1", "s1", "succeeded", exit_status=0, seconds=0.25)
    desk.engine.serf.report(whole, (), lambda _: None)
    desk.collect()
    desk.store()
    assert desk.job() == ("complete", {"s1": "succeeded"})
    began, over = [each for each in desk.stored if isinstance(each, NodeChanged)][-2:]
    assert (began.status, over.status) == (NodeStatus.RUNNING, NodeStatus.SUCCEEDED)
    for change in (began, over):
        assert change.outcome.started_at == desk.now - 0.25
    names = [event.name for event in desk.events]
    assert names[-3:] == ["run_start", "run_complete", "job_complete"]


def test_a_node_over_serf_runs_several_jobs_at_once() -> None:
    desk = desk_with("s1")
    for job in ("j1", "j2"):
        desk.start(job, nodes=("s1",))
    assert orders(desk) == [("start", "j1", ("s1",)), ("start", "j2", ("s1",))]


def test_a_pushy_session_knows_nothing_of_a_part_over_serf() -> None:
    """A node with both sessions: what it lists of its Pushy jobs ends no part over Serf."""
    desk = desk_with("s1")
    desk.start(nodes=("s1",))
    report(desk, "s1", "running")
    desk.beat("s1", extensions=1, jobs=())
    desk.store()
    assert desk.job() == ("running", {"s1": "running"})
    assert desk.engine.why_busy((ORG, "s1"), "other") is None


def test_silent_runs_end_by_time_and_are_told_to_stop() -> None:
    desk = desk_with("s1", "s2")
    desk.start(nodes=("s1", "s2"), run_timeout=30)
    orders(desk)
    report(desk, "s1", "running")
    desk.wait(30 + PATIENCE - 1)
    assert desk.job()[0] == "running"
    desk.wait(2)
    assert desk.job() == ("timed_out", {"s1": "timed_out", "s2": "timed_out"})
    assert orders(desk) == [("cancel", "j1", ("s1", "s2"))]


def test_a_node_is_down_after_ten_silent_minutes() -> None:
    desk = desk_with("s1")
    desk.wait(DOWN_AFTER - 1)
    assert desk.engine.serf.up((ORG, "s1"))
    desk.wait(61)
    assert not desk.engine.serf.up((ORG, "s1"))
    desk.engine.serf.heartbeat("s1", "up", False)
    assert desk.engine.serf.up((ORG, "s1"))


def test_a_silent_node_goes_down_once() -> None:
    """The last statuses are kept, so more of the same would push the others out."""
    desk = desk_with("s1")
    for _ in range(20):
        desk.wait(60.0)
    desk.engine.serf.gone("s1", "its Serf agent failed")
    desk.store()
    seen = [each.status for each in desk.stored if isinstance(each, NodeStatusSeen)]
    assert seen == ["up", "down"]


def test_a_node_stays_up_while_its_heartbeats_come() -> None:
    """It counts from the last one, not from when the node came up."""
    desk = desk_with("s1")
    for _ in range(22):
        desk.wait(30)
        assert desk.engine.serf.up((ORG, "s1"))
        desk.engine.serf.heartbeat("s1", "up", False)
    desk.wait(DOWN_AFTER - 1)
    assert desk.engine.serf.up((ORG, "s1"))
    seen = [each for each in desk.stored if isinstance(each, NodeStatusSeen)]
    assert {each.status for each in seen} == {"up"}


def test_the_end_of_its_serf_agent_ends_no_run() -> None:
    desk = desk_with("s1")
    desk.start(nodes=("s1",))
    report(desk, "s1", "running")
    desk.engine.serf.gone("s1", "its Serf agent failed")
    desk.store()
    assert desk.job()[1] == {"s1": "running"}
    report(desk, "s1", "succeeded")
    assert desk.job() == ("complete", {"s1": "succeeded"})
    assert desk.engine.serf.why_not((ORG, "s1")) == "not connected"


@pytest.mark.parametrize("quorum", [0, 1])
@pytest.mark.parametrize("minutes", [0, 12])
def test_while_our_serf_agent_is_away_a_start_says_so_however_long(
    quorum: int, minutes: int
) -> None:
    """Nodes of which nothing could be heard go down meanwhile."""
    desk = desk_with("s1")
    desk.engine.serf.problem = "it is away"
    for _ in range(minutes):
        desk.wait(60.0)
    desk.begin()
    request = JobRequest(ORG, "ls", ("s1",), quorum, 300, "alice", "user")
    desk.engine.serf.start_job("j1", request, desk.answers.append)
    desk.collect()
    desk.store()
    assert list(map(str, desk.answers)) == ["it is away"]
    assert "j1" not in desk.engine.jobs.by_id


def outcome_of(desk: EngineDesk, node: str) -> Outcome:
    """What was stored last of a node's part."""
    return [each for each in desk.stored if isinstance(each, NodeChanged) and each.node == node][
        -1
    ].outcome


OPTIONS: List[Dict[str, Any]] = [
    {"user": "nobody"},
    {"dir": "/tmp"},
    {"env": {"A": "b"}},
    {"file": "raw:x"},
]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: str(*option))
def test_what_cant_be_sent_over_serf_is_refused_before_anything_runs(
    option: Dict[str, Any]
) -> None:
    """The command would run as somebody else than was asked for."""
    desk = desk_with("s1")
    desk.start(nodes=("s1",), **option)
    assert orders(desk) == []
    (name,) = option
    assert outcome_of(desk, "s1").reason == f"a command over Serf can't carry {name}"
    ends = [each for each in desk.stored if isinstance(each, JobChanged)]
    assert ends[-1].status is JobStatus.QUORUM_FAILED


def test_a_job_that_serf_cant_carry_runs_on_the_others() -> None:
    desk = desk_with("s1")
    desk.old_agents("p1")
    desk.start(nodes=("p1", "s1"), quorum=1, user="nobody")
    desk.reply("p1", NodeInput.ACK_COMMIT)
    desk.store()
    assert desk.job() == ("running", {"p1": "ready", "s1": "nacked"}) and orders(desk) == []


@pytest.mark.parametrize(
    "word, reason",
    [("", "nothing was heard of it in 60 s"), ("running", "still running after 60 s")],
)
def test_a_part_that_is_given_up_says_whether_it_ever_began(word: str, reason: str) -> None:
    desk = desk_with("s1")
    desk.start(nodes=("s1",), run_timeout=60)
    report(desk, "s1", word)
    desk.wait(60 + PATIENCE + 1)
    desk.store()
    assert outcome_of(desk, "s1").reason == reason


@pytest.mark.parametrize("word", ["nacked", "invalid", "shutdown"])
def test_what_never_ran_has_no_exit_code(word: str) -> None:
    desk = desk_with("s1")
    desk.start(nodes=("s1",))
    refusal = RunReport("j1", "s1", word, "not in whitelist", exit_status=0)
    desk.engine.serf.report(refusal, (), lambda _: None)
    desk.collect()
    desk.store()
    outcome = outcome_of(desk, "s1")
    assert (outcome.exit_code, outcome.reason) == (None, "not in whitelist")


def test_nodes_of_another_organization_are_never_asked() -> None:
    desk = desk_with("s1")
    assert not desk.engine.serf.up(("other", "s1"))
    desk.start(nodes=("s1",), org="other")
    assert orders(desk) == []


def test_what_heartbeats_say_keeps_no_node_away() -> None:
    desk = desk_with("s1")
    for status in ("down", "new"):
        desk.engine.serf.heartbeat("s1", status, False)
        assert desk.engine.serf.up((ORG, "s1")), status
    desk.engine.serf.heartbeat("s2", "new", False)
    assert not desk.engine.serf.up((ORG, "s2"))
    desk.engine.serf.heartbeat("s2", "up", False)
    assert desk.engine.serf.up((ORG, "s2"))


def test_after_a_restart_parts_over_serf_go_on() -> None:
    first = desk_with("s1", "s2")
    first.start(nodes=("s1", "s2"))
    report(first, "s1", "running")
    kept = [each for each in first.stored if isinstance(each, SerfRun)]
    assert {(each.job_id, each.node) for each in kept} == {("j1", "s1"), ("j1", "s2")}
    seen = NodeStatusSeen(ORG, "s1", 7, "up", first.engine.wall)
    (created,) = [each for each in first.stored if isinstance(each, JobCreated)]
    record = replace(
        created.job,
        status=JobStatus.RUNNING,
        run_deadline=first.now + 3600,
        nodes={"s1": JobNode(NodeStatus.RUNNING), "s2": JobNode(NodeStatus.READY)},
    )
    desk = EngineDesk(
        serf=SerfKnown(ORG, [seen], [("j1", "s1"), ("j1", "s2")]), unfinished=[record]
    )
    assert desk.engine.serf.up((ORG, "s1"))
    desk.wait(100)
    assert desk.job() == ("running", {"s1": "running", "s2": "ready"})
    report(desk, "s1", "succeeded")
    report(desk, "s2", "failed")
    assert desk.job() == ("complete", {"s1": "succeeded", "s2": "failed"})


@pytest.mark.parametrize("word", ["nacked", "shutdown"])
def test_refusals_are_no_votes(word: str) -> None:
    desk = desk_with("s1")
    desk.start(nodes=("s1",))
    report(desk, "s1", word)
    assert desk.job() == ("complete", {"s1": "nacked"})


def test_a_refusal_of_what_runs_is_a_failure() -> None:
    desk = desk_with("s1")
    desk.start(nodes=("s1",))
    report(desk, "s1", "running")
    report(desk, "s1", "nacked")
    assert desk.job() == ("complete", {"s1": "failed"})


def test_late_results_of_jobs_that_left_memory_are_kept() -> None:
    desk = desk_with("s1")
    answers: List[object] = []
    desk.engine.serf.report(RunReport("gone", "s1", "succeeded"), (), answers.append)
    desk.collect()
    desk.store()
    assert answers == [True]
    assert [type(each).__name__ for each in desk.stored[-2:]] == ["LateResult", "OutputStored"]


def test_votes_are_stored_with_the_job() -> None:
    desk = desk_with("s1")
    desk.start(nodes=("s1",))
    changes = [each.status.value for each in desk.stored if isinstance(each, NodeChanged)]
    assert changes == ["ready"]
    found: Dict[str, str] = desk.job()[1]
    assert found == {"s1": "ready"}
