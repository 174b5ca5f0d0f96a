"""Jobs and runs as the Shovey API shows them, where hardly any job gets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stored_jobs import job

from push_jobs_server.api.shovey_documents import NEVER, job_document, moment, run_document
from push_jobs_server.records import Cancel, JobNode, JobRecord, Outcome
from push_jobs_wire.states import JobStatus, NodeStatus


def with_node(part: JobNode, status: JobStatus = JobStatus.COMPLETE, *cancels: Cancel) -> JobRecord:
    """A job that has ended on one node."""
    record = job(nodes=("n1",), status=status, created_at=1000.0)
    return replace(record, nodes={"n1": part}, updated_at=1900.0, cancels=cancels)


@pytest.mark.parametrize(
    "outcome, shown",
    [
        (Outcome(exit_code=0), 0),
        (Outcome(exit_code=3), 3),
        (Outcome(exit_code=256 + 3), 3),
        (Outcome(signal=9), 255),
        (Outcome(), 0),
    ],
)
def test_what_ended_by_a_signal_has_the_exit_status_255(outcome: Outcome, shown: int) -> None:
    record = with_node(JobNode(NodeStatus.FAILED, outcome))
    assert run_document(record, "n1", None, "", "")["exit_status"] == shown


def test_a_part_that_was_cancelled_twice_ended_with_the_first_cancel() -> None:
    first, second = (Cancel("alice", "user", at, ("n1",)) for at in (1100.0, 1200.0))
    others = Cancel("alice", "user", 1050.0, ("n2",))
    part = JobNode(NodeStatus.ABORTED)
    record = with_node(part, JobStatus.ABORTED, others, second, first)
    assert run_document(record, "n1", None, "", "")["end_time"] == moment(1100.0)
    record = with_node(part, JobStatus.ABORTED, others)
    assert run_document(record, "n1", None, "", "")["end_time"] == moment(1900.0)
    record = with_node(JobNode(NodeStatus.RUNNING), JobStatus.RUNNING, first)
    assert run_document(record, "n1", None, "", "")["end_time"] == NEVER


@pytest.mark.parametrize("status", [JobStatus.QUORUM_FAILED, JobStatus.CRASHED])
def test_a_job_that_did_not_begin_shows_no_nodes(status: JobStatus) -> None:
    part = JobNode(NodeStatus.UNAVAILABLE, Outcome(reason="the server was restarted"))
    assert job_document(with_node(part, status), {})["nodes"] == {}
    assert job_document(with_node(part), {})["nodes"] == {"down": ["n1"]}


def test_a_job_that_a_restart_lost_shows_where_it_ran() -> None:
    record = with_node(JobNode(NodeStatus.CRASHED), JobStatus.CRASHED)
    record = replace(record, nodes={**record.nodes, "n2": JobNode(NodeStatus.UNAVAILABLE)})
    shown = job_document(record, {})
    assert (shown["status"], shown["nodes"]) == ("job_failed", {"killed": ["n1"], "down": ["n2"]})
