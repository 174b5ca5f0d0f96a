"""Odd paths, texts, numbers and bodies over the Shovey API: they break nothing."""

from __future__ import annotations

import gzip
import json
from typing import Iterator

import pytest
from api_desk import key_of
from shovey_desk import JOBS, NODE, OTHER, ShoveyDesk, open_shovey_desk

from push_jobs_server.api.urls import cleaned


@pytest.fixture
def desk(store_url: str) -> Iterator[ShoveyDesk]:
    with open_shovey_desk(store_url, max_output=4096) as made:
        made.beat(NODE)
        made.beat(OTHER)
        yield made


@pytest.mark.parametrize(
    "target, path",
    [
        ("//shovey///jobs", "/shovey/jobs"),
        ("/shovey/./jobs/", "/shovey/jobs/"),
        ("/x/../shovey/jobs?a=/b", "/shovey/jobs"),
        ("/shovey%2Fjobs", "/shovey/jobs"),
        ("/../..", "/"),
        ("/shovey/jobs/.", "/shovey/jobs/"),
    ],
)
def test_paths_are_cleaned(target: str, path: str) -> None:
    assert cleaned(target) == path


def test_odd_names_break_nothing(desk: ShoveyDesk) -> None:
    for path in ("/shovey/jobs/%00", "/shovey/jobs/%ff/%ff", "/status/node/%00/all"):
        assert desk.call("GET", path).status == 404
    assert desk.call("GET", "/shoveys").status == 404


def test_odd_texts_and_numbers_of_a_node_break_nothing(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    text = "a\0b\ud800"
    for number, said in ((1e400, 0), (float("nan"), 0), (2.5, 0), (True, 0), (300, 44), (-1, 255)):
        assert desk.report(job, text, exit_status=number, error=text).status == 200
        shown = desk.report(desk.start(NODE), "failed", exit_status=number, error=text)
        assert shown.status == 200
        assert desk.run(shown.json["id"])["exit_status"] == said
    assert desk.run(shown.json["id"])["error"] == "a\ufffdb?"
    path = f"/shovey/stream/{job}/{NODE}"
    piece = {"output": text, "output_type": "stdout", "is_last": False}
    for seq, status in (
        (2**60, 400),
        (2**53, 200),
        (-(2**53), 200),
        (1e400, 200),
        (1.5, 409),
    ):
        assert desk.call("PUT", path, {**piece, "seq": seq}, NODE).status == status
    assert desk.run(job)["output"] == "a\0b?"
    for run_id, nodes in ((text, []), (job, [text])):
        reply = desk.call("PUT", JOBS + "/cancel", {"run_id": run_id, "nodes": nodes})
        assert reply.status == 404
    desk.desk.wait_for_writer()
    assert desk.run(job)["status"] == "created"


@pytest.mark.parametrize(
    "body",
    [b"\xff", b"[1]", b'"x"', b"{", b"null", b'{"command": "x\\u0000", "nodes": ["a"]}']
    + [b'{"command": "ls", "nodes": ["n\\u0000"]}', b'{"command": "ls", "nodes": [""]}']
    + [b'{"command": "ls", "nodes": ["a"], "run_list": 1}', b"[" * 100_000],
)
def test_bodies_that_are_refused(desk: ShoveyDesk, body: bytes) -> None:
    reply = desk.call("POST", JOBS, body)
    assert reply.status == 400 and len(reply.error) == 1


def test_bodies_may_be_packed(desk: ShoveyDesk) -> None:
    packed = gzip.compress(json.dumps({"command": "ls", "nodes": [NODE]}).encode())
    for coding in ("gzip", "GZip"):
        headers = {"Content-Encoding": coding}
        assert desk.call("POST", JOBS, packed, headers=headers).status == 200
    assert desk.call("POST", JOBS, b"no gzip", headers=headers).status == 400
    bomb = gzip.compress(b" " * 2_000_000)
    assert desk.call("POST", JOBS, bomb, headers=headers).status == 413


def test_signatures_with_another_key_are_refused(desk: ShoveyDesk) -> None:
    key_of("mallory")
    reply = desk.call("GET", JOBS, key="mallory")
    assert reply.status == 401 and "1.3" in reply.headers["www-authenticate"]
