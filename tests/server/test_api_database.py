"""The API over a database that really fails: full, or gone. It says so, and nothing is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict

from api_desk import JOBS, PUSHY, Desk, open_desk
from databases import Postgres
from waiting import wait_until

JOB: Dict[str, Any] = {"command": "true", "nodes": ["nowhere"]}
LARGE = {**JOB, "file": "raw:" + "x" * 100_000}


def limit_pages(desk: Desk, pages: int) -> None:
    with desk.store.writing() as database:
        database.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def fill(desk: Desk) -> None:
    """Let SQLite have no page more than it has, as on a full disk."""
    with desk.store.reading() as database:
        limit_pages(desk, int(str(database.exec_driver_sql("PRAGMA page_count").scalar())))


def test_a_full_disk_refuses_new_jobs_only(sqlite_store_url: str) -> None:
    with open_desk(sqlite_store_url) as desk, ThreadPoolExecutor() as threads:
        fill(desk)
        waiting = threads.submit(desk.post, LARGE)
        wait_until(lambda: not desk.engine.accepting, "the disk to be full")
        reply = desk.post(JOB)
        assert (reply.status, reply.headers["retry-after"]) == (503, "5")
        assert "database" in reply.error[0]
        assert desk.get(JOBS).json == []
        limit_pages(desk, 2**30)
        assert waiting.result().status == 201
        assert desk.post(JOB).status == 201
        assert len(desk.get(JOBS).json) == 2


def test_a_database_that_is_gone_is_told_and_comes_back(
    postgres: Postgres, postgresql_store_url: str
) -> None:
    with open_desk(postgresql_store_url) as desk:
        assert desk.post(JOB).status == 201
        with postgres.down():
            for reply in (desk.get(JOBS), desk.get(PUSHY + "/node_states"), desk.post(JOB)):
                assert (reply.status, reply.headers["retry-after"]) == (503, "5")
                assert "can't be" in reply.error[0]
            assert desk.call("GET", "/pushy/_status", None).status == 200
        assert len(desk.get(JOBS).json) == 1
        wait_until(lambda: desk.engine.accepting, "the writer to come back")
        assert desk.post(JOB).status == 201


def test_a_node_gets_no_settings_that_could_not_be_stored(sqlite_store_url: str) -> None:
    with open_desk(sqlite_store_url) as desk, ThreadPoolExecutor() as threads:
        fill(desk)
        waiting = threads.submit(desk.post, LARGE)
        wait_until(lambda: not desk.engine.accepting, "the disk to be full")
        curve_key = "rq:rM%3E%7DU%3F%40Lns47E1%25kR.o%40n%25FcmmsL%2F%40%7BH8%5Dyf7"
        reply = desk.get(f"{PUSHY}/config/web01?ccpk={curve_key}", "web01")
        assert reply.status == 503
        limit_pages(desk, 2**30)
        assert waiting.result().status == 201
        assert desk.get(f"{PUSHY}/config/web01?ccpk={curve_key}", "web01").status == 200
