"""The store, on SQLite and PostgreSQL: what is written is found again, by the right people only."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import List, Optional

import pytest
from sqlalchemy import delete, func, select
from stored_jobs import NODES, created, job, job_id

from push_jobs_server.records import (
    Change,
    Grant,
    GrantStored,
    JobChanged,
    JobCreated,
    JobNode,
    LateResult,
    NodeChanged,
    Outcome,
    OutputStored,
    SessionKeyStored,
)
from push_jobs_server.store import Store, StoreError, StoreUnavailable
from push_jobs_server.store.changes import GRANTS_KEPT
from push_jobs_server.store.tables import job_inputs, job_nodes, jobs, late_results, outputs
from push_jobs_wire.states import JobStatus, NodeStatus

ONE = job_id(1)
FAILED = Outcome(exit_code=3, started_at=1001.25, ended_at=1002.75)
SUCCEEDED = Outcome(exit_code=0, started_at=1001.0, ended_at=1009.0)


def node(store: Store, name: str = "web1", number: int = 1) -> JobNode:
    record = store.job("acme", job_id(number))
    assert record is not None
    return record.nodes[name]


def end(name: str, status: NodeStatus, outcome: Outcome = Outcome()) -> NodeChanged:
    return NodeChanged(ONE, name, status, outcome)


# Jobs


def test_a_job_comes_back_as_it_was_stored(store: Store) -> None:
    record = job(
        user="deploy",
        dir="/srv/a b",
        env={"A": "1", "PATH": "\u00e4\0", "B": "\ud800"},
        file="raw:a:b\0\ud800\u00fc",
        capture=True,
        quorum=2,
    )
    record = replace(record, run_deadline=2000.125)
    record = replace(record, nodes={name: JobNode(NodeStatus.READY, FAILED) for name in NODES})
    store.write([created(2), JobCreated(record)])
    assert store.job("acme", ONE) == record


@pytest.mark.parametrize("file", [None, "raw:", "base64:", "base64:QUJD", "raw:base64:x"])
@pytest.mark.parametrize("env", [None, {}, {"A": ""}])
def test_inputs_keep_absent_and_empty_apart(
    store: Store, file: Optional[str], env: Optional[dict[str, str]]
) -> None:
    store.write([created(file=file, env=env)])
    found = store.job("acme", ONE)
    assert found is not None
    assert (found.request.file, found.request.env) == (file, env)


def test_nodes_keep_the_order_of_the_request(store: Store) -> None:
    names = tuple(f"node{number * 7919 % 1000}" for number in range(1000))
    store.write([created(nodes=names)])
    found = store.job("acme", ONE)
    assert found is not None
    assert found.request.nodes == names
    assert tuple(found.nodes) == names


def test_jobs_are_listed_oldest_first_without_large_parts(store: Store) -> None:
    store.write(
        [created(2, created_at=5.0), created(9, created_at=4.0), created(1, created_at=5.0)]
    )
    store.write([created(3, created_at=6.0, file="base64:QUJD", env={"A": "1"})])
    store.write([created(4, org="other")])
    listed = store.jobs("acme")
    assert [record.id for record in listed] == [job_id(number) for number in (9, 1, 2, 3)]
    assert all(record.nodes == {} and record.request.nodes == () for record in listed)
    assert (listed[3].request.file, listed[3].request.env) == ("base64:", {"A": "1"})
    assert listed[0].request.file is None
    assert store.jobs("nobody") == []


def test_another_organization_sees_nothing_of_a_job(store: Store) -> None:
    store.write(
        [created(), end("web1", NodeStatus.SUCCEEDED), OutputStored(ONE, "web1", b"o", b"e")]
    )
    assert store.job("other", ONE) is None
    assert store.output("other", ONE, "web1", "stdout") is None
    assert store.job_for_request("other", "request 1") is None
    assert store.jobs("other") == []


@pytest.mark.parametrize(
    "unknown", ["", "x" * 5000, "%", "0" * 31 + "2", ONE.upper() + "0", "\u00e4"]
)
def test_any_text_may_be_asked_for_as_a_job_id(store: Store, unknown: str) -> None:
    store.write([created()])
    assert store.job("acme", unknown) is None
    assert store.output("acme", unknown, "web1", "stdout") is None


def test_a_signed_request_leads_to_its_job(store: Store) -> None:
    store.write([created(), created(2, org="other", request_key="request 1")])
    store.write([created(3, request_key=None), created(4, request_key=None)])
    assert store.job_for_request("acme", "request 1") == ONE
    assert store.job_for_request("other", "request 1") == job_id(2)
    assert store.job_for_request("acme", "request 2") is None


def test_unfinished_jobs_of_all_organizations_come_with_their_nodes(store: Store) -> None:
    store.write(
        [created(number, status=status) for number, status in enumerate(JobStatus, start=10)]
        + [created(2, org="other", created_at=1.0)]
    )
    found = store.unfinished()
    assert [record.status for record in found[1:]] == [
        JobStatus.NEW,
        JobStatus.VOTING,
        JobStatus.RUNNING,
    ]
    assert (found[0].id, found[0].request.org) == (job_id(2), "other")
    assert all(tuple(record.nodes) == NODES for record in found)


# Changes


def test_changes_of_jobs_and_nodes_count(store: Store) -> None:
    store.write([created(), created(2)])
    store.write([JobChanged(ONE, JobStatus.RUNNING, 1003.5, 4603.5)])
    store.write([end("web1", NodeStatus.FAILED, Outcome(None, 9, "killed", 1001.25, 1002.75))])
    found = store.job("acme", ONE)
    assert found is not None
    assert (found.status, found.updated_at) == (JobStatus.RUNNING, 1003.5)
    assert (found.created_at, found.run_deadline) == (1000.5, 4603.5)
    assert found.nodes["web1"].status is NodeStatus.FAILED
    assert found.nodes["web1"].outcome == Outcome(None, 9, "killed", 1001.25, 1002.75)
    assert found.nodes["db1"] == JobNode()
    assert store.job("acme", job_id(2)) == job(2)


def test_of_several_changes_in_one_transaction_the_last_counts(store: Store) -> None:
    store.write(
        [
            JobChanged(ONE, JobStatus.RUNNING, 1.0, 2.0),
            end("web1", NodeStatus.READY),
            end("db1", NodeStatus.FAILED, FAILED),
            end("web1", NodeStatus.RUNNING),
            end("web1", NodeStatus.SUCCEEDED, SUCCEEDED),
            JobChanged(ONE, JobStatus.COMPLETE, 3.0, 4.0),
            created(),
        ]
    )
    found = store.job("acme", ONE)
    assert found is not None
    assert (found.status, found.updated_at, found.run_deadline) == (JobStatus.COMPLETE, 3.0, 4.0)
    assert found.nodes["web1"] == JobNode(NodeStatus.SUCCEEDED, SUCCEEDED)
    assert found.nodes["db1"] == JobNode(NodeStatus.FAILED, FAILED)


@pytest.mark.parametrize("together", [True, False])
def test_an_end_that_does_not_know_the_start_keeps_it(store: Store, together: bool) -> None:
    store.write([created()])
    running = end("web1", NodeStatus.RUNNING, Outcome(started_at=1001.0))
    lost = end("web1", NodeStatus.TIMED_OUT, Outcome(reason="still running after 5 s"))
    for changes in [[running, lost]] if together else [[running], [lost]]:
        store.write(changes)
    assert node(store).outcome == Outcome(reason="still running after 5 s", started_at=1001.0)


def test_a_transaction_is_stored_whole_or_not_at_all(store: Store) -> None:
    store.write([created(1)])
    twice = created(3, request_key="request 1")
    with pytest.raises(StoreError) as caught:
        store.write([created(2), end("web1", NodeStatus.FAILED, FAILED), twice])
    assert not isinstance(caught.value, StoreUnavailable)
    assert [record.id for record in store.jobs("acme")] == [ONE]
    assert node(store) == JobNode()


def test_a_transaction_whose_commit_got_lost_may_be_written_again(store: Store) -> None:
    changes: List[Change] = [
        created(file="raw:x"),
        end("web1", NodeStatus.TIMED_OUT),
        LateResult(ONE, "web1", NodeStatus.SUCCEEDED, SUCCEEDED),
        OutputStored(ONE, "web1", b"o", b"e"),
        JobChanged(ONE, JobStatus.COMPLETE, 2.0),
        GrantStored(Grant("key", "acme", "web1", 9.0)),
        SessionKeyStored("acme", "web1", b"secret"),
    ]
    store.write(changes)
    first = store.job("acme", ONE), store.grants(0.0), store.session_keys()
    store.write(changes)
    assert (store.job("acme", ONE), store.grants(0.0), store.session_keys()) == first
    assert len(store.jobs("acme")) == 1


def test_words_of_a_node_never_keep_its_result_from_being_stored(store: Store) -> None:
    store.write([created(), end("web1", NodeStatus.FAILED, Outcome(reason="a\0b\ud800c"))])
    assert node(store).outcome.reason == "a\ufffdb?c"


def test_a_value_that_no_database_takes_is_refused_for_good(store: Store) -> None:
    with pytest.raises(StoreError) as caught:
        store.write([created(command="\ud800")])
    assert not isinstance(caught.value, StoreUnavailable)
    store.write([created()])


def test_changes_of_unknown_jobs_change_nothing(store: Store) -> None:
    store.write([end("web1", NodeStatus.FAILED), JobChanged(ONE, JobStatus.COMPLETE, 1.0)])
    assert store.jobs("acme") == []


def test_nothing_to_write_is_fine(store: Store) -> None:
    store.write([])


# Late results and output


def test_a_late_result_stays_beside_the_final_status(store: Store) -> None:
    store.write([created(), end("web1", NodeStatus.TIMED_OUT, Outcome(reason="too late"))])
    store.write([LateResult(ONE, "web1", NodeStatus.SUCCEEDED, SUCCEEDED, org="acme")])
    store.write([LateResult(ONE, "web1", NodeStatus.FAILED, FAILED)])
    expected = JobNode(
        NodeStatus.TIMED_OUT, Outcome(reason="too late"), NodeStatus.SUCCEEDED, SUCCEEDED
    )
    assert node(store) == expected
    assert store.unfinished()[0].nodes["web1"] == expected


def test_a_late_result_may_come_with_the_status_it_is_late_for(store: Store) -> None:
    store.write(
        [
            created(),
            LateResult(ONE, "web1", NodeStatus.FAILED, FAILED),
            end("web1", NodeStatus.CRASHED),
        ]
    )
    assert node(store).late == FAILED


@pytest.mark.parametrize(
    "name, status, org",
    [
        ("web2", NodeStatus.SUCCEEDED, "acme"),  # has not ended
        ("web1", NodeStatus.CRASHED, "acme"),  # ended so
        ("web1", NodeStatus.SUCCEEDED, "other"),
        ("stranger", NodeStatus.SUCCEEDED, "acme"),
    ],
)
def test_a_late_result_that_belongs_nowhere_is_dropped(
    store: Store, name: str, status: NodeStatus, org: str
) -> None:
    store.write([created(), end("web1", NodeStatus.CRASHED)])
    before = store.job("acme", ONE)
    store.write([LateResult(ONE, name, status, FAILED, org=org)])
    store.write([LateResult(job_id(7), "web1", status, FAILED, org="acme")])
    assert store.job("acme", ONE) == before


def test_output_comes_back_byte_for_byte(store: Store) -> None:
    content = bytes(range(256)) * 4
    store.write(
        [created(), end("web1", NodeStatus.SUCCEEDED), OutputStored(ONE, "web1", content, b"")]
    )
    assert store.output("acme", ONE, "web1", "stdout") == content
    assert store.output("acme", ONE, "web1", "stderr") == b""
    assert store.output("acme", ONE, "db1", "stdout") is None
    assert store.output("acme", ONE, "stranger", "stdout") is None


def test_the_first_output_wins(store: Store) -> None:
    store.write(
        [
            created(),
            end("web1", NodeStatus.SUCCEEDED),
            OutputStored(ONE, "web1", b"first", b""),
            OutputStored(ONE, "web1", b"second", b"x"),
        ]
    )
    store.write([OutputStored(ONE, "web1", b"third", b"y", org="acme")])
    assert store.output("acme", ONE, "web1", "stdout") == b"first"
    assert store.output("acme", ONE, "web1", "stderr") == b""


def test_output_that_belongs_nowhere_is_dropped(store: Store) -> None:
    store.write([created(), end("web1", NodeStatus.FAILED)])
    store.write([OutputStored(ONE, "web1", b"x", b"", org="other")])
    store.write([OutputStored(ONE, "stranger", b"x", b"", org="acme")])
    store.write([OutputStored(job_id(7), "web1", b"x", b"", org="acme")])
    store.write([OutputStored(ONE, "web2", b"x", b"")])
    for name in ("web1", "web2", "stranger"):
        assert store.output("acme", ONE, name, "stdout") is None


def test_what_belongs_to_a_job_goes_with_it(store: Store) -> None:
    for number in (1, 2):
        store.write([created(number, file="raw:x")])
        of_job = job_id(number)
        store.write(
            [
                NodeChanged(of_job, "web1", NodeStatus.CRASHED),
                LateResult(of_job, "web1", NodeStatus.FAILED, FAILED),
                OutputStored(of_job, "web1", b"x", b""),
            ]
        )
    with store.writing() as database:
        database.execute(delete(jobs).where(jobs.c.id == ONE))
    with store.reading() as database:
        left = [
            database.execute(select(func.count()).select_from(table)).scalar()
            for table in (jobs, job_inputs, job_nodes, late_results, outputs)
        ]
    assert left == [1, 1, 3, 1, 1]


# Nodes' sessions


def test_grants_last_until_they_expire_or_are_replaced(store: Store) -> None:
    short, long = Grant("k1", "acme", "web1", 100.0), Grant("k2", "acme", "web2", 200.0)
    store.write([GrantStored(long), GrantStored(short)])
    assert store.grants(99.0) == [short, long]
    assert store.grants(100.0) == [long]
    newer = Grant("k1", "other", "db1", 300.0)
    store.write([GrantStored(short), GrantStored(newer)])
    assert store.grants(99.0) == [long, newer]


def test_a_node_that_starts_often_does_not_fill_the_database(store: Store) -> None:
    for number in range(GRANTS_KEPT + 5):
        store.write([GrantStored(Grant(f"k{number}", "acme", "web1", 100.0 + number))])
    store.write([GrantStored(Grant("other", "acme", "web2", 1.0))])
    kept = [grant.curve_key for grant in store.grants(0.0)]
    assert kept == ["other", *(f"k{number}" for number in range(5, GRANTS_KEPT + 5))]


def test_the_newest_session_key_of_a_node_counts(store: Store) -> None:
    store.write(
        [SessionKeyStored("acme", "web1", b"\0\1"), SessionKeyStored("other", "web1", b"x")]
    )
    store.write(
        [SessionKeyStored("acme", "web1", b"a"), SessionKeyStored("acme", "web1", b"\0\xff")]
    )
    assert store.session_keys() == {("acme", "web1"): b"\0\xff", ("other", "web1"): b"x"}


# Many at once


def test_readers_see_whole_transactions_while_others_are_written(store: Store) -> None:
    names = [f"node{number}" for number in range(50)]
    store.write([created(nodes=names)])
    stop, mixed = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            record = store.job("acme", ONE)
            assert record is not None
            codes = {each.outcome.exit_code for each in record.nodes.values()}
            if len(codes) != 1 or record.run_deadline not in codes:
                mixed.append((codes, record.run_deadline))

    readers = [threading.Thread(target=read) for _ in range(4)]
    for thread in readers:
        thread.start()
    for turn in range(60):
        outcome = Outcome(exit_code=turn)
        changes: List[Change] = [end(name, NodeStatus.FAILED, outcome) for name in names]
        store.write([*changes, JobChanged(ONE, JobStatus.RUNNING, 1.0, float(turn))])
    stop.set()
    for thread in readers:
        thread.join()
    assert mixed == []
