"""Every message in every state of an agent, over real sockets: its answers and where it is then.

One agent, session and runner, for all tests of a kind of server: each leaves it idle.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple
from uuid import uuid4

import pytest
from agent_process import AgentProcess
from raw_server import RawServer, key_of

from push_jobs_wire import framing
from push_jobs_wire.messages import (
    Abort,
    Ack,
    Commit,
    Confirm,
    OutputAck,
    Run,
    ServerMessage,
    encode_server,
)
from push_jobs_wire.states import AGENT_TRANSITIONS, AgentInput, AgentState

pytestmark = pytest.mark.e2e

WAITS = 'while [ ! -e "go-$CHEF_PUSH_JOB_ID" ]; do sleep 0.02; done'
IDLE, COMMITTED, RUNNING = AgentState.IDLE, AgentState.COMMITTED, AgentState.RUNNING


class Scene:
    """An agent and the server that speaks to it; ``job`` is the job of this test."""

    def __init__(self, server: RawServer, agent: AgentProcess) -> None:
        self.server = server
        self.agent = agent
        self.job = ""
        self.other = ""

    def lead(self, state: AgentState) -> None:
        """Bring the agent into a state with a job that is new to it."""
        self.job, self.other = uuid4().hex, uuid4().hex
        if state is not IDLE:
            self.server.say(Commit(self.job, "waits"))
            self.server.expect("ack_commit", job_id=self.job)
        if state is RUNNING:
            self.server.say(Run(self.job))
            self.server.expect("ack_run", job_id=self.job)
        assert self.settle() == []
        assert self.state() == (state, None if state is IDLE else self.job)

    def settle(self) -> List[Tuple[str, Optional[str]]]:
        """What the agent has answered by now, as (type, job id).

        It refuses to run a job that nobody asked about in any state, after all it had to say.
        """
        mark = uuid4().hex
        self.server.say(Run(mark))
        answers: List[Tuple[str, Optional[str]]] = []
        while True:
            self.server.until(lambda: bool(self.server.heard), "an answer")
            body = self.server.heard.popleft()
            if (body["type"], body["job_id"]) == ("nack_run", mark):
                return answers
            if body["type"] != "heartbeat":
                answers.append((body["type"], body["job_id"]))

    def state(self) -> Tuple[AgentState, Optional[str]]:
        """The state and job that the next heartbeat tells; call it after ``settle``."""
        self.server.heard.clear()
        beat = self.server.expect("heartbeat")
        return AgentState(beat["job_state"]), beat["job_id"]

    def finish(self) -> None:
        """Let the job end by itself."""
        (self.agent.folder / f"go-{self.job}").touch()

    def clear(self) -> None:
        """Be idle again."""
        self.server.say(Abort())
        self.server.expect("aborted")


@pytest.fixture(scope="module", params=[1, 0], ids=["ours", "old server"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("transitions")
    server = RawServer(folder, request.param, interval=0.1)
    node = folder / "node"
    whitelist: Dict[str, Any] = {
        "waits": {"command_line": WAITS, "shell": True, "dir": str(node)},
        "away": {"command_line": "true", "dir": str(node / "away")},
    }
    agent = AgentProcess(node, server.url, server.ca_file, key_of("web1"), whitelist)
    agent.start()
    server.expect("heartbeat")
    server.expect("heartbeat")
    yield Scene(server, agent)
    agent.close()
    server.close()


@pytest.fixture
def scene(running: Scene) -> Iterator[Scene]:
    yield running
    running.clear()


def say(scene: Scene, what: str) -> None:
    """Send a message that a table below names."""
    messages: Dict[str, ServerMessage] = {
        "commit": Commit(scene.job, "waits"),
        "another commit": Commit(scene.other, "waits"),
        "a commit of nothing that is listed": Commit(scene.other, "reboot"),
        "run": Run(scene.job),
        "another run": Run(scene.other),
        "abort": Abort(),
        "ack": Ack(),
        "confirm": Confirm(scene.other),
        "output_ack": OutputAck(scene.other, "stdout", 1, 1),
    }
    if what in messages:
        scene.server.say(messages[what])
    else:
        scene.server.say_raw(*frames(scene, what))


def frames(scene: Scene, what: str) -> List[bytes]:
    """A message that is none, or a forged one."""
    stamp = framing.format_timestamp(time.time())
    kind = "news" if what == "an unknown type" else "abort"
    body = json.dumps({"type": kind, "timestamp": stamp, "mark": uuid4().hex}).encode()
    signed = framing.seal_hmac(scene.server.session_key, body)
    return {
        "an unknown type": [signed, body],
        "one frame": [body],
        "forged": [framing.seal_hmac(b"x" * 32, body), body],
        "half a body": [signed, body[:-5]],
    }[what]


# What is said and where; the answers, of this job or the other; and the state that follows.
Row = Tuple[str, AgentState, List[Tuple[str, str]], AgentState]

MOVES: Dict[Tuple[AgentInput, AgentState], Row] = {
    (AgentInput.ACCEPTED, IDLE): ("commit", IDLE, [("ack_commit", "job")], COMMITTED),
    (AgentInput.STARTED, COMMITTED): ("run", COMMITTED, [("ack_run", "job")], RUNNING),
    (AgentInput.ABORT, COMMITTED): ("abort", COMMITTED, [("aborted", "job")], IDLE),
    (AgentInput.ENDED, RUNNING): ("abort", RUNNING, [("aborted", "job")], IDLE),
}

STAYS: List[Row] = [
    ("run", IDLE, [("nack_run", "job")], IDLE),
    ("abort", IDLE, [("aborted", "none")], IDLE),
    ("commit", COMMITTED, [("ack_commit", "job")], COMMITTED),
    ("commit", RUNNING, [("nack_commit", "job")], RUNNING),
    ("run", RUNNING, [("ack_run", "job")], RUNNING),
    ("another commit", COMMITTED, [("nack_commit", "other")], COMMITTED),
    ("another commit", RUNNING, [("nack_commit", "other")], RUNNING),
]

REFUSED = {"a commit of nothing that is listed": "nack_commit", "another run": "nack_run"}
STAYS += [
    (what, state, [(answer, "other")], state)
    for state in AgentState
    for what, answer in REFUSED.items()
]

UNANSWERED = ["ack", "confirm", "output_ack", "an unknown type", "one frame", "forged"]
UNANSWERED += ["half a body"]


def name_of(row: Row) -> str:
    return f"{row[0]} while {row[1].value}"


@pytest.mark.proves("P-12a", "T-5")
@pytest.mark.parametrize("row", [*MOVES.values(), *STAYS], ids=name_of)
def test_a_message_in_a_state(scene: Scene, row: Row) -> None:
    what, state, expected, target = row
    scene.lead(state)
    say(scene, what)
    jobs = {"job": scene.job, "other": scene.other, "none": None}
    answers = [(kind, jobs[job]) for kind, job in expected]
    for kind, job in answers:
        scene.server.expect(kind, job_id=job)
    assert scene.settle() == []
    assert scene.state() == (target, None if target is IDLE else scene.job)


@pytest.mark.proves("P-13a", "T-5")
@pytest.mark.parametrize("state", AgentState)
def test_what_asks_for_nothing_is_not_answered(scene: Scene, state: AgentState) -> None:
    scene.lead(state)
    for what in UNANSWERED:
        say(scene, what)
        assert scene.settle() == [], what
    assert scene.state() == (state, None if state is IDLE else scene.job)


@pytest.mark.proves("P-13b")
def test_unknown_fields_change_nothing(scene: Scene) -> None:
    scene.lead(IDLE)
    steps: Dict[str, ServerMessage] = {
        "ack_commit": Commit(scene.job, "waits"),
        "ack_run": Run(scene.job),
    }
    for answer, message in steps.items():
        fields = json.loads(encode_server(message, 1, framing.format_timestamp(time.time())))
        body = json.dumps({**fields, "news": [{"from": "the future"}], "node": 7}).encode()
        scene.server.say_raw(framing.seal_hmac(scene.server.session_key, body), body)
        scene.server.expect(answer, job_id=scene.job)


@pytest.mark.proves("P-12b", "T-5")
def test_a_job_that_ends_by_itself_frees_the_agent(scene: Scene) -> None:
    scene.lead(RUNNING)
    scene.finish()
    scene.server.expect("succeeded", job_id=scene.job)
    scene.settle()
    assert scene.state() == (IDLE, None)


@pytest.mark.proves("T-5")
def test_a_start_that_fails_frees_the_agent(scene: Scene) -> None:
    away, job = scene.agent.folder / "away", uuid4().hex
    away.mkdir()
    scene.server.say(Commit(job, "away"))
    scene.server.expect("ack_commit", job_id=job)
    away.rmdir()
    scene.server.say(Run(job))
    refusal = scene.server.expect("nack_run", job_id=job)
    assert ("away" in refusal.get("reason", "")) == bool(scene.server.extensions)
    scene.settle()
    assert scene.state() == (IDLE, None)


def test_all_transitions_of_the_table_are_tried() -> None:
    failed_start = (AgentInput.ENDED, COMMITTED)
    assert {*MOVES, failed_start} == set(AGENT_TRANSITIONS)
    assert all(AGENT_TRANSITIONS[key] is row[3] for key, row in MOVES.items())
