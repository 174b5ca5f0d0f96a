"""Every input in every state of a node in a job, over real CURVE sockets, allowed or not.

The tables themselves are held against the specification in ``tests/wire/test_states.py``. Here a
node that says anything at any time meets a running engine, which has to do what its tables say:
status, events, and the abort that the node hears. Old agents are spoken for, since our own prove
more with each message.
"""

from __future__ import annotations

import time
from typing import Dict, Iterator, List, Tuple

import pytest
from engine_desk import request
from engine_sockets import Speaker, Stage

from push_jobs_server.records import JobNode, JobRecord
from push_jobs_wire.messages import Heartbeat
from push_jobs_wire.states import (
    NODE_IN_RUNNING,
    NODE_IN_VOTING,
    JobStatus,
    NodeInput,
    NodeStatus,
    Step,
)

VOTING, RUNNING = JobStatus.VOTING, JobStatus.RUNNING
TABLES = {VOTING: NODE_IN_VOTING, RUNNING: NODE_IN_RUNNING}
ACK, NACK, ACK_RUN = NodeInput.ACK_COMMIT, NodeInput.NACK_COMMIT, NodeInput.ACK_RUN
ABORTED, CANCELLED = NodeInput.ABORTED, NodeInput.CANCELLED
TIMEOUTS = (NodeInput.VOTING_TIMEOUT, NodeInput.RUN_TIMEOUT)

Steps = Tuple[NodeInput, ...]
Case = Tuple[JobStatus, NodeInput, NodeStatus]

WAYS: Dict[Tuple[JobStatus, NodeStatus], Tuple[Steps, Steps]] = {
    (VOTING, NodeStatus.NEW): ((), ()),
    (VOTING, NodeStatus.READY): ((ACK,), ()),
    (VOTING, NodeStatus.NACKED): ((NACK,), ()),
    (VOTING, NodeStatus.UNAVAILABLE): ((ABORTED,), ()),
    (VOTING, NodeStatus.WAS_READY): ((ACK, CANCELLED), ()),
    (RUNNING, NodeStatus.READY): ((ACK,), ()),
    (RUNNING, NodeStatus.RUNNING): ((ACK,), (ACK_RUN,)),
    (RUNNING, NodeStatus.SUCCEEDED): ((ACK,), (ACK_RUN, NodeInput.SUCCEEDED)),
    (RUNNING, NodeStatus.FAILED): ((ACK,), (ACK_RUN, NodeInput.FAILED)),
    (RUNNING, NodeStatus.CRASHED): ((ACK,), (ABORTED,)),
    (RUNNING, NodeStatus.ABORTED): ((ACK,), (ACK_RUN, CANCELLED)),
    (RUNNING, NodeStatus.NACKED): ((NACK,), ()),
    (RUNNING, NodeStatus.UNAVAILABLE): ((ABORTED,), ()),
    (RUNNING, NodeStatus.WAS_READY): ((ACK, CANCELLED), ()),
}
"""How a node gets into a status: what it says while its job votes, and then while the job runs."""

NEVER = {(VOTING, NodeStatus.RUNNING), (RUNNING, NodeStatus.NEW)}
"""Not even a stored job can be like that."""

FROM_STORE = {(phase, status) for phase in TABLES for status in NodeStatus} - set(WAYS) - NEVER
"""What no message leads to while the job goes on: such jobs are left by an earlier server."""

OVER_SERF = {NodeInput.REFUSED}
"""What only nodes say that have no vote: test_engine_serf."""

NO_SUCH_TIMER = {(VOTING, NodeInput.RUN_TIMEOUT), (RUNNING, NodeInput.VOTING_TIMEOUT)}

CASES: List[Case] = [
    (phase, what, status)
    for phase in TABLES
    for what in NodeInput
    for status in NodeStatus
    if what not in OVER_SERF and (phase, status) not in NEVER and (phase, what) not in NO_SUCH_TIMER
]


def name_of(case: Case) -> str:
    phase, what, status = case
    return f"{phase.value}-{what.value}-{status.value}"


