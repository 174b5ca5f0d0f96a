"""How Chef servers are asked: time, size, redirects, connections, trust."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
from api_desk import key_of
from chef_stub import ChefStub
from stub_certificates import tls_context

from push_jobs_server.identity import chef_http
from push_jobs_server.identity.base import IdentityUnavailable
from push_jobs_server.identity.chef_http import ChefHttp, Signer

SIGNER = Signer("pushjobs", key_of("pushjobs"), "1.1")
LIMIT = 0.3
SLACK = 5.0
"""Seconds that a machine under load may add; without a limit the peers below take much longer."""


@pytest.fixture
def stub() -> Iterator[ChefStub]:
    """A stand-in for a Chef server."""
    made = ChefStub()
    yield made
    made.close()


@pytest.fixture
def http() -> Iterator[ChefHttp]:
    """What is tested."""
    made = ChefHttp(SIGNER, None)
    yield made
    made.close()


def get(http: ChefHttp, url: str, limit: float = 20.0) -> chef_http.Answer:
    """Ask with a limit of seconds."""
    return http.get(url, time.monotonic() + limit)


def refused(http: ChefHttp, url: str, why: str, limit: float = 20.0) -> None:
    """Ask, and expect that there is no answer."""
    began = time.monotonic()
    with pytest.raises(IdentityUnavailable, match=why):
        get(http, url, limit)
    assert time.monotonic() - began < limit + SLACK


def _wait(handler: Any) -> None:
    handler.stub.stopping.wait(60)


def _trickle_headers(handler: Any) -> None:
    handler.trickle(b"HTTP/1.1 200 OK\r\n" + b"X-Slow: yes\r\n" * 1000)


def _trickle_body(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    handler.trickle(b" " * 9999)


def _trickle_without_length(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    handler.trickle(b" " * 9999)


@pytest.mark.parametrize(
    "script", [_wait, _trickle_headers, _trickle_body, _trickle_without_length]
)
def test_a_slow_server_is_given_up(
    stub: ChefStub, http: ChefHttp, script: Callable[[Any], None]
) -> None:
    stub.script("/slow", script)
    refused(http, stub.url + "/slow", "did not answer in time", LIMIT)
    stub.answer("/fast", {})
    assert get(http, stub.url + "/fast").status == 200


def test_a_silent_handshake_is_given_up(http: ChefHttp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        refused(http, url, "did not answer in time", LIMIT)


def test_time_that_is_up_already_is_told_without_asking(stub: ChefStub, http: ChefHttp) -> None:
    refused(http, stub.url + "/", "did not answer in time", 0.0)
    assert stub.heard == []


def test_a_server_that_is_away_is_told(http: ChefHttp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    refused(http, f"http://127.0.0.1:{port}/", "cannot be reached: Connection refused")


def _end_early(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}")
    handler.close_connection = True


def _end_early_in_chunks(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n99\r\n{}")
    handler.close_connection = True


def _say_nothing(handler: Any) -> None:
    handler.close_connection = True


def _say_nonsense(handler: Any) -> None:
    handler.wfile.write(b"220 mail.example.com ESMTP\r\n")
    handler.close_connection = True


@pytest.mark.parametrize("script", [_end_early, _end_early_in_chunks, _say_nothing, _say_nonsense])
def test_half_an_answer_is_none(
    stub: ChefStub, http: ChefHttp, script: Callable[[Any], None]
) -> None:
    stub.script("/half", script)
    refused(http, stub.url + "/half", "ended early|cannot be reached")


def test_what_is_too_large_is_not_read(
    stub: ChefStub, http: ChefHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chef_http, "LARGEST", 1000)
    stub.answer("/fits", b"x" * 1000)
    stub.answer("/large", b"x" * 1001)
    assert len(get(http, stub.url + "/fits").body) == 1000
    refused(http, stub.url + "/large", "larger than 1000 bytes")


def test_a_compressed_answer_is_not_unpacked(stub: ChefStub, http: ChefHttp) -> None:
    stub.answer("/packed", b"{}", Content_Encoding="gzip")
    refused(http, stub.url + "/packed", "compressed")


def test_a_redirect_is_not_followed(stub: ChefStub, http: ChefHttp) -> None:
    stub.answer("/moved", {}, 302, Location=stub.url + "/elsewhere")
    assert get(http, stub.url + "/moved").status == 302
    assert [each.path for each in stub.heard] == ["/moved"]


def test_threads_that_ask_one_after_the_other_share_a_connection(
    stub: ChefStub, http: ChefHttp
) -> None:
    stub.answer("/", {})
    for _ in range(5):
        thread = threading.Thread(target=get, args=(http, stub.url + "/"))
        thread.start()
        thread.join()
    assert [each.port for each in stub.heard] == [stub.heard[0].port] * 5


def test_a_kept_connection_that_the_server_closed_is_replaced(
    stub: ChefStub, http: ChefHttp
) -> None:
    def close_on_the_second(handler: Any) -> None:
        ports = [each.port for each in stub.heard]
        if ports.count(ports[-1]) > 1:
            handler.close_connection = True
        else:
            handler.reply(200, b"{}", {})

    stub.script("/", close_on_the_second)
    assert get(http, stub.url + "/").status == 200
    assert get(http, stub.url + "/").status == 200
    assert len({each.port for each in stub.heard}) == 2


def test_many_threads_may_ask_at_once(stub: ChefStub, http: ChefHttp) -> None:
    for number in range(8):
        stub.answer(f"/{number}", {"number": number})
    wrong: List[Any] = []

    def ask(number: int) -> None:
        for _ in range(20):
            body = get(http, f"{stub.url}/{number}").body
            if body != b'{"number": %d}' % number:
                wrong.append(body)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(stub.heard) == 160
    assert len({each.port for each in stub.heard}) <= 8


def test_nothing_of_the_environment_counts(
    stub: ChefStub, http: ChefHttp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login mallory password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://192.0.2.1:9")
    stub.answer("/", {})
    assert get(http, stub.url + "/").status == 200
    assert "authorization" not in stub.heard[0].headers


def test_only_the_ca_that_was_set_is_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
    stub = ChefStub(tls_context(tmp_path / "mine"))
    tls_context(tmp_path / "other")
    mine, other = (tmp_path / name / "ca.pem" for name in ("mine", "other"))
    stub.answer("/", {})
    try:
        for ca in (None, str(other)):
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(mine))
            http = ChefHttp(SIGNER, ca)
            refused(http, stub.url + "/", "certificate is not accepted, see the setting chef.ca")
            http.close()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
        http = ChefHttp(SIGNER, str(mine))
        assert get(http, stub.url + "/").status == 200
        http.close()
    finally:
        stub.close()
    assert all("authorization" not in each.headers for each in stub.heard)
