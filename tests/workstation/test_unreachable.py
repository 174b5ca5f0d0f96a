"""Servers that are away, silent, wrong or not to be trusted: each has its own clear sentence."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import closing
from pathlib import Path
from typing import Iterator, List

import pytest
from pushy_stub import Answer, PushyStub, free_port
from stub_certificates import make_ca

from push_jobs import Client
from push_jobs.errors import (
    ApiError,
    ConnectionLost,
    PushJobsClientError,
    ServerUnreachable,
    UntrustedServer,
    UsageError,
)


def ask(stub: PushyStub, url: str, **trust: object) -> PushJobsClientError:
    """Return the error that asking ``url`` ends with."""
    arguments = {"ca": stub.ca, "timeout": 10.0, **trust}
    with Client(url, stub.user, stub.key, **arguments) as client:  # type: ignore[arg-type]
        with pytest.raises(PushJobsClientError) as caught:
            client.nodes()
    return caught.value


def at(port: int, scheme: str = "https") -> str:
    """Return the URL of a server on this machine."""
    return f"{scheme}://127.0.0.1:{port}/organizations/acme"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_nobody_listens(stub: PushyStub) -> None:
    port = free_port()
    error = ask(stub, at(port))
    assert isinstance(error, ServerUnreachable) and not error.may_have_arrived
    assert str(error) == f"cannot reach the server at 127.0.0.1:{port}: connection refused"


def test_a_name_that_does_not_exist(stub: PushyStub) -> None:
    error = ask(stub, "https://nobody.invalid/organizations/acme")
    assert isinstance(error, ServerUnreachable)
    assert "at nobody.invalid:443: its name cannot be resolved" in str(error)


def test_a_server_that_never_shakes_hands(stub: PushyStub, listener: socket.socket) -> None:
    error = ask(stub, at(listener.getsockname()[1]), timeout=0.2)
    assert isinstance(error, ServerUnreachable)
    assert "no answer within 0.2 s" in str(error)


def test_a_server_that_never_answers(stub: PushyStub) -> None:
    stub.hold = threading.Event()
    error = ask(stub, stub.url, timeout=0.2)
    assert isinstance(error, ServerUnreachable) and error.may_have_arrived
    assert "connected, but no answer within 0.2 s" in str(error)


def test_a_server_without_tls(stub: PushyStub, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    with PushyStub(folder, tls=False) as plain:
        error = ask(stub, at(plain.port))
    assert isinstance(error, ServerUnreachable)
    assert "does not speak TLS on this port" in str(error)


def test_plain_http_on_this_machine(tmp_path: Path) -> None:
    with PushyStub(tmp_path, tls=False) as plain:
        with Client(plain.url, plain.user, plain.key) as client:
            assert client.nodes() == []


def test_a_server_that_speaks_something_else(stub: PushyStub) -> None:
    stub.next_answers = [Answer(raw=b"220 mail.example.com ESMTP\r\n")]
    assert "the answer is not HTTP" in str(ask(stub, stub.url))


def test_a_lost_connection_is_tried_once_more_with_the_same_signature(stub: PushyStub) -> None:
    stub.next_answers = [Answer(raw=b"")]
    with Client(stub.url, stub.user, stub.key, ca=stub.ca) as client:
        assert client.nodes() == []
    first, second = stub.seen
    assert first.headers["X-Ops-Authorization-1"] == second.headers["X-Ops-Authorization-1"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n[]",
    ],
)
def test_an_answer_that_is_cut(stub: PushyStub, raw: bytes) -> None:
    stub.next_answers = [Answer(raw=raw), Answer(raw=raw)]
    error = ask(stub, stub.url)
    assert isinstance(error, ConnectionLost) and error.may_have_arrived
    assert "closed before the answer was complete" in str(error)


@pytest.mark.parametrize("answer", [Answer(raw=b""), Answer(502, b"{}"), Answer(504, b"{}")])
def test_a_start_that_is_never_answered_says_that_the_job_may_run(
    stub: PushyStub, answer: Answer
) -> None:
    stub.next_answers = [answer] * 10
    with Client(stub.url, stub.user, stub.key, ca=stub.ca) as client:
        with pytest.raises((ServerUnreachable, ApiError), match="may have started all the same"):
            client.start_job("true", ["web1"], patience=0.3)
    assert len(stub.seen) > 1


def test_a_busy_server_has_not_started_the_job(stub: PushyStub) -> None:
    stub.next_answers = [Answer(503, b'{"error":["full"]}')] * 10
    with Client(stub.url, stub.user, stub.key, ca=stub.ca) as client:
        with pytest.raises(ApiError) as caught:
            client.start_job("true", ["web1"], patience=0)
    assert str(caught.value) == "the server answered 503: full"


LOST = [
    Answer(raw=b"", after_work=True),
    Answer(raw=b"", after_work=True),
    Answer(502, b"<html>", {}, after_work=True),
    Answer(503, b'{"error":["full"]}'),
    Answer(504, b"", after_work=True),
]


def test_a_start_whose_answers_are_lost_starts_one_job(stub: PushyStub) -> None:
    stub.next_answers = list(LOST)
    troubles: List[PushJobsClientError] = []
    with Client(stub.url, stub.user, stub.key, ca=stub.ca) as client:
        job_id = client.start_job("true", ["web1"], on_trouble=troubles.append)
        assert [job["id"] for job in stub.jobs] == [job_id]
        assert len(troubles) == len(LOST) - 1
        first, *others = stub.seen
        assert all((seen.headers, seen.body) == (first.headers, first.body) for seen in others)
        assert client.start_job("true", ["web1"]) != job_id
    keys = {seen.headers["Idempotency-Key"] for seen in stub.seen}
    assert len(keys) == 2, "each call has a key of its own"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500])
def test_a_refused_start_is_not_sent_again(stub: PushyStub, status: int) -> None:
    stub.next_answers = [Answer(status, b'{"error":["no"]}')]
    with Client(stub.url, stub.user, stub.key, ca=stub.ca) as client:
        with pytest.raises(ApiError):
            client.start_job("true", ["web1"])
    assert len(stub.seen) == 1


def test_redirects_are_not_followed(stub: PushyStub) -> None:
    stub.next_answers = [Answer(302, b"", {"Location": "https://evil.example.com/\x7f"})]
    error = ask(stub, stub.url)
    assert isinstance(error, ApiError)
    assert r"it sends us to https://evil.example.com/\x7f; set the server URL" in str(error)
    assert len(stub.seen) == 1


def test_another_ca_is_not_trusted(stub: PushyStub, tmp_path: Path) -> None:
    make_ca(tmp_path, "other.pem")
    error = ask(stub, stub.url, ca=tmp_path / "other.pem")
    assert isinstance(error, UntrustedServer)
    assert "its certificate is not trusted" in str(error)
    assert stub.seen == []


def test_without_a_ca_a_private_one_is_not_trusted(stub: PushyStub) -> None:
    error = ask(stub, stub.url, ca=None)
    assert isinstance(error, UntrustedServer)
    assert "'ca' or 'fingerprint' is set" in str(error)


def test_a_certificate_for_another_name(stub: PushyStub) -> None:
    error = ask(stub, stub.url.replace("127.0.0.1", "127.0.0.2"))
    assert isinstance(error, ServerUnreachable)


def test_the_pinned_ca_wins_over_requests_ca_bundle(
    stub: PushyStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ca(tmp_path, "other.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "other.pem"))
    for trust in ({"ca": stub.ca}, {"fingerprint": stub.fingerprint}):
        with Client(stub.url, stub.user, stub.key, **trust) as client:  # type: ignore[arg-type]
            assert client.nodes() == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stub.ca))
    assert isinstance(ask(stub, stub.url, ca=tmp_path / "other.pem"), UntrustedServer)


def test_a_netrc_file_does_not_count(
    stub: PushyStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with Client(stub.url, stub.user, stub.key, ca=stub.ca) as client:
        client.nodes()
    assert "Authorization" not in stub.seen[0].headers


def test_a_proxy_counts_but_never_for_this_machine(
    stub: PushyStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
    with Client(stub.url, stub.user, stub.key, ca=stub.ca) as client:
        assert client.nodes() == []
    error = ask(stub, "https://push.example.com:10003/organizations/acme")
    assert "at push.example.com:10003: the proxy failed: Connection refused" in str(error)


@pytest.mark.parametrize("form", ["{}", "sha256:{}", "SHA256:{}"])
def test_a_fingerprint_is_enough(stub: PushyStub, form: str) -> None:
    for digits in (stub.fingerprint, stub.fingerprint.replace(":", "").upper()):
        fingerprint = form.format(digits)
        with Client(stub.url, stub.user, stub.key, fingerprint=fingerprint) as client:
            assert client.nodes() == []
            assert client.nodes() == []
    assert [seen.path for seen in stub.seen].count("/pushy/v1/ca") == 2


def test_another_fingerprint_is_refused_before_anything_is_signed(stub: PushyStub) -> None:
    wrong = ":".join(["00"] * 32)
    error = ask(stub, stub.url, ca=None, fingerprint=wrong)
    assert isinstance(error, UntrustedServer)
    assert stub.fingerprint in str(error) and wrong in str(error)
    assert [seen.path for seen in stub.seen] == ["/pushy/v1/ca"]
    assert not any(name.lower().startswith("x-ops") for name in stub.seen[0].headers)


def test_a_server_that_shows_the_true_ca_beside_its_own_is_not_trusted(
    stub: PushyStub, tmp_path: Path
) -> None:
    folder = tmp_path / "impostor"
    folder.mkdir()
    with PushyStub(folder) as impostor:
        both = stub.ca.read_bytes() + impostor.ca.read_bytes()
        for shown in (both, impostor.ca.read_bytes() + stub.ca.read_bytes()):
            impostor.next_answers = [Answer(200, shown)]
            error = ask(stub, impostor.url, ca=None, fingerprint=stub.fingerprint)
            assert isinstance(error, UntrustedServer)
            assert "certificate is not trusted" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, b"{}"),
        Answer(200, b"\xff\x00"),
        Answer(200, b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n"),
    ],
)
def test_a_server_without_a_ca_to_show(stub: PushyStub, answer: Answer) -> None:
    stub.next_answers = [answer]
    error = ask(stub, stub.url, ca=None, fingerprint=stub.fingerprint)
    assert isinstance(error, UntrustedServer)
    assert "it shows no certificate" in str(error)


def test_fetching_the_ca_from_nobody(stub: PushyStub) -> None:
    error = ask(stub, at(free_port()), ca=None, fingerprint=stub.fingerprint)
    assert str(error).endswith("connection refused")


@pytest.mark.parametrize("text", ["", "00:11", "z" * 64, "0" * 63])
def test_what_is_no_fingerprint(stub: PushyStub, text: str) -> None:
    with pytest.raises(UsageError, match=re.escape("64 hexadecimal digits")):
        Client(stub.url, stub.user, stub.key, fingerprint=text)


def test_a_folder_for_temporary_files_that_is_full_or_missing(
    stub: PushyStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    error = ask(stub, stub.url, ca=None, fingerprint=stub.fingerprint)
    assert "cannot keep the CA in a temporary file: No such file or directory" in str(error)


def test_closing_a_client_twice_is_harmless(stub: PushyStub) -> None:
    client = Client(stub.url, stub.user, stub.key, fingerprint=stub.fingerprint)
    with closing(client):
        client.nodes()
        client.close()
