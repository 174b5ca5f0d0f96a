"""Old jobs and audit rows go: the right ones, with all that hangs below, unnoticed by others."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, List, Optional

import pytest
from databases import sqlite_url
from sqlalchemy import func, select
from stored_jobs import created, job_id
from waiting import wait_until

from push_jobs_server import audit
from push_jobs_server.housekeeping import Housekeeper, keep_of, window_of
from push_jobs_server.records import (
    Audited,
    Change,
    JobChanged,
    LateResult,
    NodeChanged,
    Outcome,
    OutputStored,
)
from push_jobs_server.settings import TABLE
from push_jobs_server.store import Store, StoreUnavailable, retention
from push_jobs_server.store.audit import entries
from push_jobs_server.store.retention import Keep, Removed, remove_jobs, would_go
from push_jobs_server.store.tables import job_inputs, job_nodes, late_results, outputs
from push_jobs_server.store.writer import Writer
from push_jobs_wire.settings import Values
from push_jobs_wire.states import JobStatus, NodeStatus

NOW = 10_000.0


def go_on(_seconds: float) -> bool:
    return False


def numbers(store: Store, org: str = "acme") -> List[int]:
    return [int(job.id, 16) for job in store.jobs(org)]


def ended(number: int, at: float, nodes: Optional[List[str]] = None, **details: Any) -> Change:
    """A job that was made and ended at a time."""
    return created(number, nodes or ["web1"], created_at=at, status=JobStatus.COMPLETE, **details)


def remove(store: Store, keep: Keep, org: str = "acme") -> Optional[Removed]:
    """Both ways, dry and real, say the same."""
    expected = would_go(store, org, keep, NOW)
    removed = remove_jobs(store, org, keep, NOW, go_on)
    assert removed == expected
    return removed


# Which jobs go


@pytest.mark.parametrize(
    "keep, left",
    [
        (Keep(None, None, 0.0), [1, 2, 3, 4, 5]),
        (Keep(1000.0, None, 0.0), [3, 4, 5]),
        (Keep(None, 2, 0.0), [4, 5]),
        (Keep(None, 0, 0.0), []),
        (Keep(None, 5, 0.0), [1, 2, 3, 4, 5]),
        (Keep(5000.0, 2, 0.0), [4, 5]),
        (Keep(1000.0, 4, 0.0), [3, 4, 5]),
        (Keep(None, 0, 1000.0), [3, 4, 5]),
        (Keep(1.0, 1, 1001.0), [2, 3, 4, 5]),
    ],
)
def test_age_and_count(store: Store, keep: Keep, left: List[int]) -> None:
    times = [NOW - 5000, NOW - 1000, NOW - 999, NOW - 2, NOW - 2]
    store.write([ended(number, at) for number, at in enumerate(times, 1)])
    store.write([ended(9, 1.0, org="other")])
    removed = remove(store, keep)
    assert numbers(store) == left
    assert numbers(store, "other") == [9]
    gone = times[: 5 - len(left)]
    assert removed == (Removed("acme", len(gone), gone[0], gone[-1]) if gone else None)


@pytest.mark.parametrize("status", list(JobStatus))
def test_only_ended_jobs_go(store: Store, status: JobStatus) -> None:
    store.write([created(1, created_at=1.0), ended(2, 2.0)])
    store.write([JobChanged(job_id(1), status, 1.0)])
    remove(store, Keep(0.0, 0, 0.0))
    assert numbers(store) == ([] if status.final else [1])


def test_the_age_counts_from_the_end(store: Store) -> None:
    store.write([ended(1, 1.0)])
    store.write([JobChanged(job_id(1), JobStatus.TIMED_OUT, NOW - 50)])
    assert remove(store, Keep(51.0, None, 0.0)) is None
    assert remove(store, Keep(None, 0, 51.0)) is None
    assert retention.held_back(store, "acme", Keep(None, 0, 51.0), NOW) == 1
    assert retention.held_back(store, "acme", Keep(None, 1, 51.0), NOW) == 0
    assert remove(store, Keep(50.0, None, 50.0)) is not None


def test_what_hangs_below_a_job_goes_with_it(store: Store) -> None:
    details = {"env": {"A": "1"}, "file": "raw:x"}
    for number in (1, 2):
        store.write(
            [
                ended(number, float(number), ["web1", "web2"], **details),
                NodeChanged(job_id(number), "web1", NodeStatus.CRASHED),
                LateResult(job_id(number), "web1", NodeStatus.SUCCEEDED, Outcome()),
                OutputStored(job_id(number), "web1", b"o", b"e"),
            ]
        )
    assert remove(store, Keep(None, 1, 0.0)) == Removed("acme", 1, 1.0, 1.0)
    with store.reading() as database:
        for table, left in ((job_inputs, 1), (job_nodes, 2), (late_results, 1), (outputs, 1)):
            assert database.execute(select(func.count()).select_from(table)).scalar() == left
    assert store.job("acme", job_id(2)) is not None


def test_values_do_not_stay_in_the_file(sqlite_store_url: str, tmp_path: Path) -> None:
    store = Store(sqlite_store_url)
    secret = "s3cret-value"
    store.write([ended(1, 1.0, env={"TOKEN": secret}, file="raw:" + f"{secret}-" * 2000)])
    store.write([ended(2, 2.0)])
    remove(store, Keep(None, 1, 0.0))
    store.close()
    assert sqlite_store_url == sqlite_url(tmp_path)
    left = b"".join(path.read_bytes() for path in tmp_path.glob("push-jobs.db*"))
    assert len(left) > 0 and secret.encode() not in left


# How they go


def test_a_large_job_goes_in_slices_and_small_ones_together(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_FAST", -1.0)  # sizes stay as they are
    monkeypatch.setattr(retention, "_SLOW", 1e9)
    store.write([ended(1, 1.0, [f"n{number}" for number in range(50)])])
    store.write([ended(number, float(number)) for number in range(2, 32)])
    left: List[int] = []

    def look(_seconds: float) -> bool:
        with store.reading() as database:
            left.append(int(database.execute(select(func.count(job_nodes.c.node))).scalar() or 0))
        return False

    removed = remove_jobs(store, "acme", Keep(0.0, None, 0.0), NOW, look)
    assert removed == Removed("acme", 31, 1.0, 31.0)
    assert left == [60, 40, 20, 0]


def test_slices_become_as_large_as_time_allows(
    sqlite_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [0.001, 0.01, 0.5, 0.5, 0.001]
    store = Store(sqlite_store_url)
    with store.writing():
        pass  # it is connected: nobody else asks for the time
    clock = iter([at for n, each in enumerate(taken) for at in (float(n), n + each)])
    monkeypatch.setattr("push_jobs_server.store.retention.time.monotonic", lambda: next(clock))
    pauses: List[float] = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    pace = retention._Pace(store, pause)
    sizes = [pace.run(lambda _, size: size) for _ in taken]
    first = retention._FIRST_SLICE
    assert sizes == [first, 2 * first, 2 * first, first, first // 2]
    assert pauses == pytest.approx(taken)
    monkeypatch.undo()
    store.close()


def test_removal_stops_when_told_and_goes_on_later(store: Store) -> None:
    store.write([ended(number, float(number)) for number in range(1, 200)])
    removed = remove_jobs(store, "acme", Keep(0.0, None, 0.0), NOW, lambda _: True)
    assert removed is not None and 0 < removed.jobs < 199
    assert len(numbers(store)) == 199 - removed.jobs
    remove(store, Keep(0.0, None, 0.0))
    assert numbers(store) == []


@pytest.mark.parametrize("shared", [True, False], ids=["in the server", "by a command"])
def test_the_writer_goes_on_meanwhile(store: Store, store_url: str, shared: bool) -> None:
    big = b"x" * 20_000
    for start in range(1, 400, 50):
        names = [f"n{number}" for number in range(20)]
        store.write([ended(number, 1.0, names) for number in range(start, start + 50)])
        done = [NodeChanged(job_id(start), name, NodeStatus.SUCCEEDED) for name in names]
        store.write([*done, *(OutputStored(job_id(start), name, big, big) for name in names)])
    other = store if shared else Store(store_url)
    stored = threading.Event()
    writer = Writer(store)
    writer.start(lambda tokens, error: stored.set())
    keep = Keep(None, 0, 1.0)
    purge = threading.Thread(target=remove_jobs, args=(other, "acme", keep, NOW, _sleep))
    purge.start()
    turns = 0
    while purge.is_alive() and turns < 300:
        stored.clear()
        writer.submit("token", [ended(1000 + turns, NOW)])
        assert stored.wait(20)
        turns += 1
    purge.join(60)
    assert not purge.is_alive()
    assert writer.close(20)
    # With one transaction, or without pauses, it would have been the writer's turn once or twice.
    assert len(numbers(store)) == turns > 5
    if not shared:
        other.close()


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


# Audit rows


def rows(store: Store) -> List[str]:
    return [str(entry.target) for entry in entries(store)]


def audited(at: float, target: str, result: str = audit.DONE) -> Audited:
    return Audited(audit.made(at, "0" * 32, "x", target=target, result=result))


def test_audit_rows_have_an_age(store: Store) -> None:
    store.write([audited(1.0, "a"), audited(2.0, "b"), audited(3.0, "c", audit.REFUSED)])
    assert retention.remove_audit(store, 2.0, go_on) == 1
    assert rows(store) == ["b", "c"]
    assert retention.remove_audit(store, 2.0, go_on) == 0


def test_refused_rows_have_a_number_and_never_push_out_others(store: Store) -> None:
    store.write([audited(float(n), f"j{n}") for n in range(0, 300, 30)])
    store.write([audited(n + 0.5, f"r{n}", audit.REFUSED) for n in range(300)])
    assert retention.remove_refused(store, 7, go_on) == 293
    assert sorted(rows(store)) == sorted(
        [*(f"j{n}" for n in range(0, 300, 30)), *(f"r{n}" for n in range(293, 300))]
    )
    assert retention.remove_refused(store, 7, go_on) == 0


# The server's thread


def settings(**given: Any) -> Values:
    sections: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        section, _, key = name.partition("__")
        sections.setdefault(section, {})[key] = value
    return TABLE.parse(sections, "test", "/")


def test_retention_is_on_by_default() -> None:
    keep = keep_of(settings())
    assert (keep.seconds, keep.jobs, keep.window) == (90 * 86400.0, 10_000, 86400.0)


def test_zero_keeps_everything_and_repeated_requests_find_their_job() -> None:
    off = settings(history__keep_days=0, history__keep_jobs=0, history__late_window=0)
    assert keep_of(off) == Keep(None, None, 1800.0)
    assert window_of(off) == 2 * float(off["request_skew"])


def test_the_server_sweeps_again_and_again(store: Store) -> None:
    store.write([ended(number, 1.0 + number) for number in range(1, 6)])
    store.write([ended(9, 1.0, org="other")])
    store.write([audited(float(n), f"r{n}", audit.REFUSED) for n in range(5)])
    flushed: List[int] = []
    given = settings(
        history__keep_jobs=2, history__interval=0.1, audit__keep_refused=1, audit__keep_days=0
    )
    keeper = Housekeeper(store, given, lambda: flushed.append(1), lambda: 1e6)
    keeper.start()
    try:
        wait_until(lambda: numbers(store) == [4, 5])
        store.write([ended(7, 100.0)])
        wait_until(lambda: numbers(store) == [5, 7])
        wait_until(lambda: sum(each.details["jobs"] for each in entries(store, org="acme")) == 4)
    finally:
        keeper.stop()
    assert numbers(store, "other") == [9] and flushed
    told = list(entries(store, org="acme"))
    assert {(entry.action, entry.actor_kind) for entry in told} == {("job.expire", "server")}
    assert [entry.target for entry in entries(store) if entry.result == "refused"] == ["r4"]


def test_a_database_that_is_away_ends_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: List[int] = []

    def away(_store: Store) -> List[str]:
        tries.append(1)
        raise StoreUnavailable("gone fishing")

    monkeypatch.setattr("push_jobs_server.housekeeping.orgs_with_jobs", away)
    keeper = Housekeeper(store, settings(history__interval=0.1), lambda: None)
    keeper.start()
    wait_until(lambda: len(tries) > 1)
    keeper.stop()
    assert "trying again later: gone fishing" in caplog.text
