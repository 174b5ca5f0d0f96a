"""The writer: order, commits before reports, and nothing lost whatever the database does."""

from __future__ import annotations

import threading
import time
from typing import Hashable, Iterator, List, Optional, Sequence, Tuple

import pytest
from stored_jobs import created, job_id
from waiting import wait_until

from push_jobs_server.records import Change, JobChanged, NodeChanged, Outcome
from push_jobs_server.store import Store, StoreError, StoreUnavailable, connections
from push_jobs_server.store.writer import Writer
from push_jobs_wire.states import JobStatus, NodeStatus

ONE = job_id(1)
DEADLINE = 30.0


class Reports:
    """Collects what a writer reports, and can wait for it."""

    def __init__(self) -> None:
        self.calls: List[Tuple[List[Hashable], Optional[StoreError]]] = []
        self._news = threading.Condition()

    def __call__(self, tokens: List[Hashable], error: Optional[StoreError]) -> None:
        with self._news:
            self.calls.append((tokens, error))
            self._news.notify_all()

    @property
    def tokens(self) -> List[Hashable]:
        return [token for tokens, _ in self.calls for token in tokens]

    @property
    def failed(self) -> List[Hashable]:
        return [token for tokens, error in self.calls if error is not None for token in tokens]

    def wait(self, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self.tokens) >= count, DEADLINE), self.calls


class Sink:
    """A store in memory that does what the test says: raises, or waits for ``gate``."""

    def __init__(self) -> None:
        self.batches: List[List[Change]] = []
        self.errors: List[Exception] = []
        self.attempts: List[float] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def write(self, changes: Sequence[Change]) -> None:
        self.attempts.append(time.monotonic())
        self.entered.set()
        assert self.gate.wait(DEADLINE)
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append(list(changes))


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def writer(sink: Sink, reports: Reports) -> Iterator[Writer]:
    made = Writer(sink, capacity=2)
    made.start(reports)
    yield made
    sink.gate.set()
    made.close(DEADLINE)


def change(number: int) -> Change:
    return JobChanged(job_id(number), JobStatus.CRASHED, float(number))


def test_what_waits_is_written_together_and_in_order(
    writer: Writer, sink: Sink, reports: Reports
) -> None:
    sink.gate.clear()
    writer.submit("first", [change(0)])
    assert sink.entered.wait(DEADLINE)
    for number in (1, 2, 3):
        writer.submit(number, [change(number), change(10 + number)])
    sink.gate.set()
    reports.wait(4)
    assert sink.batches == [
        [change(0)],
        [change(number) for number in (1, 11, 2, 12, 3, 13)],
    ]
    assert reports.calls == [(["first"], None), ([1, 2, 3], None)]


def test_too_many_waiting_items_are_seen_from_outside(
    writer: Writer, sink: Sink, reports: Reports
) -> None:
    sink.gate.clear()
    for number in (1, 2):
        writer.submit(number, [change(number)])
        assert not writer.behind
    writer.submit(3, [change(3)])
    assert writer.behind
    sink.gate.set()
    reports.wait(3)
    assert not writer.behind


