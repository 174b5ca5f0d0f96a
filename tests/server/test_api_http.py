"""The HTTP server itself: a port in use, and plain HTTP on the TLS port."""

from __future__ import annotations

import http.client
import json
import threading
from pathlib import Path
from typing import Any, Iterator, List

import pytest
from stub_certificates import tls_context

from push_jobs_server.http import HttpError, HttpServer


def _hello(environ: Any, start_response: Any) -> List[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


def _server(folder: Path, port: int = 0) -> HttpServer:
    tls_context(folder)
    chain = str(folder / "server.pem")
    return HttpServer(("127.0.0.1", port), _hello, 4, 0, 5.0, 5.0, (chain, chain))


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    server = _server(tmp_path)
    found = server.listen()
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield found
    server.stop()
    thread.join(10)


def test_plain_http_is_told_to_use_https(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/pushy/_status")
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    assert reply.status == 400
    assert len(body) == int(str(reply.getheader("Content-Length")))
    assert "https" in json.loads(body)["error"][0]


def test_port_in_use(port: int, tmp_path: Path) -> None:
    # A socket that was left open would be told of by a warning, which fails the test.
    with pytest.raises(HttpError, match=rf"{port}.*http\.port"):
        _server(tmp_path, port).listen()
