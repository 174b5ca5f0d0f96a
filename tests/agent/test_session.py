"""The session machine and one job: vote, run, abort, outcome. No socket, no clock, no process."""

from __future__ import annotations

import json
from typing import Any, List

import pytest
from agent_desk import JOB, OTHER, commit, ready_desk, running_desk

from push_jobs_agent.runner.errors import Refused
from push_jobs_agent.runner.spool import check_job_id
from push_jobs_wire import framing
from push_jobs_wire.messages import Abort, Commit, Confirm, JobRef, Reply, Run
from push_jobs_wire.states import AgentState, NodeInput


def kinds(replies: List[Reply]) -> List[NodeInput]:
    return [reply.kind for reply in replies]


def test_a_job_goes_from_vote_to_outcome() -> None:
    desk = ready_desk()
    desk.server.say(commit(user="deploy", dir="/srv", env={"A": "1"}, file="raw:x", run_timeout=60))
    assert kinds(desk.server.replies()) == [NodeInput.ACK_COMMIT]
    assert desk.state() is AgentState.COMMITTED
    assert desk.runner.ops("check") == [
        {
            "request": {
                "job_id": JOB,
                "org": "acme",
                "node": "web1",
                "command": "chef-client",
                "user": "deploy",
                "dir": "/srv",
                "env": {"A": "1"},
                "file": "raw:x",
                "capture": False,
                "run_timeout": 60,
            }
        }
    ]
    desk.server.say(Run(JOB))
    assert kinds(desk.server.replies()) == [NodeInput.ACK_RUN]
    assert desk.runner.ops("start") == desk.runner.ops("check")
    desk.ended(exit_code=0, started_at=1.5, ended_at=2.5)
    [outcome] = desk.server.replies()
    assert outcome == Reply(
        NodeInput.SUCCEEDED, JobRef(JOB), exit_code=0, started_at=1.5, ended_at=2.5
    )
    assert desk.state() is AgentState.IDLE


@pytest.mark.proves("P-11")
def test_every_message_says_who_speaks_and_carries_a_job_id() -> None:
    desk = running_desk()
    desk.ended()
    desk.server.say(Abort())
    desk.advance(10.0)
    heard = desk.server.fields()
    assert len(heard) == 3
    for fields in heard:
        assert fields["org"] == "acme" and fields["node"] == "web1"
        assert fields["incarnation_id"] == "incarnation-of-agent"
        assert "job_id" in fields
    assert len({fields["sequence"] for fields in heard}) == 3


def test_the_runner_decides_about_the_vote() -> None:
    desk = ready_desk()
    desk.runner.answers["check"] = {"ok": False, "reason": "not on the whitelist"}
    desk.server.say(commit(command="reboot"))
    [nack] = desk.server.replies()
    assert nack == Reply(NodeInput.NACK_COMMIT, JobRef(JOB), reason="not on the whitelist")
    [line] = desk.logged("refused to vote for a job")
    assert line.fields == {"job_id": JOB, "command": "reboot", "reason": "not on the whitelist"}
    assert desk.state() is AgentState.IDLE


def test_a_busy_node_refuses_another_job_and_goes_on() -> None:
    desk = running_desk()
    desk.server.say(commit(OTHER))
    desk.server.say(Run(OTHER))
    replies = desk.server.replies()
    assert [(r.kind, r.job.id) for r in replies] == [
        (NodeInput.NACK_COMMIT, OTHER),
        (NodeInput.NACK_RUN, OTHER),
    ]
    assert all(r.reason == f"busy with job {JOB}" for r in replies)
    desk.ended()
    assert kinds(desk.server.replies()) == [NodeInput.SUCCEEDED]


def test_a_second_commit_while_the_first_is_thought_about_is_refused() -> None:
    desk = ready_desk()
    desk.runner.hold = True
    desk.server.say(commit())
    desk.server.say(commit(OTHER))
    assert [(r.kind, r.job.id) for r in desk.server.replies()] == [(NodeInput.NACK_COMMIT, OTHER)]
    desk.release_held()
    assert [(r.kind, r.job.id) for r in desk.server.replies()] == [(NodeInput.ACK_COMMIT, JOB)]


def test_a_question_that_is_asked_again_gets_the_same_vote() -> None:
    desk = ready_desk()
    desk.server.say(commit())
    desk.server.say(commit())
    assert kinds(desk.server.replies()) == [NodeInput.ACK_COMMIT, NodeInput.ACK_COMMIT]
    assert len(desk.runner.ops("check")) == 1
    desk.server.say(commit(command="something else"))
    assert kinds(desk.server.replies()) == [NodeInput.NACK_COMMIT]
    desk.server.say(Run(JOB))
    assert desk.runner.ops("start")[0]["request"]["command"] == "chef-client"


