"""The audit trail: rows of jobs in their transaction, refused requests, their limit, the export."""

from __future__ import annotations

import json
import time
from typing import Any, Dict, Iterator, List, Optional

import pytest
from api_desk import JOBS, PEER, PUSHY, Desk, open_desk
from engine_desk import START, EngineDesk
from stored_jobs import job

from push_jobs_server import audit
from push_jobs_server.api import refusals
from push_jobs_server.api.refusals import Limiter
from push_jobs_server.records import Audited, AuditEntry, JobCreated
from push_jobs_server.store import Store
from push_jobs_server.store.audit import entries
from push_jobs_wire.settings import MASK

JOB: Dict[str, Any] = {"command": "chef-client", "nodes": ["web01", "web02"]}
SECRETS = {"env": {"TOKEN": "s3cret", "A": ""}, "file": "raw:contents of the file"}
LIST = f"{PUSHY}/v1/jobs"


@pytest.fixture
def desk(sqlite_store_url: str) -> Iterator[Desk]:
    with open_desk(sqlite_store_url) as made:
        yield made


def trail(desk: Desk, force: bool = False) -> List[AuditEntry]:
    """All rows, once the writer has written what waits."""
    desk.refusals.flush(force=force)
    desk.wait_for_writer()
    return list(entries(desk.store))


def no_secrets(found: List[AuditEntry]) -> None:
    text = "".join(map(audit.json_line, found))
    assert "s3cret" not in text and "contents" not in text


# Jobs


def test_a_job_and_its_row_are_one_transaction() -> None:
    desk = EngineDesk()
    desk.ask("j1", ("a", "b"), address="192.0.2.1")
    (batch,) = desk.held
    created, audited = batch.changes
    assert isinstance(created, JobCreated) and isinstance(audited, Audited)
    entry = audited.entry
    assert (entry.action, entry.target, entry.org, entry.at) == ("job.start", "j1", "acme", START)
    assert (entry.actor, entry.actor_kind, entry.address) == ("alice", "user", "192.0.2.1")
    assert (entry.details["nodes"], entry.details["node_count"]) == (["a", "b"], 2)


def test_a_started_job_has_one_row_without_secrets(store_url: str) -> None:
    with open_desk(store_url) as desk:
        body = json.dumps({**JOB, **SECRETS, "user": "root", "dir": "/srv", "quorum": 1}).encode()
        replies = {desk.post(body, version="1.1", age=5).json["uri"] for _ in range(3)}
        found = [entry for entry in trail(desk) if str(entry.target) in str(replies)]
        assert len(found) == len(replies)
        (entry, *_) = found
        assert (entry.result, entry.address, entry.target) == ("done", PEER, entry.target)
        assert entry.details == {
            "command": "chef-client",
            "nodes": ["web01", "web02"],
            "node_count": 2,
            "quorum": 1,
            "run_timeout": 3600,
            "capture": False,
            "user": "root",
            "dir": "/srv",
            "env": {"A": MASK, "TOKEN": MASK},
            "file": MASK,
        }
        no_secrets(found)


def test_texts_of_strangers_have_a_limit() -> None:
    huge = job(
        nodes=[f"{number:0250}" for number in range(5000)],
        command="x" * 900_000,
        env={f"{number:01000}": "v" for number in range(500)},
    )
    line = audit.json_line(audit.job_started(huge))
    assert len(line) < 100_000 and json.loads(line)["details"]["node_count"] == 5000


def test_rows_that_are_written_again_are_there_once(store: Store) -> None:
    change = Audited(audit.job_started(job()))
    store.write([change])
    store.write([change, change])
    assert list(entries(store)) == [change.entry]


# Refused requests


@pytest.mark.parametrize(
    "options, status, who, kind",
    [
        ({"user": "mallory"}, 403, "mallory", None),
        ({"user": "nobody", "key": "bob"}, 401, "nobody", None),
        ({"user": "bob", "key": "alice"}, 401, "bob", None),
        ({"user": None}, 400, None, None),
        ({"age": 1e6}, 401, "alice", None),
        ({"body": b'{"command":7}'}, 400, "alice", "user"),
        ({"body": b"x" * 1_000_001}, 413, "alice", None),
        ({"headers": {"Content-Type": "text/plain"}}, 415, "alice", "user"),
        ({"user": "web01"}, 403, "web01", "client"),
    ],
)
def test_refused_jobs(
    desk: Desk, options: Dict[str, Any], status: int, who: Optional[str], kind: Optional[str]
) -> None:
    whole: Dict[str, Any] = {"body": json.dumps({**JOB, **SECRETS}).encode(), **options}
    reply = desk.call("POST", JOBS, **whole)
    assert reply.status == status
    (entry,) = trail(desk)
    assert (entry.action, entry.result, entry.org) == ("job.start", "refused", "acme")
    assert (entry.actor, entry.actor_kind, entry.address) == (who, kind, PEER)
    assert entry.details["status"] == status
    assert entry.details["error"] in str(reply.error)
    assert abs(entry.at - time.time()) < 60
    asked = (entry.details.get("command"), entry.details.get("node_count"))
    assert asked == (("chef-client", 2) if kind and status in (403, 415) else (None, None))
    no_secrets([entry])


