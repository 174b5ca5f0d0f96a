"""Jobs in the engine: vote, quorum, run and both timeouts, with time and writer in our hands."""

from __future__ import annotations

import pytest
from engine_desk import EngineDesk

from push_jobs_server.records import JobCreated, NodeChanged, OtherRequest, OutputStored
from push_jobs_wire.states import AgentState, NodeInput


def test_a_job_runs_and_completes() -> None:
    desk = EngineDesk()
    desk.old_agents("a", "b")
    desk.start(nodes=("a", "b"))
    assert desk.answers == ["j1"]
    assert (desk.types("a"), desk.types("b")) == (["commit"], ["commit"])
    desk.reply("a", NodeInput.ACK_COMMIT)
    assert desk.sent == []
    desk.reply("b", NodeInput.ACK_COMMIT)
    assert (desk.types("a"), desk.types("b")) == (["run"], ["run"])
    for node in ("a", "b"):
        desk.reply(node, NodeInput.ACK_RUN)
    desk.reply("a", NodeInput.SUCCEEDED, stdout="hi\n", stderr="")
    assert desk.job() == ("running", {"a": "succeeded", "b": "running"})
    desk.reply("b", NodeInput.FAILED)
    assert desk.job() == ("complete", {"a": "succeeded", "b": "failed"})
    desk.store()
    assert OutputStored("j1", "a", b"hi\n", b"") in desk.stored
    desk.wait(5)
    assert not desk.engine.jobs.by_id


def test_nothing_is_sent_or_answered_before_the_job_is_stored() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    desk.ask()
    assert (desk.sent, desk.answers, desk.stored) == ([], [], [])
    assert isinstance(desk.held[0].changes[0], JobCreated)
    desk.store()
    assert (desk.types("a"), desk.answers) == (["commit"], ["j1"])


def test_a_job_that_can_not_be_stored_never_starts() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    desk.ask(request_key="k")
    error = RuntimeError("disk")
    desk.fail(error)
    assert (desk.answers, desk.sent, dict(desk.engine.jobs.by_id)) == ([error], [], {})
    desk.start("j2", request_key="k")
    assert desk.answers[1:] == ["j2"]


def test_a_job_stored_too_late_for_its_caller_does_not_run() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    desk.ask()
    desk.now += 26
    desk.store()
    assert desk.job() == ("crashed", {"a": "unavailable"})
    assert "commit" not in desk.types("a")


def test_a_missed_quorum_aborts_those_who_were_ready() -> None:
    desk = EngineDesk()
    desk.old_agents("a", "b")
    desk.start(nodes=("a", "b"))
    desk.types("a")
    desk.reply("a", NodeInput.ACK_COMMIT)
    desk.reply("b", NodeInput.NACK_COMMIT, reason="not on the whitelist")
    assert desk.job() == ("quorum_failed", {"a": "was_ready", "b": "nacked"})
    assert desk.types("a") == ["abort"]
    desk.store()
    changes = [c for c in desk.stored if isinstance(c, NodeChanged) and c.node == "b"]
    assert [c.outcome.reason for c in changes] == ["not on the whitelist"]


def test_silence_ends_with_the_voting_timeout() -> None:
    desk = EngineDesk()
    desk.old_agents("a", "b")
    desk.start(nodes=("a", "b"), quorum=1)
    desk.types("b")
    desk.reply("a", NodeInput.ACK_COMMIT)
    for _ in range(5):
        desk.wait(10)
        for node in ("a", "b"):
            job = "j1" if node == "a" else None
            desk.beat(node, job, state=AgentState.COMMITTED if job else AgentState.IDLE)
    desk.wait(9)
    assert desk.job()[0] == "voting"
    desk.wait(1)
    assert desk.job() == ("running", {"a": "ready", "b": "unavailable"})
    assert "abort" in desk.types("b")


@pytest.mark.proves("P-7b")
def test_the_run_timeout_aborts_the_node() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    desk.start(run_timeout=5)
    desk.reply("a", NodeInput.ACK_COMMIT)
    desk.reply("a", NodeInput.ACK_RUN)
    desk.types("a")
    desk.wait(4)
    assert desk.job()[0] == "running"
    desk.wait(1)
    assert desk.job() == ("timed_out", {"a": "timed_out"})
    assert desk.types("a") == ["abort"]


def test_a_busy_node_is_not_asked_and_says_why() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    desk.start("j1")
    desk.types("a")
    desk.start("j2")
    assert desk.job("j2") == ("quorum_failed", {"a": "nacked"})
    assert desk.types("a") == []
    reasons = [c.outcome.reason for c in desk.stored if isinstance(c, NodeChanged)]
    assert reasons == ["busy with job j1"]


def test_an_unknown_node_is_down_at_once() -> None:
    desk = EngineDesk()
    desk.start(nodes=("nobody",))
    assert desk.job() == ("quorum_failed", {"nobody": "unavailable"})


@pytest.mark.proves("A-21")
def test_quorum_zero_without_a_node_is_complete() -> None:
    desk = EngineDesk()
    desk.start(nodes=("nobody",), quorum=0)
    assert desk.job() == ("complete", {"nobody": "unavailable"})


def test_the_same_request_is_answered_with_the_first_job() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    desk.ask("j1", request_key="k")
    desk.ask("j2", request_key="k")
    assert desk.answers == []
    desk.store()
    desk.ask("j3", request_key="k")
    assert desk.answers == ["j1", "j1", "j1"]
    assert list(desk.engine.jobs.by_id) == ["j1"]


def test_the_same_request_key_of_another_organization_is_another_job() -> None:
    desk = EngineDesk()
    desk.ask("j1", request_key="k")
    desk.ask("j2", request_key="k", org="other")
    desk.store()
    assert desk.answers == ["j1", "j2"]


def test_a_repeated_start_waits_for_the_first_one_which_then_runs() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    desk.ask("j1", request_key="k")
    desk.now += 9
    desk.ask("j1", request_key="signed anew")
    desk.now += 7
    desk.store()
    assert desk.answers == ["j1", "j1"]
    assert desk.job() == ("voting", {"a": "new"})


def test_the_id_of_another_request_is_refused() -> None:
    desk = EngineDesk()
    desk.ask("j1", request_key="k")
    for _ in range(2):
        desk.ask("j1", request_key="k2", command="other")
        assert isinstance(desk.answers.pop(), OtherRequest)
        desk.store()
    assert desk.answers == ["j1"]


def test_a_request_is_forgotten_with_its_job() -> None:
    desk = EngineDesk()
    desk.start("j1", request_key="k")
    desk.wait(6)
    assert not desk.engine.jobs.by_id
    desk.start("j2", request_key="k")
    assert desk.answers == ["j1", "j2"]


def test_jobs_that_are_gone_leave_no_timers_behind() -> None:
    """A time limit is hours away; the jobs of that time are many."""
    desk = EngineDesk()
    desk.beat("a", extensions=1, jobs=())
    for number in range(200):
        job_id = f"job{number}"
        desk.start(job_id)
        desk.reply("a", NodeInput.ACK_COMMIT, job_id)
        desk.store()
        desk.reply("a", NodeInput.ACK_RUN, job_id)
        desk.reply("a", NodeInput.SUCCEEDED, job_id)
        desk.store()
        assert desk.job(job_id)[0] == "complete"
        desk.wait(6)
        desk.beat("a")
    assert len(desk.engine._timers) < 150