@pytest.mark.parametrize("job_id", ["../../etc", ".", "a/b", "a_b", "a.b", "a\n", "ü"])
def test_a_job_id_that_cannot_be_a_folder_is_refused_in_the_words_of_the_runner(
    job_id: str,
) -> None:
    desk = ready_desk()
    desk.server.say(commit(job_id))
    [nack] = desk.server.replies()
    assert (nack.kind, nack.job.id) == (NodeInput.NACK_COMMIT, job_id)
    with pytest.raises(Refused) as refusal:
        check_job_id(job_id)
    assert nack.reason == str(refusal.value)
    assert desk.runner.asked == []


@pytest.mark.parametrize("job_id", ["", "a" * 65, None])
def test_a_commit_whose_job_id_no_server_takes_back_is_refused_without_it(job_id: Any) -> None:
    desk = ready_desk()
    desk.server.say(commit(job_id))
    [nack] = desk.server.replies()
    assert (nack.kind, nack.job.id) == (NodeInput.NACK_COMMIT, None)
    assert "job_id" in str(nack.reason)
    assert desk.runner.asked == []


def test_a_run_without_a_commit_is_refused() -> None:
    desk = ready_desk()
    desk.server.say(Run(JOB))
    desk.server.say(Run(None))
    first, second = desk.server.replies()
    assert (first.kind, first.job.id) == (NodeInput.NACK_RUN, JOB)
    assert (second.kind, second.job.id) == (NodeInput.NACK_RUN, None)
    assert desk.runner.ops("start") == []


def test_a_run_that_is_repeated_starts_nothing_twice() -> None:
    desk = running_desk()
    desk.server.say(Run(JOB))
    assert kinds(desk.server.replies()) == [NodeInput.ACK_RUN]
    assert len(desk.runner.ops("start")) == 1


def test_a_vote_without_a_run_expires() -> None:
    desk = ready_desk()
    desk.server.say(commit())
    desk.advance(179.0, beats=True)
    assert desk.state() is AgentState.COMMITTED
    desk.advance(1.0)
    assert desk.state() is AgentState.IDLE
    desk.server.heard()
    desk.server.say(Run(JOB))
    [nack] = desk.server.replies()
    assert nack.kind is NodeInput.NACK_RUN and "180 s" in str(nack.reason)
    desk.server.say(commit(OTHER))
    assert kinds(desk.server.replies()) == [NodeInput.ACK_COMMIT]


def test_a_start_that_fails_is_a_nack_with_the_reason() -> None:
    desk = ready_desk()
    desk.runner.answers["start"] = {"ok": False, "reason": "no such program: /bin/nothing"}
    desk.server.say(commit())
    desk.server.say(Run(JOB))
    replies = desk.server.replies()
    assert kinds(replies) == [NodeInput.ACK_COMMIT, NodeInput.NACK_RUN]
    assert replies[1].reason == "no such program: /bin/nothing"
    assert desk.state() is AgentState.IDLE


@pytest.mark.proves("P-12b")
def test_the_run_is_acknowledged_before_the_outcome_even_if_the_job_was_faster() -> None:
    desk = ready_desk()
    desk.server.say(commit())
    desk.runner.hold = True
    desk.server.say(Run(JOB))
    desk.server.heard()
    desk.ended()
    assert kinds(desk.server.replies()) == [NodeInput.ACK_RUN, NodeInput.SUCCEEDED]
    desk.release_held()
    assert desk.server.replies() == [] and desk.session.free


def test_an_idle_node_answers_an_abort_at_once() -> None:
    desk = ready_desk()
    desk.server.say(Abort())
    desk.server.say(Abort())
    assert desk.server.fields()[0]["job_id"] is None
    assert desk.runner.asked == []


def test_an_abort_withdraws_a_vote() -> None:
    desk = ready_desk()
    desk.server.say(commit())
    desk.server.heard()
    desk.server.say(Abort())
    assert desk.server.replies() == [Reply(NodeInput.ABORTED, JobRef(JOB))]
    assert desk.session.free


def test_an_abort_during_the_vote_makes_the_answer_of_the_runner_void() -> None:
    desk = ready_desk()
    desk.runner.hold = True
    desk.server.say(commit())
    desk.server.say(Abort())
    assert desk.server.replies() == [Reply(NodeInput.ABORTED, JobRef())]
    desk.release_held()
    assert desk.server.replies() == [] and desk.session.free


