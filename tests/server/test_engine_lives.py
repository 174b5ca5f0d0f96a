"""Every transition of node sessions and of whole jobs over real CURVE sockets, allowed or not."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Callable, Dict, Iterator, List, Tuple

import pytest
from engine_desk import request
from engine_sockets import Speaker, Stage

from push_jobs_server.engine import starts
from push_jobs_server.records import JobNode, JobRecord
from push_jobs_wire.messages import Heartbeat, Unknown
from push_jobs_wire.states import (
    FINAL_JOB,
    JOB_TRANSITIONS,
    SESSION_TRANSITIONS,
    JobStatus,
    NodeInput,
    NodeStatus,
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


PAUSES = (1, 1, 1, 1, 2, 4)
"""Between the first seven aborts, in intervals."""


@pytest.mark.proves("P-4a")
def test_an_abort_is_repeated_with_growing_pauses_until_it_is_confirmed() -> None:
    interval = 0.02
    with closing(Stage(rehab_interval=interval)) as stage:
        node, began = stage.node("a"), time.monotonic()
        node.say(Heartbeat())
        heard = [node.hear() for _ in range(len(PAUSES) + 1)]
        assert time.monotonic() - began >= sum(PAUSES) * interval
        assert {fields["type"] for fields in heard} == {"abort"}
        # An agent takes no message twice, so they have to differ.
        assert len({fields["sequence"] for fields in heard}) == len(heard)
        node.reply(NodeInput.ABORTED, None)
        node.told()
        stage.repeat_aborts()
        assert node.told() == [] and stage.available("a")


# Jobs

LEFT = "left"
"""The job that an earlier run of the server left."""


def left(status: JobStatus, node: NodeStatus) -> JobRecord:
    """Such a job, of node ``a`` alone, with much time left."""
    now, later = time.time(), time.time() + 600
    limit = later if status is JobStatus.RUNNING else None
    nodes = {"a": JobNode(node)}
    return JobRecord(LEFT, request(("a",)), status, now, now, later, limit, nodes)


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


def _lose(stage: Stage, node: Speaker) -> str:
    # It said so once when it joined; one such heartbeat may be older than the job.
    assert stage.job(LEFT) == ("running", {"a": "running"})
    node.say(Heartbeat())
    return LEFT


def _too_late(stage: Stage, node: Speaker) -> str:
    with pytest.MonkeyPatch.context() as patch:
        # Any time at all is too long for the caller of this job to wait until it is stored.
        patch.setattr(starts, "ANSWER_TIME", -1.0)
        return stage.start("a")


LOST = (JobStatus.RUNNING, JobStatus.CRASHED)
"""The way that begins with a job that the server finds when it starts."""

WAYS: Dict[Tuple[JobStatus, JobStatus], Way] = {
    (JobStatus.VOTING, JobStatus.RUNNING): _run,
    (JobStatus.VOTING, JobStatus.QUORUM_FAILED): _miss_quorum,
    (JobStatus.VOTING, JobStatus.ABORTED): _cancel_vote,
    (JobStatus.VOTING, JobStatus.CRASHED): _too_late,
    (JobStatus.RUNNING, JobStatus.COMPLETE): _complete,
    (JobStatus.RUNNING, JobStatus.TIMED_OUT): _time_out,
    (JobStatus.RUNNING, JobStatus.ABORTED): _cancel_run,
    LOST: _lose,
}

UNUSED = {
    # A job is stored as voting, in the transaction in which it comes to be.
    (JobStatus.NEW, JobStatus.VOTING),
    (JobStatus.NEW, JobStatus.CRASHED),
}


@pytest.fixture
def job_stage(way: Tuple[JobStatus, JobStatus]) -> Iterator[Stage]:
    """A stage for this way of a job."""
    found = [left(JobStatus.RUNNING, NodeStatus.RUNNING)] if way == LOST else []
    with closing(Stage(found)) as stage:
        yield stage


@pytest.mark.proves("T-4")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0].value}-{way[1].value}")
def test_a_transition_of_a_job(job_stage: Stage, way: Tuple[JobStatus, JobStatus]) -> None:
    node = job_stage.node("a")
    node.join()
    job_id = WAYS[way](job_stage, node)
    node.told()
    assert job_stage.job(job_id)[0] == way[1].value


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
    "way",
    [way for way in WAYS if way[1] in FINAL_JOB],
    ids=lambda way: "-".join(each.value for each in way),
)
def test_nothing_that_a_node_says_changes_a_job_that_ended(
    job_stage: Stage, way: Tuple[JobStatus, JobStatus]
) -> None:
    stage, node = job_stage, job_stage.node("a")
    node.join()
    job_id = WAYS[way](stage, node)
    node.confirm()
    before, events = stage.job(job_id), list(stage.events)
    assert before[0] == way[1].value
    for kind in REPLIES:
        node.reply(kind, job_id)
        assert node.told() == [], f"{kind} of a job that ended a moment ago means nothing"
    node.incarnation = "two"
    node.say(Heartbeat())
    assert node.told() == ["abort"]
    assert stage.job(job_id) == before and stage.events == events


@pytest.mark.proves("T-6")
def test_a_vote_that_a_restart_left_open_is_asked_again_and_goes_on() -> None:
    with closing(Stage([left(JobStatus.VOTING, NodeStatus.NEW)])) as stage:
        node = stage.node("a")
        node.say(Heartbeat())
        assert node.told() == ["abort"]
        node.reply(NodeInput.ABORTED, None)
        assert node.told() == ["commit"]
        node.reply(NodeInput.ACK_COMMIT, LEFT)
        assert node.told() == ["run"]
        node.reply(NodeInput.ACK_RUN, LEFT)
        node.reply(NodeInput.SUCCEEDED, LEFT)
        assert node.told() == [] and stage.job(LEFT) == ("complete", {"a": "succeeded"})
