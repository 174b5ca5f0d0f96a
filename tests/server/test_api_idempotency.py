"""``Idempotency-Key``: whoever signs a start anew is answered with the first job."""

from __future__ import annotations

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from api_desk import JOBS, Desk, Reply, open_desk
from tls_desk import open_tls_desk, request
from waiting import wait_until

from push_jobs_server.records import Busy

JOB: Dict[str, Any] = {
    "command": "true",
    "nodes": ["nowhere"],
    "env": {"A": "1"},
    "file": "raw:\0x",
}
NUMBERS = itertools.count(1)
KEY = "0f8fad5b-d9cb-469f-a165-70867728950e"


def start(desk: Desk, body: Any = None, *, key: str = KEY, **options: Any) -> Reply:
    """A start that is signed anew: blanks at the end, which mean nothing, make it a new request."""
    raw = json.dumps(JOB if body is None else body) + " " * next(NUMBERS)
    return desk.post(raw.encode(), headers={"Idempotency-Key": key}, **options)


def job(reply: Reply) -> str:
    assert reply.status == 201, reply.body
    uri = str(reply.json["uri"])
    assert reply.headers["location"] == uri
    return uri[-32:]


def ids(desk: Desk) -> List[str]:
    return [each.id for each in desk.store.jobs("acme")]


def test_the_same_key_is_the_same_job_also_after_a_restart(store_url: str) -> None:
    with open_desk(store_url) as desk:
        first = job(start(desk))
        assert [job(start(desk)) for _ in range(2)] == [first] * 2
    # What the server fills in where nothing was said may be something else by now.
    with open_desk(store_url, default_run_timeout=7) as restarted:
        assert job(start(restarted)) == first
        assert ids(restarted) == [first]


def test_a_key_counts_after_the_job_has_left_the_memory(sqlite_store_url: str) -> None:
    with open_desk(sqlite_store_url, job_linger=0) as desk:
        first = job(start(desk))
        wait_until(
            lambda: not desk.engine.ask(lambda engine, answer: answer(engine.status().jobs)),
            "the job to leave the memory",
        )
        assert job(start(desk)) == first
        assert ids(desk) == [first]


OTHERS: List[Dict[str, Any]] = [
    {"command": "false"},
    {"nodes": ["nowhere", "web01"]},
    {"quorum": 0},
    {"run_timeout": 1},
    {"user": "u"},
    {"dir": "/"},
    {"env": {}},
    {"file": "raw:y"},
    {"capture_output": True},
]


@pytest.mark.parametrize("linger", [0, 60])
def test_the_key_of_another_job_is_refused(sqlite_store_url: str, linger: float) -> None:
    with open_desk(sqlite_store_url, job_linger=linger) as desk:
        first = job(start(desk))
        for change in OTHERS:
            reply = start(desk, {**JOB, **change})
            assert reply.status == 422, change
            assert "Idempotency-Key was used for another job" in reply.error[0]
        assert ids(desk) == [first]


def test_keys_belong_to_their_caller_and_organization(sqlite_store_url: str) -> None:
    with open_desk(sqlite_store_url) as desk:
        desk.identity.add_to_group("acme", "admins", "user", "bob")
        made = {job(start(desk)), job(start(desk, user="bob")), job(start(desk, key=KEY + "2"))}
        target = JOBS.replace("acme", "other")
        raw = json.dumps(JOB).encode()
        headers = {"Idempotency-Key": KEY}
        made.add(job(desk.call("POST", target, body=raw, headers=headers)))
        assert len(made) == 4
        assert desk.get(f"{JOBS}/{job(start(desk))}", "bob").status == 200


@pytest.mark.parametrize(
    "key",
    [
        "",
        "short",
        "x" * 129,
        "with a blank",
        "two,keys-joined",
        "k\u00e9y-key-key",
        "nul\0-key-key",
    ],
)
def test_a_key_has_a_form(sqlite_store_url: str, key: str) -> None:
    with open_desk(sqlite_store_url) as desk:
        reply = start(desk, key=key)
        assert reply.status == 400
        assert reply.error == [
            "invalid Idempotency-Key (expected 8 to 128 visible ASCII characters without a comma)"
        ]
        assert ids(desk) == []
        assert start(desk, key=key, user="bob").status == 403, "rights come first"


def test_a_replay_counts_whatever_its_key(sqlite_store_url: str) -> None:
    # The header is not signed: without this rule, whoever saw a request could start it again.
    with open_desk(sqlite_store_url) as desk:
        raw = json.dumps(JOB).encode()
        keys: List[Dict[str, str]] = [{"Idempotency-Key": KEY}, {"Idempotency-Key": KEY + "2"}, {}]
        assert len({job(desk.post(raw, headers=headers)) for headers in keys}) == 1


def test_the_same_key_at_the_same_time(store_url: str) -> None:
    with open_desk(store_url) as desk, ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda _: start(desk), range(8)))
        assert len({job(reply) for reply in replies}) == 1
        assert len(ids(desk)) == 1


def test_a_host_that_can_not_be_one_does_not_spoil_the_answer(sqlite_store_url: str) -> None:
    with open_desk(sqlite_store_url) as desk:
        for host in ("a\r\nSet-Cookie: x", "a/b", "\u20ac", "a b", "x:y", ""):
            reply = desk.post(JOB, headers={"Host": host})
            assert reply.json["uri"].startswith("https://localhost/organizations/acme/")


def test_an_answer_that_is_lost_after_the_commit(sqlite_store_url: str, tmp_path: Path) -> None:
    with open_desk(sqlite_store_url) as desk, open_tls_desk(desk, tmp_path) as served:
        for number in range(3):
            first = served.line()
            first.send(post(f"key-number-{number}"))
            wait_until(lambda: len(ids(desk)) == number + 1, "the job")
            first.reset()
            again = served.line()
            again.send(post(f"key-number-{number}"))
            assert job(again.answer()) in ids(desk)
            assert len(ids(desk)) == number + 1


def post(key: str) -> bytes:
    """A start with a key, signed now."""
    raw = (json.dumps(JOB) + " " * next(NUMBERS)).encode()
    return request("POST", JOBS, raw, {"Idempotency-Key": key})


def test_a_full_engine_starts_nothing_and_takes_the_same_start_later(sqlite_store_url: str) -> None:
    with open_desk(sqlite_store_url) as desk, ThreadPoolExecutor() as threads:
        go, stuck = threading.Event(), threading.Event()

        def hold(engine: object, answer: Callable[[object], None]) -> None:
            stuck.set()
            go.wait(20)
            answer(None)

        held = threads.submit(desk.engine.ask, hold)
        assert stuck.wait(20)
        with pytest.raises(Busy, match="too many requests"):
            for _ in range(1001):
                with suppress_no_answer():
                    desk.engine.ask(lambda engine, answer: answer(None), timeout=0)
        reply = start(desk)
        assert (reply.status, reply.headers["retry-after"]) == (503, "5")
        assert "too many requests are waiting" in reply.error[0]
        go.set()
        held.result()
        first = job(start(desk))
        assert job(start(desk)) == first
        assert ids(desk) == [first]


@contextmanager
def suppress_no_answer() -> Iterator[None]:
    """Go on when a request waits in the queue."""
    try:
        yield
    except Busy as busy:
        if "no answer" not in str(busy):
            raise
