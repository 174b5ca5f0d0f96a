"""The transition tables, row by row against pushy-api 5.3."""

from __future__ import annotations

from typing import Optional, Tuple

import pytest

from push_jobs_wire.states import (
    FINAL_JOB,
    JOB_TRANSITIONS,
    NODE_IN_RUNNING,
    NODE_IN_VOTING,
    OPEN_NODE,
    SESSION_TRANSITIONS,
    JobStatus,
    NodeInput,
    NodeStatus,
    SessionInput,
    SessionState,
    Step,
)

FINAL: Tuple[str, ...] = (
    "succeeded",
    "failed",
    "aborted",
    "unavailable",
    "nacked",
    "crashed",
    "was_ready",
)
FINAL += ("timed_out",)
OTHER_IN_VOTING = ("ack_run", "nack_run", "succeeded", "failed", "aborted")
LOST_IN_RUNNING = ("down", "aborted", "ack_commit", "nack_commit")

# inputs, statuses, next status, word of the event, rehab
Row = Tuple[Tuple[str, ...], Tuple[str, ...], Optional[str], Optional[str], bool]

VOTING: Tuple[Row, ...] = (
    (("ack_commit",), ("new",), "ready", "success", False),
    (("ack_commit",), ("ready",), None, "unexpected_commit", False),
    (("ack_commit", "nack_commit"), FINAL, None, "client_died_while_voting", True),
    (("nack_commit",), ("new",), "nacked", "failure", False),
    (("nack_commit",), ("ready",), "unavailable", "lost_availibility", True),
    (("down",), ("new", "ready"), "unavailable", "down", True),
    (("down",), FINAL, None, "down", True),
    (OTHER_IN_VOTING, ("new", "ready"), "unavailable", None, True),
    (OTHER_IN_VOTING, FINAL, None, None, True),
    (("voting_timeout",), ("new",), "unavailable", "voting_timeout", False),
    (("cancelled",), ("new",), "unavailable", None, True),
    (("cancelled",), ("ready",), "was_ready", None, True),
)

RUNNING: Tuple[Row, ...] = (
    (("ack_run",), ("ready",), "running", "", False),
    (("ack_run",), FINAL, None, "client_died_while_running", True),
    (("nack_run",), ("ready",), "failed", "run_nacked", True),
    (("nack_run",), ("running",), "failed", "run_nacked_while_running", True),
    (("refused",), ("ready",), "nacked", "run_nacked", False),
    (("refused",), ("running",), "failed", "run_nacked_while_running", False),
    (("succeeded",), ("running",), "succeeded", "success", False),
    (("failed",), ("running",), "failed", "failure", False),
    (("succeeded", "failed"), ("ready",), "crashed", "crashed", True),
    (LOST_IN_RUNNING, ("ready", "running"), "crashed", "crashed", True),
    (
        (*LOST_IN_RUNNING, "nack_run", "succeeded", "failed"),
        FINAL,
        None,
        "client_died_while_running",
        True,
    ),
    (("run_timeout",), ("ready", "running"), "timed_out", None, False),
    (("cancelled",), ("ready", "running"), "aborted", "aborted", False),
)


def step_of(row: Row, name: str) -> Step:
    word = row[3]
    if word == "":
        name = "run_start"
    event = None if word is None else (name, word)
    rehab_last = row[4] and row[0] in (("down",), ("ack_run",))
    return Step(None if row[2] is None else NodeStatus(row[2]), event, row[4], rehab_last)


@pytest.mark.parametrize("row", VOTING)
def test_rows_of_the_vote(row: Row) -> None:
    for what in row[0]:
        for status in row[1]:
            found = NODE_IN_VOTING[NodeInput(what), NodeStatus(status)]
            assert found == step_of(row, "quorum_vote"), (what, status)


@pytest.mark.parametrize("row", RUNNING)
def test_rows_of_the_run(row: Row) -> None:
    for what in row[0]:
        for status in row[1]:
            found = NODE_IN_RUNNING[NodeInput(what), NodeStatus(status)]
            assert found == step_of(row, "run_complete"), (what, status)


def test_the_tables_hold_no_other_rows() -> None:
    for table, rows in ((NODE_IN_VOTING, VOTING), (NODE_IN_RUNNING, RUNNING)):
        known = {
            (NodeInput(what), NodeStatus(status))
            for row in rows
            for what in row[0]
            for status in row[1]
        }
        assert set(table) == known


def test_final_nodes_are_never_left() -> None:
    assert {status.value for status in NodeStatus if status.final} == set(FINAL)
    for table in (NODE_IN_VOTING, NODE_IN_RUNNING):
        assert not [key for key, step in table.items() if key[1].final and step.status]


def test_final_jobs_are_never_left() -> None:
    assert not FINAL_JOB & set(JOB_TRANSITIONS)
    assert {status for status in JobStatus if not status.final} == set(JOB_TRANSITIONS)


def test_every_open_status_can_end() -> None:
    assert OPEN_NODE == {NodeStatus.NEW, NodeStatus.READY, NodeStatus.RUNNING}
    for targets in JOB_TRANSITIONS.values():
        assert JobStatus.CRASHED in targets


def test_a_node_session_leaves_rehab_only_by_word_of_the_node() -> None:
    out = {what for (what, state) in SESSION_TRANSITIONS if state is SessionState.REHAB}
    assert out == {SessionInput.ABORTED, SessionInput.ADOPTED}
