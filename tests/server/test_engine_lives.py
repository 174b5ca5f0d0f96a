"""Every transition of node sessions and of whole jobs over real CURVE sockets, allowed or not."""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, Tuple

import pytest
from engine_sockets import Speaker, Stage

from push_jobs_server.engine import starts
from push_jobs_wire.messages import Heartbeat, Unknown
from push_jobs_wire.states import (
    FINAL_JOB,
    JOB_TRANSITIONS,
    SESSION_TRANSITIONS,
    JobStatus,
    NodeInput,
    SessionInput,
    SessionState,
)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


# Sessions

REHAB, IDLE = SessionState.REHAB, SessionState.IDLE
LISTS_JOBS = Heartbeat(extensions=1, jobs=())

SAY: Dict[SessionInput, Callable[[Speaker], None]] = {
    SessionInput.ABORTED: lambda node: node.reply(NodeInput.ABORTED, None),
    SessionInput.ADOPTED: lambda node: node.say(LISTS_JOBS),
    SessionInput.REHAB: lambda node: node.reply(NodeInput.ACK_RUN, "a job of nobody"),
}
"""What a node says so that its session takes the input."""

TOLD = {(SessionInput.REHAB, IDLE): ["abort"]}
"""What the node hears of it; in rehab it was told before, and is not told anew."""


@pytest.mark.proves("P-4b", "T-3")
@pytest.mark.parametrize("state", SessionState)
@pytest.mark.parametrize("what", SessionInput)
def test_an_input_of_a_session(stage: Stage, what: SessionInput, state: SessionState) -> None:
    node = stage.node("a")
    node.say(Heartbeat())
    assert node.told() == ["abort"]
    if state is IDLE:
        node.reply(NodeInput.ABORTED, None)
    assert node.told() == [] and stage.available("a") == (state is IDLE)
    SAY[what](node)
    assert node.told() == TOLD.get((what, state), [])
    target = SESSION_TRANSITIONS.get((what, state), state)
    assert stage.available("a") == (target is IDLE)


@pytest.mark.parametrize("state", SessionState)
def test_an_unknown_message_changes_no_session(stage: Stage, state: SessionState) -> None:
    node = stage.node("a")
    node.say(Heartbeat())
    if state is IDLE:
        node.confirm()
    node.told()
    node.say(Unknown("news"))
    assert node.told() == [] and stage.available("a") == (state is IDLE)


@pytest.mark.proves("P-5a")
@pytest.mark.parametrize("count", [1, 2])
def test_a_new_connection_of_the_same_agent_is_acknowledged_and_keeps_the_session(
    stage: Stage, count: int
) -> None:
    stage.node("a").join()
    for _ in range(count):
        again = stage.node("a")
        again.say(Heartbeat())
        assert again.told() == ["ack"] and stage.available("a")


# Jobs

Way = Callable[[Stage, Speaker], str]


def _vote(stage: Stage, node: Speaker) -> str:
    job_id = stage.start("a")
    assert node.told() == ["commit"] and stage.job(job_id)[0] == "voting"
    return job_id


def _run(stage: Stage, node: Speaker) -> str:
    job_id = _vote(stage, node)
    node.reply(NodeInput.ACK_COMMIT, job_id)
    assert node.told() == ["run"] and stage.job(job_id)[0] == "running"
    return job_id


def _complete(stage: Stage, node: Speaker) -> str:
    job_id = _run(stage, node)
    node.reply(NodeInput.ACK_RUN, job_id)
    node.reply(NodeInput.SUCCEEDED, job_id)
    return job_id


def _time_out(stage: Stage, node: Speaker) -> str:
    job_id = _run(stage, node)
    stage.time_out(job_id)
    return job_id


def _miss_quorum(stage: Stage, node: Speaker) -> str:
    job_id = _vote(stage, node)
    node.reply(NodeInput.NACK_COMMIT, job_id)
    return job_id


def _cancel_vote(stage: Stage, node: Speaker) -> str:
    job_id = _vote(stage, node)
    stage.cancel(job_id, "a")
    return job_id


def _cancel_run(stage: Stage, node: Speaker) -> str:
    job_id = _run(stage, node)
    stage.cancel(job_id, "a")
    node.reply(NodeInput.ABORTED, job_id)
    return job_id


def _too_late(stage: Stage, node: Speaker) -> str:
    with pytest.MonkeyPatch.context() as patch:
        # Any time at all is too long for the caller of this job to wait until it is stored.
        patch.setattr(starts, "ANSWER_TIME", -1.0)
        return stage.start("a")


WAYS: Dict[Tuple[JobStatus, JobStatus], Way] = {
    (JobStatus.VOTING, JobStatus.RUNNING): _run,
    (JobStatus.VOTING, JobStatus.QUORUM_FAILED): _miss_quorum,
    (JobStatus.VOTING, JobStatus.ABORTED): _cancel_vote,
    (JobStatus.VOTING, JobStatus.CRASHED): _too_late,
    (JobStatus.RUNNING, JobStatus.COMPLETE): _complete,
    (JobStatus.RUNNING, JobStatus.TIMED_OUT): _time_out,
    (JobStatus.RUNNING, JobStatus.ABORTED): _cancel_run,
}

UNUSED = {
    # A job is stored as voting, in the transaction in which it comes to be.
    (JobStatus.NEW, JobStatus.VOTING),
    (JobStatus.NEW, JobStatus.CRASHED),
    # A running job survives a restart; the nodes that are lost crash one by one. Only one over Serf
    # that is stored too late crashes as a whole (see test_engine_serf).
    (JobStatus.RUNNING, JobStatus.CRASHED),
}


@pytest.mark.proves("T-4")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0].value}-{way[1].value}")
def test_a_transition_of_a_job(stage: Stage, way: Tuple[JobStatus, JobStatus]) -> None:
    node = stage.node("a")
    node.join()
    job_id = WAYS[way](stage, node)
    node.told()
    assert stage.job(job_id)[0] == way[1].value


def test_all_transitions_of_jobs_are_known() -> None:
    table = {(start, end) for start, ends in JOB_TRANSITIONS.items() for end in ends}
    assert table == set(WAYS) | UNUSED


REPLIES: List[NodeInput] = [
    NodeInput.ACK_COMMIT,
    NodeInput.NACK_COMMIT,
    NodeInput.ACK_RUN,
    NodeInput.NACK_RUN,
    NodeInput.SUCCEEDED,
    NodeInput.FAILED,
    NodeInput.ABORTED,
]


@pytest.mark.proves("T-4")
@pytest.mark.parametrize(
    "end",
    [way for way in WAYS if way[1] in FINAL_JOB],
    ids=lambda way: "-".join(each.value for each in way),
)
def test_nothing_that_a_node_says_changes_a_job_that_ended(
    stage: Stage, end: Tuple[JobStatus, JobStatus]
) -> None:
    node = stage.node("a")
    node.join()
    job_id = WAYS[end](stage, node)
    node.confirm()
    before, events = stage.job(job_id), list(stage.events)
    assert before[0] == end[1].value
    for kind in REPLIES:
        node.reply(kind, job_id)
        assert node.told() == [], f"{kind} of a job that ended a moment ago means nothing"
    node.incarnation = "two"
    node.say(Heartbeat())
    assert node.told() == ["abort"]
    assert stage.job(job_id) == before and stage.events == events
