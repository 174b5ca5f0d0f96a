"""The events that a job gives out, in their order (pushy-api 5.3), and when they are shown."""

from __future__ import annotations

from typing import List

import pytest
from engine_desk import EngineDesk

from push_jobs_wire.states import AgentState, NodeInput

ACK, NACK = NodeInput.ACK_COMMIT, NodeInput.NACK_COMMIT
RUN, NO_RUN = NodeInput.ACK_RUN, NodeInput.NACK_RUN
GOOD, BAD, ABORTED = NodeInput.SUCCEEDED, NodeInput.FAILED, NodeInput.ABORTED


def seen(desk: EngineDesk, node: str = "a") -> List[str]:
    """The events so far, once all is stored; the name of the node is left out."""
    desk.store()
    gists = []
    for event in desk.events:
        words = [event.name, event.data.get("node"), event.data.get("status")]
        gists.append(" ".join(word for word in words if word and word != node))
    return gists


@pytest.mark.proves("A-17c")
@pytest.mark.parametrize(
    "replies, events",
    [
        (
            [ACK, RUN, GOOD],
            ["vote success", "quorum_succeeded", "run_start", "done success", "end complete"],
        ),
        (
            [ACK, RUN, BAD],
            ["vote success", "quorum_succeeded", "run_start", "done failure", "end complete"],
        ),
        ([NACK], ["vote failure", "end quorum_failed"]),
        ([GOOD], ["rehab", "end quorum_failed"]),
        ([RUN], ["rehab", "end quorum_failed"]),
        (
            [ACK, NO_RUN],
            ["vote success", "quorum_succeeded", "rehab", "done run_nacked", "end complete"],
        ),
        (
            [ACK, RUN, NO_RUN],
            [
                *("vote success", "quorum_succeeded", "run_start", "rehab"),
                *("done run_nacked_while_running", "end complete"),
            ],
        ),
        (
            [ACK, GOOD],
            ["vote success", "quorum_succeeded", "rehab", "done crashed", "end complete"],
        ),
        (
            [ACK, RUN, ABORTED],
            [
                *("vote success", "quorum_succeeded", "run_start"),
                *("rehab", "done crashed", "end complete"),
            ],
        ),
    ],
)
def test_one_node(replies: List[NodeInput], events: List[str]) -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    desk.start()
    for reply in replies:
        desk.reply("a", reply)
    words = {"vote": "quorum_vote", "done": "run_complete", "end": "job_complete"}
    full = [" ".join([words.get(w, w) for w in event.split()]) for event in events]
    assert seen(desk) == ["start", *full]


@pytest.mark.proves("A-17c")
@pytest.mark.parametrize(
    "replies, events",
    [
        ([ACK, ACK], ["quorum_vote success", "quorum_vote unexpected_commit"]),
        ([ACK, NACK], ["quorum_vote success", "rehab", "quorum_vote lost_availibility"]),
        (
            [NACK, ACK],
            ["quorum_vote failure", "rehab", "quorum_vote client_died_while_voting"],
        ),
    ],
)
def test_one_node_while_the_other_votes(replies: List[NodeInput], events: List[str]) -> None:
    desk = EngineDesk()
    desk.old_agents("a", "b")
    desk.start(nodes=("a", "b"), quorum=1)
    for reply in replies:
        desk.reply("a", reply)
    assert seen(desk) == ["start", *events]


@pytest.mark.proves("A-17c")
@pytest.mark.parametrize(
    "reply, events",
    [
        (RUN, ["run_complete client_died_while_running", "rehab"]),
        (GOOD, ["rehab", "run_complete client_died_while_running"]),
    ],
)
def test_a_node_that_was_done_speaks_again_while_the_other_runs(
    reply: NodeInput, events: List[str]
) -> None:
    desk = EngineDesk()
    desk.old_agents("a", "b")
    desk.start(nodes=("a", "b"), quorum=1)
    desk.reply("b", ACK)
    desk.reply("a", NACK)
    desk.store()
    desk.events.clear()
    desk.reply("a", reply)
    assert seen(desk) == events


@pytest.mark.proves("A-17c")
def test_a_node_that_goes_down() -> None:
    desk = EngineDesk()
    desk.old_agents("a", "b")
    desk.start(nodes=("a", "b"), quorum=1)
    desk.reply("a", NACK)
    desk.wait(1)
    desk.beat("a", incarnation="two")
    once_more = ["quorum_vote down", "rehab"]
    assert seen(desk) == ["start", "quorum_vote failure", *once_more]
    assert desk.job() == ("voting", {"a": "nacked", "b": "new"})
    desk.beat("b", incarnation="two")
    assert seen(desk, "b")[-3:] == ["quorum_vote down", "rehab", "job_complete quorum_failed"]


@pytest.mark.proves("A-17c")
def test_an_unknown_node() -> None:
    desk = EngineDesk()
    desk.start(nodes=("a",))
    assert seen(desk) == ["start", "quorum_vote down", "rehab", "job_complete quorum_failed"]


@pytest.mark.proves("A-17c")
def test_the_voting_timeout_tells_no_rehab() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    desk.start()
    for _ in range(6):
        desk.wait(10)
        desk.beat("a", state=AgentState.IDLE)
    assert seen(desk) == ["start", "quorum_vote voting_timeout", "job_complete quorum_failed"]


@pytest.mark.proves("A-17c")
def test_the_run_timeout_tells_nothing_of_nodes() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    desk.start(run_timeout=5)
    desk.reply("a", ACK)
    desk.wait(5)
    expected = ["start", "quorum_vote success", "quorum_succeeded", "job_complete timed_out"]
    assert seen(desk) == expected


def test_a_lost_acknowledgement_is_told_once_the_result_proves_the_start() -> None:
    desk = EngineDesk()
    desk.beat("a", extensions=1, jobs=())
    desk.start()
    desk.reply("a", GOOD, started_at=desk.now)
    assert seen(desk) == [
        *("start", "quorum_vote success", "quorum_succeeded", "run_start"),
        *("run_complete success", "job_complete complete"),
    ]


def test_quorum_zero_without_a_node() -> None:
    desk = EngineDesk()
    desk.start(nodes=("a",), quorum=0)
    assert seen(desk)[-2:] == ["quorum_succeeded", "job_complete complete"]


def test_nothing_is_told_before_it_is_stored_and_the_start_before_the_answer() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    desk.ask()
    assert desk.events == []
    desk.store()
    assert [event.name for event in desk.events] == ["start"]
    desk.reply("a", ACK)
    desk.reply("a", RUN)
    desk.reply("a", GOOD)
    assert [event.name for event in desk.events] == ["start"]
    assert seen(desk)[-1] == "job_complete complete"


def test_an_event_without_a_change_waits_for_those_before_it() -> None:
    desk = EngineDesk()
    desk.old_agents("a", "b")
    desk.start(nodes=("a", "b"))
    desk.reply("a", ACK)
    desk.reply("a", ACK)
    assert [event.name for event in desk.events] == ["start"]
    assert seen(desk)[1:] == ["quorum_vote success", "quorum_vote unexpected_commit"]
