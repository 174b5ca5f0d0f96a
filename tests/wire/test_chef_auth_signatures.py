"""Signing and verifying: what is signed cannot be changed (pushy-api 2.4 and 2.5)."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any, Callable, Dict, List

import pytest
from chef_requests import (
    BODY,
    INVALID,
    JOBS,
    NODE_STATES,
    NOW,
    TIME,
    VERSIONS,
    Request,
    refusal,
    signature_as,
    signed,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from push_jobs_wire import chef_auth, rsa
from push_jobs_wire.errors import LocalError

CHANGES: Dict[str, Callable[[Request], Request]] = {
    "user": lambda request: request.with_header("X-Ops-UserId", "bob"),
    "timestamp": lambda request: request.with_header("X-Ops-Timestamp", "2024-05-14T09:26:54Z"),
    "content hash": lambda request: request.with_header(
        "X-Ops-Content-Hash", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="
    ),
    "method": lambda request: replace(request, method="PUT"),
    "path": lambda request: replace(request, target=NODE_STATES),
    "case of the path": lambda request: replace(request, target=JOBS.replace("acme", "Acme")),
    "encoding of the path": lambda request: replace(request, target=JOBS.replace("a", "%61")),
    "path outside ASCII": lambda request: replace(request, target=JOBS + "/\xe9"),
    "path outside Latin-1": lambda request: replace(request, target=JOBS + "/\u0110"),
    "body": lambda request: replace(request, body=BODY + b" "),
    "no body": lambda request: replace(request, body=b""),
}


@pytest.mark.proves("A-5a")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("change", list(CHANGES))
def test_what_is_signed_cannot_be_changed(key: RSAPrivateKey, version: str, change: str) -> None:
    request = CHANGES[change](signed(key, version))
    user = "bob" if change == "user" else "alice"
    assert refusal(request, key) == (401, [INVALID.format(user)])


@pytest.mark.parametrize("line", [1, 3, 6])
def test_a_missing_signature_line(key: RSAPrivateKey, line: int) -> None:
    for value in (None, ""):
        request = signed(key).with_header(f"X-Ops-Authorization-{line}", value)
        assert refusal(request, key) == (401, [INVALID.format("alice")])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "lines", [[], [""], ["xxx"], ["===="], ["A" * 344], ["AAAA"], ["\xe9" * 344], ["\u0110" * 344]]
)
def test_nonsense_instead_of_a_signature(
    key: RSAPrivateKey, version: str, lines: List[str]
) -> None:
    request = signature_as(signed(key, version), *lines)
    assert refusal(request, key) == (401, [INVALID.format("alice")])


@pytest.mark.parametrize("text", [b"", b"XXX"])
def test_a_signature_over_another_text(key: RSAPrivateKey, text: bytes) -> None:
    signature = base64.b64encode(rsa.sign_raw(key, text)).decode("ascii")
    for version in VERSIONS:
        request = signature_as(signed(key, version), signature)
        assert refusal(request, key) == (401, [INVALID.format("alice")])


def test_a_signature_of_one_version_is_none_of_another(key: RSAPrivateKey) -> None:
    for version in ("1.0", "1.1", "1.2"):
        for other in {"1.0", "1.1", "1.2"} - {version}:
            request = signed(key, version).with_header("X-Ops-Sign", f"version={other}")
            assert refusal(request, key) == (401, [INVALID.format("alice")])


def test_lines_of_any_length_and_white_space_in_them_are_read(key: RSAPrivateKey) -> None:
    request = signed(key)
    text = chef_auth.read_claim(request.headers, NOW).signature_text
    assert signature_as(request, text).verify(key) == 0
    assert signature_as(request, text[:7], text[7:300], text[300:]).verify(key) == 0
    assert signature_as(request, text[:9] + " \t" + text[9:]).verify(key) == 0
    assert refusal(signature_as(request, text[:9] + "-" + text[9:]), key)[0] == 401
    assert refusal(signature_as(request, text[:9] + "\xa0" + text[9:]), key)[0] == 401


def test_lines_are_60_characters_long(key: RSAPrivateKey) -> None:
    headers = signed(key).headers
    lengths = [len(headers[f"X-Ops-Authorization-{number}"]) for number in range(1, 7)]
    assert lengths == [60, 60, 60, 60, 60, 44]
    assert "X-Ops-Authorization-7" not in headers


# --- the server API version (pushy-api 2.4)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_api_version_is_sent_by_all_and_signed_by_1_3(key: RSAPrivateKey, version: str) -> None:
    request = signed(key, version, server_api_version="1")
    assert request.headers["X-Ops-Server-API-Version"] == "1"
    assert request.verify(key) == 0
    for wrong in ("2", None, "x"):
        changed = request.with_header("X-Ops-Server-API-Version", wrong)
        if version == "1.3":
            assert refusal(changed, key) == (401, [INVALID.format("alice")])
        else:
            assert changed.verify(key) == 0


@pytest.mark.proves("A-5b")
def test_an_absent_api_version_is_signed_as_0(key: RSAPrivateKey) -> None:
    request = signed(key)
    assert "X-Ops-Server-API-Version" not in request.headers
    for same in ("0", "00", "+0", ""):
        assert request.with_header("X-Ops-Server-API-Version", same).verify(key) == 0


@pytest.mark.parametrize("value", ["x", "1.0", " ", "1 ", "0x0", "0_0", "٠", "0" * 5000])
def test_an_api_version_that_is_no_integer_is_refused(key: RSAPrivateKey, value: str) -> None:
    request = signed(key).with_header("X-Ops-Server-API-Version", value)
    assert refusal(request, key) == (401, [INVALID.format("alice")])


# --- signing


@pytest.mark.parametrize(
    "part, value, message",
    [
        ("version", "1.4", "choose one of 1.0, 1.1, 1.2, 1.3"),
        ("target", "/a b", "percent-encoded"),
        ("target", "/caf\xe9", "percent-encoded"),
        ("target", "/a\r\nX-Ops-UserId: bob", "percent-encoded"),
        ("user_id", "", "user id '' cannot be sent"),
        ("user_id", " alice", "cannot be sent"),
        ("user_id", "alice\nbob", "cannot be sent"),
        ("user_id", "\ud800", "cannot be sent"),
        ("timestamp", "now", "YYYY-MM-DDThh:mm:ssZ"),
        ("server_api_version", "two", "not an integer"),
    ],
)
def test_what_cannot_be_signed_is_explained(
    key: RSAPrivateKey, part: str, value: str, message: str
) -> None:
    parts: Any = {part: value}
    with pytest.raises(LocalError, match=message):
        signed(key, **parts)


def test_a_user_id_too_long_for_1_0_is_explained(key: RSAPrivateKey) -> None:
    long = "n" * 200
    with pytest.raises(LocalError, match="2048 bits; use a key of at least"):
        signed(key, "1.0", user_id=long)
    for version in ("1.1", "1.2", "1.3"):
        assert signed(key, version, user_id=long).verify(key) == 0


def test_user_ids_travel_as_utf_8(key: RSAPrivateKey) -> None:
    name = "žofie"
    for version in VERSIONS:
        request = signed(key, version, user_id=name)
        assert request.headers["X-Ops-Userid"].encode("latin-1") == name.encode("utf-8")
        assert chef_auth.read_claim(request.headers, NOW).user_id == name
        assert request.with_header("X-Ops-Userid", name).verify(key) == 0
        assert refusal(request.with_header("X-Ops-Userid", "\xff\xfe"), key)[0] == 401


def test_timestamps_are_written_in_whole_seconds() -> None:
    assert chef_auth.timestamp(NOW) == TIME
    assert chef_auth.timestamp(NOW + 0.999) == TIME
    assert chef_auth.timestamp(0.0) == "1970-01-01T00:00:00Z"


@pytest.mark.proves("P-8c", "A-5a")
@pytest.mark.parametrize(
    "target, expected",
    [
        ("", "/"),
        ("/", "/"),
        ("//", "/"),
        ("/?a=/b//c/", "/"),
        ("?a", "/"),
        ("/a/", "/a"),
        ("/a//", "/a"),
        ("//a///b", "/a/b"),
        ("/a?b?c", "/a"),
        ("/a/?b=//", "/a"),
        ("/a%2F%2fb%20", "/a%2F%2fb%20"),
        ("/A/%3F", "/A/%3F"),
    ],
)
def test_canonical_paths(target: str, expected: str) -> None:
    assert chef_auth.canonical_path(target) == expected
