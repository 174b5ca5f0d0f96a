"""Settings from the server: the signed GET over real TLS, and every way in which it can fail."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Dict, Iterator
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from raw_server import RawServer, key_of
from stub_certificates import make_ca, pem_of

from push_jobs_agent import bootstrap
from push_jobs_agent.bootstrap import FetchError, Request, fetch
from push_jobs_agent.server_settings import AnswerError, ServerSettings, from_json, to_json
from push_jobs_wire.errors import PushJobsError

CURVE = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RawServer]:
    server = RawServer(tmp_path)
    yield server
    server.close()


@pytest.fixture
def request_(server: RawServer, tmp_path: Path) -> Request:
    key = tmp_path / "web1.pem"
    key.write_bytes(pem_of(key_of("web1")))
    return Request(server.url, "acme", "web1", str(key), CURVE, ca_file=str(server.ca_file))


def failure(request: Request) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetch(request)
    return caught.value


@pytest.mark.proves("P-8b", "P-8c")
def test_settings_are_fetched_verified_and_complete(server: RawServer, request_: Request) -> None:
    found = fetch(request_)
    numbers = key_of("server").public_key().public_numbers()
    assert (found.modulus, found.exponent) == (numbers.n, numbers.e)
    assert found.session_key == server.session_key
    assert found.command_addr == server.command_addr
    assert (found.interval, found.lifetime, found.max_message_skew) == (0.5, 3600.0, 300.0)
    assert found.max_body_size == 65536 and found.extensions == 1
    assert str(found.session_key) not in repr(found)
    [target] = server.gets
    assert f"?ccpk={quote(CURVE, safe='')}&" in target
    assert urlsplit(target).path == "/organizations/acme/pushy/config/web1"
    assert parse_qs(urlsplit(target).query) == {"ccpk": [CURVE], "version": ["2.0"]}


def test_an_old_server_says_nothing_of_extensions(server: RawServer, request_: Request) -> None:
    server.extensions = 0
    assert fetch(request_).extensions == 0


def test_settings_survive_the_way_between_processes(request_: Request) -> None:
    found = fetch(request_)
    assert from_json(json.loads(json.dumps(to_json(found)))) == found


def run_helper(request: Request, **environment: str) -> Dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "push_jobs_agent.bootstrap"],
        input=json.dumps(asdict(request)).encode(),
        env=dict(os.environ, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=True,
    )
    assert done.stderr == b""
    answer: Dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_helper_process_answers_in_json(request_: Request) -> None:
    assert isinstance(from_json(run_helper(request_)), ServerSettings)
    answer = run_helper(replace(request_, server_url="https://localhost:1/organizations/acme"))
    assert answer["status"] == 0 and answer["lasting"] is False
    assert "cannot reach https://localhost:1: Connection refused" in answer["error"]


def test_only_the_pinned_certificates_count_whatever_the_environment_says(
    request_: Request, tmp_path: Path
) -> None:
    make_ca(tmp_path, "other.pem")
    other, good = str(tmp_path / "other.pem"), str(request_.ca_file)
    assert "error" not in run_helper(request_, REQUESTS_CA_BUNDLE=other)
    answer = run_helper(replace(request_, ca_file=other), REQUESTS_CA_BUNDLE=good)
    assert "is not trusted" in answer["error"]


def test_a_server_with_an_unknown_certificate_is_not_trusted(request_: Request) -> None:
    found = failure(replace(request_, ca_file=None))
    assert "certificate of https://localhost" in str(found) and "is not trusted" in str(found)
    assert found.lasting


def test_certificates_of_a_folder_are_trusted_beside_the_systems(
    request_: Request, tmp_path: Path
) -> None:
    folder = tmp_path / "trusted_certs"
    folder.mkdir()
    (folder / "push.crt").write_bytes(Path(str(request_.ca_file)).read_bytes())
    trusting = replace(request_, ca_file=None, trusted_certs_dir=str(folder))
    assert fetch(trusting).session_key


@pytest.mark.parametrize("content", [None, b"this is no certificate"])
def test_a_ca_file_that_is_not_usable_is_named(
    request_: Request, tmp_path: Path, content: Any
) -> None:
    path = tmp_path / "broken.pem"
    if content is not None:
        path.write_bytes(content)
    text = str(failure(replace(request_, ca_file=str(path))))
    assert str(path) in text


@pytest.mark.parametrize(
    ("status", "words", "expected", "lasting"),
    [
        (401, "Invalid signature for user or client 'web1'", "refuses the signature of web1", True),
        (401, "Failed: Synchronize the clock on your host.", "clock of this node is wrong", True),
        (403, "'web1' is not associated", "does not let web1 get settings", True),
        (404, "organization 'acme' does not exist.", "knows no organization acme", True),
        (302, "", "name the right address in chef_server_url", True),
        (502, "no \x1b[31mkeys\n", "cannot give settings now", False),
    ],
)
def test_refusals_are_told_in_clear_words(
    server: RawServer, request_: Request, status: int, words: str, expected: str, lasting: bool
) -> None:
    server.refusal = (status, words)
    found = failure(request_)
    assert expected in str(found) and f"status {status}" in str(found)
    assert found.status == status and found.lasting is lasting
    assert str(found).isprintable()


def test_the_wrong_private_key_is_refused_by_the_server(request_: Request, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(pem_of(key_of("somebody else")))
    found = failure(replace(request_, client_key=str(other)))
    assert found.status == 401 and str(other) in str(found)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n"])
def test_a_private_key_that_is_not_usable_is_named(
    request_: Request, tmp_path: Path, content: Any
) -> None:
    path = tmp_path / "broken.pem"
    if content is not None:
        path.write_bytes(content)
    found = failure(replace(request_, client_key=str(path)))
    assert str(path) in str(found) and found.lasting


def test_a_session_key_for_somebody_else_is_not_used(server: RawServer, request_: Request) -> None:
    stolen = server.settings(key_of("somebody else").public_key())["encoded_session_key"]
    server.changes = {"encoded_session_key": stolen}
    with pytest.raises(PushJobsError, match="session key"):
        fetch(request_)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"push_jobs": None}, "push_jobs.heartbeat.out_addr is missing"),
        ({"public_key": None}, "public_key is missing"),
        ({"encoded_session_key": {"method": "none", "key": "AA=="}}, "encoded_session_key.method"),
        ({"lifetime": "long"}, "lifetime is 'long'"),
        ({"max_message_skew": -1}, "max_message_skew is -1"),
        ({"max_body_size": 10}, "max_body_size is 10"),
        ({"curve_public_key": "short"}, "curve_public_key is 'short'"),
        ({"curve_public_key": "~" * 40}, "expected 40 characters of Z85"),
        ({"node": "web2"}, "node is 'web2', expected 'web1'"),
        ({"organization": "other"}, "organization is 'other', expected 'acme'"),
        ({"extensions": "yes"}, "extensions is 'yes'"),
    ],
)
def test_an_incomplete_answer_is_refused_by_name(
    server: RawServer, request_: Request, changes: Dict[str, Any], named: str
) -> None:
    server.changes = changes
    with pytest.raises(AnswerError) as caught:
        fetch(request_)
    assert named in str(caught.value)


def test_all_faults_of_an_answer_are_named_at_once(server: RawServer, request_: Request) -> None:
    server.changes = {"lifetime": 0, "max_body_size": None, "incarnation_id": 5}
    with pytest.raises(AnswerError) as caught:
        fetch(request_)
    for name in ("lifetime", "max_body_size", "incarnation_id"):
        assert name in str(caught.value)


@pytest.mark.parametrize("address", ["tcp://*:1", "ipc:///tmp/x", "tcp://h", "tcp://h:1;x", 5])
def test_addresses_that_are_none_are_refused(
    server: RawServer, request_: Request, address: Any
) -> None:
    beats = server.settings(key_of("web1").public_key())["push_jobs"]["heartbeat"]
    server.changes = {"push_jobs": {"heartbeat": dict(beats, command_addr=address)}}
    with pytest.raises(AnswerError, match="command_addr"):
        fetch(request_)


def test_a_public_key_that_is_none_is_refused(server: RawServer, request_: Request) -> None:
    server.changes = {"public_key": "-----BEGIN PUBLIC KEY-----\nAAAA\n"}
    assert "public key is not usable" in str(failure(request_))


@pytest.mark.parametrize("answer", [b"", b"null", b"[1]", b"{", b"[" * 200_000])
def test_an_answer_that_is_no_object_is_refused(
    server: RawServer, request_: Request, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "settings", lambda key: answer)
    with pytest.raises(PushJobsError, match="no JSON"):
        fetch(request_)


def test_an_answer_without_end_is_cut(
    server: RawServer, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "settings", lambda key: b"x" * (bootstrap.MAX_ANSWER + 1))
    assert "more than" in str(failure(request_))


def test_a_server_that_says_nothing_is_given_up(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/organizations/acme"
        found = failure(replace(request_, server_url=url))
    assert "did not answer" in str(found) and not found.lasting