def test_an_abort_is_answered_only_when_everything_is_dead() -> None:
    desk = running_desk()
    for _ in range(3):
        desk.server.say(Abort())
    assert desk.runner.ops("abort") == [
        {"job_id": JOB, "grace": 10.0, "reason": "aborted by the server"}
    ]
    desk.advance(20.0, beats=True)
    heartbeats = desk.server.heartbeats()
    assert len(heartbeats) == 2 and all(beat.job == JobRef(JOB) for beat in heartbeats)
    desk.ended(result="aborted", signal=15, reason="aborted by the server")
    [aborted] = desk.server.replies()
    assert (aborted.kind, aborted.job.id) == (NodeInput.ABORTED, JOB)
    assert aborted.signal == 15
    desk.server.say(Abort())
    assert desk.server.replies() == [Reply(NodeInput.ABORTED, JobRef())]


def test_an_abort_during_the_start_aborts_what_was_started() -> None:
    desk = ready_desk()
    desk.server.say(commit())
    desk.runner.hold = True
    desk.server.say(Run(JOB))
    desk.server.say(Abort())
    assert desk.runner.ops("abort") == []
    desk.release_held()
    assert len(desk.runner.ops("abort")) == 1
    desk.ended(result="aborted")
    assert kinds(desk.server.replies()) == [
        NodeInput.ACK_COMMIT,
        NodeInput.ACK_RUN,
        NodeInput.ABORTED,
    ]


def test_an_abort_during_a_start_that_fails_is_answered_with_the_job() -> None:
    desk = ready_desk()
    desk.server.say(commit())
    desk.runner.hold = True
    desk.server.say(Run(JOB))
    desk.server.say(Abort())
    desk.server.heard()
    desk.runner.answers["start"] = {"ok": False, "reason": "no"}
    desk.release_held()
    assert [(r.kind, r.job.id) for r in desk.server.replies()] == [(NodeInput.ABORTED, JOB)]


def test_a_job_that_ends_before_the_abort_reaches_it_keeps_its_result() -> None:
    desk = running_desk()
    desk.server.say(Abort())
    desk.ended(exit_code=0)
    told = {(reply.kind, reply.job.id) for reply in desk.server.replies()}
    assert told == {(NodeInput.SUCCEEDED, JOB), (NodeInput.ABORTED, None)}


def test_an_old_server_hears_only_aborted_after_its_abort() -> None:
    desk = running_desk(extensions=0)
    desk.server.say(Abort())
    desk.ended(exit_code=0)
    assert desk.server.replies() == [Reply(NodeInput.ABORTED, JobRef(JOB))]


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        ("succeeded", NodeInput.SUCCEEDED),
        ("failed", NodeInput.FAILED),
        ("aborted", NodeInput.ABORTED),
        ("crashed", NodeInput.ABORTED),
        ("never heard of", NodeInput.ABORTED),
    ],
)
def test_results_of_the_runner_become_words_of_the_wire(result: str, kind: NodeInput) -> None:
    desk = running_desk()
    desk.ended(result=result, reason="because")
    [outcome] = desk.server.replies()
    assert outcome.kind is kind and outcome.reason == "because"


def test_a_draining_agent_refuses_new_jobs_and_lets_its_job_end() -> None:
    desk = running_desk()
    desk.do(desk.session.drain(desk.now))
    assert not desk.session.drained()
    desk.ended()
    desk.server.heard()
    assert not desk.session.drained()
    desk.server.say(Confirm(JOB))
    assert desk.session.drained()
    desk.server.say(commit(OTHER))
    [nack] = desk.server.replies()
    assert nack.kind is NodeInput.NACK_COMMIT and str(nack.reason).startswith("draining")


def test_a_draining_agent_keeps_the_vote_it_gave() -> None:
    desk = ready_desk()
    desk.server.say(commit())
    desk.do(desk.session.drain(desk.now))
    desk.server.say(Run(JOB))
    assert kinds(desk.server.replies()) == [NodeInput.ACK_COMMIT, NodeInput.ACK_RUN]


def test_a_commit_with_unusable_fields_is_refused_with_their_names() -> None:
    desk = ready_desk()
    body = json.loads(desk.server.body(commit()))
    body.update(user=5, env={"A": 1})
    message = json.dumps(body).encode()
    desk.transport.peer.command(framing.seal_hmac(desk.server.key, message), message)
    desk.pump()
    [nack] = desk.server.replies()
    assert nack.kind is NodeInput.NACK_COMMIT and "user, env" in str(nack.reason)


def test_a_long_reason_is_cut() -> None:
    desk = ready_desk()
    desk.runner.answers["check"] = {"ok": False, "reason": "x" * 100_000}
    desk.server.say(Commit(JOB, "chef-client"))
    assert len(str(desk.server.replies()[0].reason)) == 500


def test_old_servers_get_no_words_they_do_not_know() -> None:
    desk = ready_desk(extensions=0)
    desk.runner.answers["check"] = {"ok": False, "reason": "no"}
    desk.server.say(commit())
    assert "reason" not in desk.server.fields()[0]