@pytest.mark.parametrize(
    "target, user, status",
    [
        (f"{LIST}?limit=0", "alice", 400),
        (f"{PUSHY}/node_states/x", "mallory", 403),
        (f"{PUSHY}/config/web02?ccpk={'k' * 40}", "web01", 403),
        ("/organizations/nowhere/pushy/jobs", "alice", 404),
    ],
)
def test_other_refused_requests(desk: Desk, target: str, user: str, status: int) -> None:
    assert desk.get(target, user=user).status == status
    (entry,) = trail(desk)
    assert (entry.action, entry.actor, entry.target) == ("request", user, None)
    assert entry.details["path"] == target.split("?")[0]
    assert (entry.details["method"], entry.details["status"]) == ("GET", status)


def test_what_is_not_there_is_no_refusal(desk: Desk) -> None:
    assert desk.get(f"{JOBS}/unknown").status == 404
    assert desk.get(JOBS, headers={"Accept": "text/html"}).status == 406
    assert desk.get(f"{PUSHY}/nothing").status == 404
    assert desk.get(JOBS).status == 200
    assert trail(desk, force=True) == []


def test_a_flood_leaves_few_rows_and_a_true_count(desk: Desk) -> None:
    for number in range(300):
        desk.call("GET", f"{JOBS}/{number}", None)
    found = trail(desk)
    assert len(found) == refusals.ROWS_OF_ADDRESS
    (rest,) = trail(desk, force=True)[len(found) :]
    assert (rest.address, rest.details["more"]) == (PEER, 300 - len(found))
    assert desk.call("GET", JOBS, None).status == 400
    assert len(trail(desk)) == len(found) + 2


def test_names_and_paths_of_strangers_are_stored_harmlessly(store_url: str) -> None:
    with open_desk(store_url) as desk:
        target = "/organizations/" + "%01%C3%A4" * 5000 + "/pushy/jobs"
        headers = {"X-Ops-UserId": "a\udcffb\0" + "c" * 60_000, "X-Ops-Sign": "version=9"}
        assert desk.call("GET", target, None, headers=headers).status == 400
        (entry,) = trail(desk)
        assert entry.actor is not None and entry.org is not None
        assert max(map(len, (entry.actor, entry.org, entry.details["path"]))) <= 255
        assert json.loads(audit.json_line(entry))["actor"].startswith("a?b")


def test_a_writer_in_trouble_is_not_given_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.writer, "behind", True)
    desk.call("GET", JOBS, None)
    monkeypatch.setattr(desk.writer, "behind", False)
    (entry,) = trail(desk, force=True)
    assert entry.details["more"] == 1


def test_addresses_behind_a_trusted_proxy_count(sqlite_store_url: str) -> None:
    with open_desk(sqlite_store_url, trusted_proxies=[PEER, "10.0.0.0/8"]) as desk:
        for hops in ("6.6.6.6, 198.51.100.9, 10.1.1.1", "garbage", ""):
            desk.call("GET", JOBS, None, headers={"X-Forwarded-For": hops})
        addresses = [entry.address for entry in trail(desk)]
        assert addresses == ["198.51.100.9", PEER, PEER]


# The limit


def test_the_limiter_bounds_rows_for_all_sources_together() -> None:
    limiter = Limiter()
    admitted = sum(limiter.admit(f"192.0.2.{n % 5000}", n / 1000) for n in range(50_000))
    assert admitted == refusals.ROWS
    _, counts = limiter.end_window(refusals.WINDOW)
    assert len(counts) == refusals.ADDRESSES + 1
    assert sum(count.all for count in counts.values()) == 50_000
    assert refusals.OTHERS in counts


def test_a_window_ends_by_time_also_when_the_clock_is_set_back() -> None:
    limiter = Limiter()
    for now in (1000.0, 1000.0 + refusals.WINDOW - 0.1):
        limiter.admit("a", now)
        assert limiter.end_window(now)[1] == {}
    assert limiter.end_window(1000.0 + refusals.WINDOW)[1]["a"].all == 2
    limiter.admit("a", 1000.0)
    assert limiter.end_window(10.0)[1]["a"].all == 1
    assert limiter.end_window(1e9)[1] == {}


@pytest.mark.parametrize(
    "address, other, same",
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:0:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("", "unix", False),
    ],
)
def test_an_ipv6_host_has_one_limit_for_all_its_addresses(
    address: str, other: str, same: bool
) -> None:
    assert (refusals._source(address) == refusals._source(other)) is same


# The export


def test_rows_are_read_in_the_order_of_time_and_by_time(store: Store) -> None:
    made = [
        audit.made(1000.0 + number / 7, f"{number % 10}" * 32, "x", org=f"o{number % 2}")
        for number in range(2500)
    ]
    store.write([Audited(entry) for entry in reversed(made)])
    assert list(entries(store)) == made
    assert list(entries(store, org="o1", since=1100.0)) == [
        entry for entry in made if entry.at >= 1100.0 and entry.org == "o1"
    ]
    between = list(entries(store, since=made[3].at, until=made[9].at))
    assert between == made[3:9]


def test_a_line_is_one_json_object() -> None:
    entry = audit.made(1715678813.25, "f" * 32, "x", org="\u2028", actor="a\nb", details={"n": 1})
    line = audit.json_line(entry)
    assert line.isascii() and line.isprintable()
    assert json.loads(line) == {
        "kind": "audit",
        "version": 1,
        "time": "2024-05-14T09:26:53.250000Z",
        "id": entry.id,
        "org": "\u2028",
        "actor": "a\nb",
        "actor_kind": None,
        "address": None,
        "action": "x",
        "target": None,
        "result": "done",
        "details": {"n": 1},
    }