def test_a_database_that_is_away_loses_nothing(
    writer: Writer, sink: Sink, reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    sink.errors = [StoreUnavailable("disk full")] * 3
    sink.gate.clear()
    writer.submit(1, [change(1)])
    assert sink.entered.wait(DEADLINE)
    writer.submit(2, [change(2)])
    sink.gate.set()
    wait_until(lambda: writer.failing)
    assert reports.calls == []
    reports.wait(2)
    assert [each for batch in sink.batches for each in batch] == [change(1), change(2)]
    assert (reports.tokens, reports.failed, len(sink.attempts)) == ([1, 2], [], 5)
    assert sink.attempts[3] - sink.attempts[0] >= 0.05 + 0.1 + 0.2  # pauses that grow
    assert not writer.failing
    assert [record.getMessage() for record in caplog.records] == [
        "nothing can be stored, trying again: disk full",
        "the database takes changes again",
    ]


def test_a_defect_fails_one_item_and_not_the_thread(
    writer: Writer, sink: Sink, reports: Reports
) -> None:
    sink.errors = [RuntimeError("oops")]
    writer.submit(1, [change(1)])
    reports.wait(1)
    writer.submit(2, [change(2)])
    reports.wait(2)
    assert reports.failed == [1]
    assert sink.batches == [[change(2)]]


def test_a_listener_that_fails_does_not_end_the_thread(sink: Sink) -> None:
    heard: List[Hashable] = []

    def listen(tokens: List[Hashable], error: Optional[StoreError]) -> None:
        heard.extend(tokens)
        raise RuntimeError("oops")

    writer = Writer(sink)
    writer.start(listen)
    writer.submit(1, [change(1)])
    wait_until(lambda: heard == [1])
    writer.submit(2, [change(2)])
    assert writer.close(DEADLINE)
    assert heard == [1, 2]


def test_closing_writes_what_waits_and_takes_no_more(
    writer: Writer, sink: Sink, reports: Reports
) -> None:
    sink.gate.clear()
    for number in range(5):
        writer.submit(number, [change(number)])
    sink.gate.set()
    assert writer.close(DEADLINE)
    assert reports.tokens == [0, 1, 2, 3, 4]
    with pytest.raises(StoreError, match="stopping"):
        writer.submit(6, [change(6)])


def test_closing_gives_up_on_a_database_that_stays_away(sink: Sink, reports: Reports) -> None:
    writer = Writer(sink)
    writer.start(reports)
    sink.errors = [StoreUnavailable("gone")] * 1000
    writer.submit(1, [change(1)])
    wait_until(lambda: writer.failing)
    assert not writer.close(timeout=0.05)
    assert reports.calls == []


def test_closing_a_writer_that_never_started_is_fine(sink: Sink) -> None:
    assert Writer(sink).close(1.0)


# With real databases


def test_a_report_comes_after_the_commit(store: Store) -> None:
    seen: List[bool] = []

    def look(tokens: List[Hashable], error: Optional[StoreError]) -> None:
        assert error is None
        seen.extend(store.job("acme", job_id(int(str(token)))) is not None for token in tokens)

    writer = Writer(store)
    writer.start(look)
    for number in range(50):
        writer.submit(number, [created(number)])
    assert writer.close(DEADLINE)
    assert seen == [True] * 50


def test_only_the_poisoned_item_fails(store: Store, reports: Reports) -> None:
    store.write([created(1)])
    writer = Writer(store)
    writer.submit("a", [created(2)])
    writer.submit("b", [created(3)])
    writer.submit(
        "poison", [NodeChanged(ONE, "web1", NodeStatus.FAILED), created(4, command="\ud800")]
    )
    writer.submit("c", [NodeChanged(job_id(3), "web1", NodeStatus.READY)])
    writer.submit("d", [created(5), NodeChanged(ONE, "db1", NodeStatus.READY)])
    writer.start(reports)
    assert writer.close(DEADLINE)
    assert reports.tokens == ["a", "b", "poison", "c", "d"]
    assert reports.failed == ["poison"]
    assert [record.id for record in store.jobs("acme")] == [job_id(n) for n in (1, 2, 3, 5)]
    first, third = store.job("acme", ONE), store.job("acme", job_id(3))
    assert first is not None and third is not None
    assert first.nodes["web1"].status is NodeStatus.NEW
    assert first.nodes["db1"].status is NodeStatus.READY
    assert third.nodes["web1"].status is NodeStatus.READY


def limit_pages(store: Store, pages: str) -> None:
    with store.writing() as database:
        database.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_delays_and_loses_nothing(sqlite_store_url: str, reports: Reports) -> None:
    store = Store(sqlite_store_url)
    limit_pages(store, "1")  # that is: no more than there are now
    writer = Writer(store)
    writer.start(reports)
    for number in range(5):
        writer.submit(number, [created(number, file="raw:" + "x" * 50_000)])
    wait_until(lambda: writer.failing)
    assert (reports.calls, store.jobs("acme")) == ([], [])
    limit_pages(store, str(2**30))
    reports.wait(5)
    assert (reports.tokens, reports.failed) == ([0, 1, 2, 3, 4], [])
    assert len(store.jobs("acme")) == 5
    assert writer.close(DEADLINE)
    store.close()


def test_a_database_that_is_locked_for_a_while_gets_everything_later(
    store_url: str, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LOCK_TIMEOUT", 0.02)
    store, other = Store(store_url), Store(store_url)
    store.write([created(1)])
    writer = Writer(store)
    writer.start(reports)
    with other.writing() as database:
        database.exec_driver_sql("UPDATE jobs SET quorum = 1")
        for code in range(5):
            outcome = Outcome(exit_code=code)
            writer.submit(code, [NodeChanged(ONE, "web1", NodeStatus.FAILED, outcome), change(1)])
        wait_until(lambda: writer.failing)
        assert reports.calls == []
    reports.wait(5)
    found = store.job("acme", ONE)
    assert found is not None
    assert found.nodes["web1"].outcome.exit_code == 4
    assert (reports.tokens, reports.failed) == ([0, 1, 2, 3, 4], [])
    assert writer.close(DEADLINE)
    store.close()
    other.close()