def stored(case: Case) -> JobRecord:
    phase, _, status = case
    other = NodeStatus.NEW if phase is VOTING else NodeStatus.RUNNING
    now, name = time.time(), name_of(case)
    return JobRecord(
        name,
        request((name, "away"), quorum=1),
        phase,
        created_at=now,
        updated_at=now,
        voting_deadline=now + 600,
        run_deadline=now + 600 if phase is RUNNING else None,
        nodes={name: JobNode(status), "away": JobNode(other)},
    )


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    made = Stage([stored(case) for case in CASES if (case[0], case[2]) in FROM_STORE])
    yield made
    made.close()


class Scene:
    """One node in one job; another node keeps the vote or the run open."""

    def __init__(self, stage: Stage, case: Case) -> None:
        self.stage = stage
        self.name = name_of(case)
        self.node = stage.node(self.name)
        self.speakers: List[Speaker] = [self.node]
        self.node.join()
        phase, _, status = case
        if (phase, status) in FROM_STORE:
            self.job_id = self.name
        else:
            self._lead(phase, *WAYS[phase, status])
        assert self.state() == (phase.value, status.value)

    def _lead(self, phase: JobStatus, voting: Steps, running: Steps) -> None:
        other = self.stage.node(f"other-{self.name}")
        self.speakers.append(other)
        other.join()
        self.job_id = self.stage.start(self.name, other.name, quorum=1)
        for what in voting:
            self.put_in(VOTING, what)
            self.node.confirm()
        if phase is RUNNING:
            other.reply(ACK, self.job_id)
            other.told()
        for what in running:
            self.put_in(RUNNING, what)
            self.node.confirm()

    def put_in(self, phase: JobStatus, what: NodeInput) -> None:
        """Let the job hear this of the node."""
        if what in TIMEOUTS:
            self.stage.time_out(self.job_id)
        elif what is NodeInput.DOWN:
            self.node.incarnation = "two"
            self.node.say(Heartbeat())
        elif what is CANCELLED:
            _, status = self.state()
            self.stage.cancel(self.job_id, self.name)
            if phase is RUNNING and not NodeStatus(status).final:
                self.node.reply(ABORTED, self.job_id)
        else:
            self.node.reply(what, self.job_id)

    def state(self) -> Tuple[str, str]:
        """The status of the job, and of the node in it."""
        job, nodes = self.stage.job(self.job_id)
        return job, nodes[self.name]

    def events(self) -> List[Tuple[str, str]]:
        """What feeds were told of the node, with its status words."""
        return self.stage.told(self.job_id, self.name)


def step_of(case: Case) -> Step:
    phase, what, status = case
    cancelled = CANCELLED in sum(WAYS.get((phase, status), ((), ())), ())
    if what is ABORTED and cancelled:
        return Step()  # it was told to stop, and says once more that it did
    return TABLES[phase].get((what, status), Step())


def events_of(step: Step) -> List[Tuple[str, str]]:
    event = [] if step.event is None else [step.event]
    rehab = [("rehab", "")] if step.rehab else []
    return [*event, *rehab] if step.rehab_last else [*rehab, *event]


def aborts(case: Case, step: Step) -> bool:
    """Whether the node hears ``abort``; for these three no feed tells it (pushy-api 5.3)."""
    silent = case[1] in (*TIMEOUTS, CANCELLED) and step.status is not None
    return step.rehab or silent or case[1] is NodeInput.DOWN  # which comes with a new start


@pytest.mark.proves("T-1", "T-2")
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_an_input_in_a_state(stage: Stage, case: Case) -> None:
    scene, step = Scene(stage, case), step_of(case)
    before = len(scene.events())
    scene.put_in(case[0], case[1])
    assert ("abort" in scene.node.told()) == aborts(case, step)
    assert scene.state()[1] == (step.status or case[2]).value
    assert scene.events()[before:] == events_of(step)
    stage.hang_up(scene.speakers)


def test_the_cases_are_the_tables() -> None:
    rows = {
        (phase, *key) for phase, table in TABLES.items() for key in table if key[0] not in OVER_SERF
    }
    assert rows <= set(CASES)
