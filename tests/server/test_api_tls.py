"""The API over real TLS: what HTTP allows works, and after anything else the next one is served."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Iterator

import pytest
from api_desk import JOBS, PUSHY, open_desk
from tls_desk import TlsDesk, head, open_tls_desk, request

STATES = PUSHY + "/node_states"
JOB = json.dumps({"command": "true", "nodes": ["web01"]}).encode()
CHUNKED = {"Transfer-Encoding": "chunked", "Content-Length": None}
TOO_LARGE = "JSON must be no more than 1000000 bytes."


@pytest.fixture
def desk(
    sqlite_store_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[TlsDesk]:
    """A server that in the end still serves, with all its threads and without a traceback."""
    workers = 2
    with open_desk(sqlite_store_url) as api, open_tls_desk(api, tmp_path, 2.0) as served:
        yield served
        served.hang_up()
        assert served.call("GET", STATES).json == []
        alive = [each for each in threading.enumerate() if type(each).__name__ == "WorkerThread"]
        assert len(alive) == workers
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def chunked(body: bytes, trailers: bytes = b"") -> bytes:
    """A POST of a job in two chunks."""
    first = request("POST", JOBS, body, CHUNKED)
    pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:9], body[9:])]
    return first[: -len(body)] + b"".join(pieces) + b"0\r\n" + trailers + b"\r\n"


def test_a_connection_is_kept_for_the_next_request(desk: TlsDesk) -> None:
    line = desk.line()
    line.send(request("POST", JOBS, JOB))
    assert line.answer().status == 201
    line.send(request("GET", JOBS))
    assert len(line.answer().json) == 1
    line.send(request("GET", STATES) + request("GET", JOBS, headers={"Connection": "close"}))
    assert line.answer().json == []
    assert len(line.answer().json) == 1
    assert line.at_end()


@pytest.mark.parametrize("trailers", [b"", b"X-Trailer: 1\r\n"])
def test_a_body_in_chunks(desk: TlsDesk, trailers: bytes) -> None:
    line = desk.line()
    line.send(chunked(JOB, trailers) + request("GET", STATES))
    assert line.answer().status == 201
    # What follows might be a part of the trailers: it is not taken for a request.
    assert line.at_end()
    (stored,) = desk.desk.store.jobs("acme")
    assert stored.request.command == "true"


@pytest.mark.parametrize("target", [JOBS, "/nothing"])
def test_a_broken_chunk_is_the_callers_fault(desk: TlsDesk, target: str) -> None:
    line = desk.line()
    whole = request("POST", target, JOB, CHUNKED)
    line.send(whole[: -len(JOB)] + b"zz\r\n" + JOB + b"\r\n" + request("GET", STATES))
    reply = line.answer()
    assert reply.status == (400 if target == JOBS else 404)
    assert reply.error
    assert line.at_end()


@pytest.mark.parametrize("in_chunks", [False, True])
def test_an_oversized_body_is_answered_before_the_connection_ends(
    desk: TlsDesk, in_chunks: bool
) -> None:
    body = b" " * 4_000_000
    line = desk.line()
    line.send(chunked(body) if in_chunks else request("POST", JOBS, body))
    reply = line.answer()
    assert (reply.status, reply.error) == (413, TOO_LARGE)
    assert reply.headers["connection"] == "close"
    assert line.at_end()


def test_a_body_that_nobody_reads_ends_the_connection(desk: TlsDesk) -> None:
    line = desk.line()
    # Were it read, all of it would be kept in memory first.
    line.send(head("POST /nothing HTTP/1.1", {"Host": "x", "Content-Length": "9" * 12}))
    reply = line.answer()
    assert (reply.status, reply.headers["connection"]) == (404, "close")


@pytest.mark.parametrize("length", ["-5", "+5", "1_0", "x", "5.0"])
def test_a_length_that_is_no_number(desk: TlsDesk, length: str) -> None:
    line = desk.line()
    line.send(request("POST", JOBS, JOB, {"Content-Length": length}))
    assert line.answer().status == 400
    assert line.at_end()


@pytest.mark.parametrize(
    "target",
    ["//organizations//acme///pushy/node_states", "//organizations/acme/pushy//node_states//"],
)
def test_doubled_slashes(desk: TlsDesk, target: str) -> None:
    assert desk.call("GET", target).json == []


@pytest.mark.parametrize("count", [1, 200])
def test_headers_larger_than_64_kib(desk: TlsDesk, count: int) -> None:
    line = desk.line()
    fields = {f"X-Large-{number}": "x" * (100_000 // count) for number in range(count)}
    line.send(request("GET", STATES, headers=dict(fields)))
    reply = line.answer()
    assert reply.status == 413
    assert "headers" in reply.error[0]
    assert line.at_end()


def test_headers_that_are_just_small_enough(desk: TlsDesk) -> None:
    line = desk.line()
    line.send(request("GET", STATES, headers={"X-Large": "x" * 60_000}))
    assert line.answer().json == []


@pytest.mark.parametrize(
    "first, status",
    [
        ("nonsense", 400),
        ("GET / HTTP/x.y", 400),
        ("GET / FTP/1.1", 400),
        ("GET / HTTP/9.9", 505),
        ("GET //[ HTTP/1.1", 400),
        ("GET /caf\xe9 HTTP/1.1", 400),
        ("\0\xff \xff HTTP/1.1", 400),
        ("GET /" + "x" * 70_000 + " HTTP/1.1", 414),
    ],
)
def test_a_first_line_of_nonsense(desk: TlsDesk, first: str, status: int) -> None:
    line = desk.line()
    line.send(head(first, {"Host": "push.test"}))
    reply = line.answer()
    assert reply.status == status
    assert reply.error
    assert line.at_end()


def test_plain_http_on_the_port_of_tls(desk: TlsDesk) -> None:
    with desk.plain() as plain:
        plain.sendall(request("POST", JOBS, b" " * 500_000))
        answer = b"".join(iter(lambda: plain.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"https://" in answer


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_client_that_breaks_off_in_the_body(desk: TlsDesk, how: str) -> None:
    for _ in range(4):  # more often than there are threads
        line = desk.line()
        line.send(request("POST", JOBS, JOB, {"Content-Length": "5000"}))
        getattr(line, how)()
    assert desk.call("GET", JOBS).json == []


def test_a_body_that_does_not_come_in_time(desk: TlsDesk) -> None:
    line = desk.line()
    line.send(request("POST", JOBS, JOB, {"Content-Length": "5000"}))
    reply = line.answer()
    assert reply.status == 408
    assert "in time" in reply.error[0]
    assert line.at_end()
