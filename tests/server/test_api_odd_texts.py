"""Texts that one of the databases can't hold: kept whole, refused or replaced, on both alike."""

from __future__ import annotations

import logging
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from api_desk import JOBS, PUSHY, Desk, open_desk
from memory_node import MemoryNode
from waiting import wait_until
from wrong_jobs import BASE64, JOB, NUL, SURROGATE

from push_jobs_wire.messages import JobRef, Reply
from push_jobs_wire.states import NodeInput


@pytest.fixture
def desk(store_url: str, caplog: pytest.LogCaptureFixture) -> Iterator[Desk]:
    with open_desk(store_url) as made:
        yield made
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("file", ["raw:\0", "raw:a\0b\x01\u00e9\U0001f600", "base64:AAEC/w=="])
def test_a_file_comes_back_as_it_was_sent(desk: Desk, file: str) -> None:
    job = desk.post({**JOB, "file": file}).json["uri"][-32:]
    assert desk.get(f"{JOBS}/{job}?include_file=true").json["file"] == file


def test_texts_that_no_database_holds_are_refused(desk: Desk) -> None:
    wrong: List[Tuple[Dict[str, Any], str]] = [
        ({"command": "a\0"}, NUL),
        ({"user": "a\0"}, NUL),
        ({"dir": "/\0"}, NUL),
        ({"nodes": ["a\0"]}, NUL),
        ({"command": "\ud800"}, SURROGATE),
        ({"env": {"A": "\udfff"}}, SURROGATE),
        ({"file": "base64:\0"}, BASE64),
    ]
    for change, error in wrong:
        reply = desk.post({**JOB, **change})
        assert (reply.status, reply.error) == (400, error)
    assert desk.get(JOBS).json == []


def test_controls_and_all_of_unicode_are_kept(desk: Desk) -> None:
    text = "".join(map(chr, range(1, 256))) + "\u2028\ufeff\uffff\U0001f600\U0010ffff"
    asked = {"command": text, "nodes": [text[:255]], "user": text, "dir": text, "env": {"A": text}}
    shown = desk.get(f"{JOBS}/{desk.post(asked).json['uri'][-32:]}").json
    assert {key: shown[key] for key in ("command", "user", "dir", "env")} == {
        key: asked[key] for key in ("command", "user", "dir", "env")
    }
    assert sum(shown["nodes"].values(), []) == [text[:255]]


def test_names_with_nul_are_nobody_and_nothing(desk: Desk) -> None:
    for path in ("jobs/%00", "jobs/x/output/%00/stdout", "v1/jobs/%00", "node_states/%00"):
        assert desk.get(f"{PUSHY}/{path}").status == 404
    assert desk.get("/organizations/ac%00me/pushy/jobs").status == 404
    assert desk.call("POST", f"{PUSHY}/v1/jobs/%00/cancel").status == 404
    assert desk.get(JOBS, headers={"X-Ops-Userid": "al\0ice"}).status == 401
    assert desk.get(f"{PUSHY}/v1/whoami", headers={"X-Ops-Userid": "\0"}).status == 401


def test_a_reason_that_no_database_holds_does_not_cost_the_result(desk: Desk) -> None:
    node = MemoryNode(desk, "web01")
    node.become_available()
    wait_until(lambda: bool(desk.get(f"{PUSHY}/node_states").json), "the node")
    job = desk.post({**JOB, "nodes": ["web01"]}).json["uri"][-32:]
    node.say(Reply(NodeInput.NACK_COMMIT, JobRef(job), reason="no\0such \ud800 user"))
    shown = f"{PUSHY}/v1/jobs/{job}"
    wait_until(lambda: bool(desk.get(shown).json["status"] == "quorum_failed"), "the refusal")
    (result,) = desk.get(shown).json["nodes"]
    assert (result["status"], result["reason"]) == ("nacked", "no\ufffdsuch ? user")
