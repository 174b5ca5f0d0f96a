"""The scripted schob says over HTTP what the real one says (shovey 5.6, 5.7)."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from api_desk import key_of
from schob_http import Reporter

from push_jobs_wire import chef_auth


class Listener(HTTPServer):
    """Takes PUTs and answers them with the statuses of ``answers``, one after the other."""

    def __init__(self) -> None:
        self.answers: List[int] = []
        self.heard: List[Tuple[str, Dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, dict(self.headers.items()), body))
        self.send_response(self.server.answers.pop(0))
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as listener:
        yield listener
        listener.shutdown()


@pytest.fixture
def reporter(listener: Listener) -> Iterator[Reporter]:
    url = f"http://127.0.0.1:{listener.server_address[1]}"
    made = Reporter(url, "n1", key_of("n1"))
    yield made
    made.close()


def test_the_headers(listener: Listener, reporter: Reporter) -> None:
    listener.answers = [200]
    assert reporter.report("/shovey/jobs/j/n1", {"status": "running"}) == 200
    [(path, headers, body)] = listener.heard
    assert (path, json.loads(body)) == ("/shovey/jobs/j/n1", {"status": "running"})
    fixed = {
        "User-Agent": "Go-http-client/1.1",
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Method": "PUT",
        "X-Chef-Version": "11.12.0",
        "X-Ops-Sign": "algorithm=sha1;version=1.0",
        "X-Ops-Userid": "n1",
    }
    assert fixed.items() <= headers.items() and headers["X-Ops-Timestamp"].endswith("Z")
    lines = [headers[f"X-Ops-Authorization-{number}"] for number in range(1, 7)]
    assert [len(line) for line in lines] == [60, 60, 60, 60, 60, 44]
    claim = chef_auth.read_claim(headers, time.time())
    public = key_of("n1").public_key()
    chef_auth.verify(claim, method="PUT", target=path, body=body, public_keys=[public])


def test_a_chunk_is_sent_again_on_another_2xx_and_a_report_never(
    listener: Listener, reporter: Reporter
) -> None:
    listener.answers = [201, 200, 500, 409, 202]
    reporter.chunk("/shovey/stream/j/n1", {"seq": 0})
    assert [put.status for put in reporter.sent] == [201, 200]
    for _ in range(2):
        reporter.chunk("/shovey/stream/j/n1", {"seq": 1})
    reporter.report("/shovey/jobs/j/n1", {"status": "succeeded"})
    assert [put.status for put in reporter.sent] == [201, 200, 500, 409, 202]


def test_what_meets_nobody_is_lost(listener: Listener, reporter: Reporter) -> None:
    listener.answers = [200]
    assert reporter.report("/shovey/jobs/j/n1", {"status": "running"}) == 200
    listener.shutdown()
    listener.server_close()
    assert reporter.report("/shovey/jobs/j/n1", {"status": "succeeded"}) is None
