"""Lists of jobs: filters and pages, in the store and over HTTP."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List

import pytest
from api_desk import JOBS, PUSHY, Desk, open_desk
from sqlalchemy import text
from stored_jobs import created, job_id

from push_jobs_server.records import JobFilter
from push_jobs_server.store import Store
from push_jobs_server.store.history import page
from push_jobs_wire.states import JobStatus

PAGES = f"{PUSHY}/v1/jobs"


@pytest.fixture
def desk(sqlite_store_url: str) -> Iterator[Desk]:
    with open_desk(sqlite_store_url) as made:
        yield made


def fill(store: Store) -> None:
    """Five jobs of acme, of which 3 and 4 were made in the same moment, and one of another."""
    store.write(
        [
            created(1, ["web1", "web2"], created_at=100.0, status=JobStatus.COMPLETE),
            created(2, ["web1"], created_at=200.0, status=JobStatus.CRASHED, requestor="bob"),
            created(3, ["db_"], created_at=300.0, command="backup", status=JobStatus.COMPLETE),
            created(4, ["dbX"], created_at=300.0, command="backup", requestor="bob"),
            created(5, ["web2"], created_at=500.25, status=JobStatus.TIMED_OUT),
            created(6, ["web1"], created_at=250.0, org="other"),
        ]
    )


def numbers(found: List[Dict[str, Any]]) -> List[int]:
    return [int(job["id"], 16) for job in found]


# The store


@pytest.mark.parametrize(
    "asked, expected",
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"statuses": (JobStatus.COMPLETE,)}, [3, 1]),
        ({"statuses": (JobStatus.CRASHED, JobStatus.VOTING)}, [4, 2]),
        ({"node": "web1"}, [2, 1]),
        ({"node": "db_"}, [3]),
        ({"node": "web"}, []),
        ({"command": "backup"}, [4, 3]),
        ({"requestor": "bob"}, [4, 2]),
        ({"since": 300.0}, [5, 4, 3]),
        ({"until": 300.0}, [2, 1]),
        ({"since": 200.0, "until": 500.25}, [4, 3, 2]),
        ({"id_start": "0" * 31 + "4"}, [4]),
        ({"id_start": "1"}, []),
        ({"limit": 2}, [5, 4]),
        ({"before": (300.0, job_id(4))}, [3, 2, 1]),
        ({"before": (300.0, job_id(4)), "requestor": "bob", "node": "web1"}, [2]),
        ({"before": (100.0, job_id(1))}, []),
    ],
)
def test_filters(store: Store, asked: Dict[str, Any], expected: List[int]) -> None:
    fill(store)
    assert [int(job.id, 16) for job in store.find_jobs("acme", JobFilter(**asked))] == expected


def test_each_filter_has_its_index(sqlite_store_url: str) -> None:
    store = Store(sqlite_store_url)
    filters: Dict[str, JobFilter] = {
        "jobs_status_org_created_at_id": JobFilter((JobStatus.COMPLETE,)),
        "jobs_org_command_created_at_id": JobFilter(command="x"),
        "jobs_org_requestor_created_at_id": JobFilter(requestor="x"),
        "jobs_org_created_at_id": JobFilter(node="x", before=(1.0, "1")),
    }
    for name, asked in filters.items():
        query = page("acme", asked)
        with store.reading() as database:
            literal = query.compile(database.engine, compile_kwargs={"literal_binds": True})
            rows = database.execute(text(f"EXPLAIN QUERY PLAN {literal}")).all()
        plan = " ".join(str(row) for row in rows)
        assert f"jobs USING INDEX {name} " in plan and "TEMP B-TREE" not in plan, plan
    store.close()


# Over HTTP


def test_the_plain_list_is_as_it_always_was(desk: Desk) -> None:
    fill(desk.store)
    for target in (JOBS, JOBS + "/", JOBS + "?", JOBS + "?page=2&Status=x"):
        reply = desk.get(target)
        assert numbers(reply.json) == [1, 2, 3, 4, 5]
        assert "link" not in reply.headers
    assert set(reply.json[0]) == {
        "id", "command", "status", "run_timeout", "created_at", "updated_at",
    }  # fmt: skip


def test_a_filtered_list_keeps_the_form_of_the_plain_one(desk: Desk) -> None:
    fill(desk.store)
    plain = {job["id"]: job for job in desk.get(JOBS).json}
    query = "status=voting&status=crashed&since=1970-01-01T00:03:20Z&until=400.5"
    filtered = desk.get(f"{JOBS}?{query}").json
    assert numbers(filtered) == [4, 2]
    assert all(plain[job["id"]] == job for job in filtered)
    assert numbers(desk.get(f"{JOBS}?requestor=bob&node=web1&command=chef-client").json) == [2]


def test_our_list_says_who_started_a_job(desk: Desk) -> None:
    fill(desk.store)
    reply = desk.get(PAGES)
    assert set(reply.json) == {"jobs", "next"} and reply.json["next"] is None
    assert [job["requestor"] for job in reply.json["jobs"]] == [
        "alice", "bob", "alice", "bob", "alice",
    ]  # fmt: skip
    detail = desk.get(f"{PAGES}/{job_id(5)}").json
    del detail["nodes"], detail["cancels"]
    assert reply.json["jobs"][0] == detail


def follow(desk: Desk, target: str) -> Iterator[List[int]]:
    """Page after page by the Link header, while jobs are added."""
    for number in range(50, 70):
        reply = desk.get(target)
        found = reply.json
        yield numbers(found if isinstance(found, list) else found["jobs"])
        link = reply.headers.get("link")
        if link is None:
            return
        match = re.fullmatch(r'<https://push\.test(/\S+)>; rel="next"', link)
        assert match is not None
        target = match[1]
        desk.store.write([created(number, created_at=1000.0 + number)])


@pytest.mark.parametrize("path", [JOBS, PAGES])
def test_pages_stay_what_they_are_while_jobs_are_added(desk: Desk, path: str) -> None:
    fill(desk.store)
    assert list(follow(desk, f"{path}?limit=2")) == [[5, 4], [3, 2], [1]]


def test_a_full_last_page_leads_nowhere(desk: Desk) -> None:
    fill(desk.store)
    assert "link" not in desk.get(f"{JOBS}?limit=5").headers


def test_filters_hold_on_the_next_page(desk: Desk) -> None:
    desk.store.write(
        [created(n, ["a&b c"], created_at=n, command="\u00e4" if n % 2 else "x") for n in range(9)]
    )
    pages = list(follow(desk, f"{PAGES}?node=a%26b+c&command=%C3%A4&status=voting&limit=3"))
    assert pages == [[7, 5, 3], [1]]
    first = desk.get(f"{PAGES}?limit=1").json
    assert numbers(desk.get(f"{PAGES}?limit=1&cursor={first['next']}").json["jobs"]) == [8]


@pytest.mark.parametrize(
    "query, name",
    [
        ("status=done", "status"), ("status=", "status"), ("status=complete&status=", "status"),
        ("id=xyz", "id"), ("id=" + "0" * 33, "id"), ("id=0&id=1", "id"),
        ("node=", "node"), ("node=a%00", "node"), ("node=a&node=b", "node"),
        ("command=", "command"), ("requestor=%00", "requestor"),
        ("since=yesterday", "since"), ("since=", "since"), ("since=-1", "since"),
        ("since=2024-13-01", "since"), ("since=nan", "since"), ("since=1e9", "since"),
        ("until=2024-05-14T09:26:53%2B99:00", "until"), ("until=99999999999999", "until"),
        ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=1.5", "limit"),
        ("limit=" + "9" * 5000, "limit"), ("limit=-1", "limit"), ("limit=%D9%A1", "limit"),
        ("cursor=1", "cursor"), ("cursor=x-" + "0" * 32, "cursor"),
        ("cursor=1.0-" + "g" * 32, "cursor"), ("cursor=inf-" + "0" * 32, "cursor"),
        ("node=%FF", "query"), ("&".join(["id=1"] * 5000), ""),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named(desk: Desk, query: str, name: str) -> None:
    for path in (JOBS, PAGES):
        reply = desk.get(f"{path}?{query}")
        assert reply.status == 400
        assert name in reply.error[0]


def test_strangers_learn_nothing_from_filters(desk: Desk) -> None:
    fill(desk.store)
    assert desk.get(f"{PAGES}?limit=0", user="mallory").status == 403
    other = desk.get("/organizations/other/pushy/v1/jobs?node=web1").json
    assert numbers(other["jobs"]) == [6]
    cursor = desk.get(f"{PAGES}?limit=1").json["next"]
    assert desk.get(f"/organizations/other/pushy/jobs?cursor={cursor}&since=300").json == []
