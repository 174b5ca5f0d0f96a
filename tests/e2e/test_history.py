"""A real server keeps its history within its limits, and tells who did what."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List

import pytest
from house import ADMIN, TRACEBACK, House
from stored_jobs import created, job_id
from waiting import wait_until

from push_jobs import Client
from push_jobs.errors import NotPermitted
from push_jobs_server import settings
from push_jobs_server.store import Store
from push_jobs_wire.states import JobStatus

pytestmark = pytest.mark.e2e


def numbers(house: House) -> List[int]:
    with house.client() as client:
        return [int(job.id, 16) for job in client.jobs()]


def test_old_jobs_go_and_the_trail_stays(tmp_path: Path) -> None:
    limits = {"history.keep_jobs": 2, "history.keep_days": 0, "history.interval": 0.2}
    house = House(tmp_path, **limits)
    try:
        house.init()
        with closing(Store(settings.load(house.data)["database.url"])) as store:
            old = [created(n, created_at=n, status=JobStatus.COMPLETE) for n in range(1, 8)]
            store.write(old)
        house.start_server()
        wait_until(lambda: numbers(house) == [6, 7], "the first removal")
        with house.client() as client:
            fresh = client.start_job("hello", ["web1"], env={"TOKEN": "s3cret"})
            client.wait(fresh, timeout=60)
        mallory = Client(house.url, "mallory", house.key_file, ca=house.data / "ca.crt")
        with mallory, pytest.raises(NotPermitted):
            mallory.start_job("hello", ["web1"])
        wait_until(lambda: numbers(house) == [7, int(fresh, 16)], "the next removal")
        assert "acme" in house.admin("purge", "--keep", "0").out
        assert numbers(house) == [int(fresh, 16)]
        assert ADMIN in house.push_jobs("job", "list", "--requestor", ADMIN).out
        assert house.stop_server() == 0
        check_trail(house.admin("audit", "export").out, fresh)
        assert TRACEBACK not in house.logs()
    finally:
        house.close()


def check_trail(text: str, fresh: str) -> None:
    assert "s3cret" not in text
    rows: List[Dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    by_action = {row["action"]: row for row in rows if row["result"] == "done"}
    started = by_action["job.start"]
    assert (started["target"], started["actor"], started["address"]) == (fresh, ADMIN, "127.0.0.1")
    expired = [row["details"]["jobs"] for row in rows if row["action"] == "job.expire"]
    assert sum(expired) == 6
    assert by_action["job.purge"]["details"]["jobs"] == 1
    (refused,) = [row for row in rows if row["result"] == "refused"]
    assert (refused["action"], refused["actor"], refused["actor_kind"]) == (
        "job.start", "mallory", None,
    )  # fmt: skip
    assert job_id(7) not in text
