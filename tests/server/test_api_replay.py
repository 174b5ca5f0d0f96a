"""A request that comes twice: the same job for as long as it is accepted at all."""

from __future__ import annotations

import json
import time
from typing import Any, Dict

import pytest
from api_desk import JOBS, Desk, Reply, open_desk, signed
from waiting import wait_until

BODY = json.dumps({"command": "true", "nodes": ["nowhere"]}).encode()
NOT_SYNCHRONOUS = "Failed to authenticate as alice. Synchronize the clock on your host."


class Post:
    """One signed POST of a job, byte for byte the same each time it is sent."""

    def __init__(self, at: float, body: bytes = BODY, **options: Any) -> None:
        self._body = body
        headers: Dict[str, str] = signed("POST", JOBS, body=body, at=at, **options)
        self._headers = {**headers, "Content-Type": "application/json"}

    def send(self, desk: Desk) -> Reply:
        return desk.send("POST", JOBS, self._body, self._headers)

    def job(self, desk: Desk) -> str:
        reply = self.send(desk)
        assert reply.status == 201
        return str(reply.json["uri"][-32:])


def in_memory(desk: Desk) -> Any:
    return desk.engine.ask(lambda engine, answer: answer(engine.status().jobs))


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3"])
def test_the_same_request_is_the_same_job(store_url: str, version: str) -> None:
    with open_desk(store_url) as desk:
        post = Post(time.time() - 5, version=version)
        assert len({post.job(desk) for _ in range(3)}) == 1
        assert len(desk.store.jobs("acme")) == 1


def test_a_job_that_has_left_the_memory_is_not_started_again(sqlite_store_url: str) -> None:
    with open_desk(sqlite_store_url, job_linger=0) as desk:
        post = Post(time.time())
        first = post.job(desk)
        shown = f"{JOBS}/{first}"
        wait_until(lambda: "quorum_failed" in str(desk.get(shown).json), "the end of the job")
        wait_until(lambda: not in_memory(desk), "the job to leave the memory")
        assert post.job(desk) == first
        assert (in_memory(desk), len(desk.store.jobs("acme"))) == ((), 1)


def test_a_restart_does_not_start_a_job_again(store_url: str) -> None:
    post = Post(time.time())
    with open_desk(store_url) as desk:
        first = post.job(desk)
    with open_desk(store_url) as restarted:
        assert post.job(restarted) == first
        assert len(restarted.store.jobs("acme")) == 1


def test_another_body_or_second_or_user_is_another_job(sqlite_store_url: str) -> None:
    now = time.time()
    with open_desk(sqlite_store_url) as desk:
        desk.identity.add_to_group("acme", "admins", "user", "bob")
        posts = [
            Post(now),
            Post(now, BODY + b" "),
            Post(now + 1),
            Post(now, user="bob"),
        ]
        assert len({post.job(desk) for post in posts}) == len(posts)


@pytest.mark.parametrize("skew", [900, -901])
def test_a_replay_out_of_time_is_refused(sqlite_store_url: str, skew: float) -> None:
    with open_desk(sqlite_store_url) as desk:
        post = Post(time.time())
        post.job(desk)
        desk.skew = skew
        reply = post.send(desk)
        assert (reply.status, reply.error) == (401, [NOT_SYNCHRONOUS])
        assert len(desk.store.jobs("acme")) == 1
