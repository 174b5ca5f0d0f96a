"""Headers read before anybody is looked up: names, clock, version (pushy-api 2.1 to 2.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Optional

import pytest
from chef_requests import (
    BAD_TIMESTAMP,
    BODY,
    JOBS,
    NODE_STATES,
    NOT_SYNCHRONOUS,
    NOW,
    REQUIRED,
    UNSUPPORTED,
    VERSIONS,
    Request,
    refusal,
    signed,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("method, target, body", [("GET", NODE_STATES, b""), ("POST", JOBS, BODY)])
def test_every_version_is_accepted(
    key: RSAPrivateKey, version: str, method: str, target: str, body: bytes
) -> None:
    request = signed(key, version, method=method, target=target, body=body)
    assert request.verify(key) == 0


@pytest.mark.parametrize("age", [0, 30, -30, 899, -899, 899.9])
def test_timestamps_near_the_clock_are_accepted(key: RSAPrivateKey, age: float) -> None:
    assert signed(key).verify(key, now=NOW + age) == 0


@pytest.mark.parametrize("age", [900, -900, 3600, -3600, 1e12, -1e12, float("nan")])
def test_timestamps_far_from_the_clock_are_refused(key: RSAPrivateKey, age: float) -> None:
    assert refusal(signed(key), key, now=NOW + age) == (401, [NOT_SYNCHRONOUS])


@pytest.mark.proves("A-3b")
@pytest.mark.parametrize(
    "text",
    [
        "xxx",
        "2024-05-14",
        "2024-05-14T09:26:53.5Z",
        "2024-05-14T09:26:53+00:00",
        "2024-05-14T09:26:53 Z",
        "2024-05-14 09:26:53Z",
        "2024-13-14T09:26:53Z",
        "2024-02-30T09:26:53Z",
        "2024-05-14T24:26:53Z",
        "2024-05-14T09:26:60Z",
        "2024-05-14T09:26:5_3Z",
        "2024-05-14T09:26:٥٣Z",
        "0000-05-14T09:26:53Z",
        "99999-05-14T09:26:53Z",
        "9" * 5000 + "-05-14T09:26:53Z",
        "Tue, 14 May 2024 09:26:53 GMT",
        "-T:Z",
    ],
)
def test_unreadable_timestamps_are_refused(key: RSAPrivateKey, text: str) -> None:
    request = signed(key).with_header("X-Ops-Timestamp", text)
    assert refusal(request, key) == (401, [BAD_TIMESTAMP])


@pytest.mark.parametrize(
    "text", ["2024-5-14T9:26:53Z", "2024-05-14T09:26:53", "2024:05:14:09:26:53"]
)
def test_the_timestamp_is_signed_as_it_was_sent(key: RSAPrivateKey, text: str) -> None:
    assert signed(key, timestamp=text).verify(key) == 0
    assert refusal(signed(key).with_header("X-Ops-Timestamp", text), key)[0] == 401


@pytest.mark.proves("A-4")
@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, ""])
def test_a_required_header_absent_or_empty(
    key: RSAPrivateKey, name: str, value: Optional[str]
) -> None:
    request = signed(key).with_header(name, value)
    message = f"missing required authentication header(s) '{name}'"
    assert refusal(request, key) == (400, [message])


def test_all_missing_headers_are_listed_in_order() -> None:
    message = (
        "missing required authentication header(s) "
        "'X-Ops-UserId', 'X-Ops-Timestamp', 'X-Ops-Sign', 'X-Ops-Content-Hash'"
    )
    assert refusal(Request({"X-Ops-Authorization-1": "abc"})) == (400, [message])


@pytest.mark.parametrize("spelled", [str.lower, str.upper, str.title])
def test_header_names_are_case_insensitive(
    key: RSAPrivateKey, spelled: Callable[[str], str]
) -> None:
    request = signed(key, server_api_version="2")
    headers = {spelled(name): value for name, value in request.headers.items()}
    assert replace(request, headers=headers).verify(key) == 0


def test_checks_come_in_the_order_of_the_specification(key: RSAPrivateKey) -> None:
    wrong = signed(key).with_header("X-Ops-Sign", "version=8.1")
    late = wrong.with_header("X-Ops-Timestamp", "2024-05-14T08:00:00Z")
    lacking = late.with_header("X-Ops-Content-Hash", None)
    assert refusal(lacking, key)[0] == 400
    assert "missing" in refusal(lacking, key)[1][0]
    assert refusal(late, key) == (401, [NOT_SYNCHRONOUS])
    assert refusal(wrong, key) == (400, [UNSUPPORTED])


# --- X-Ops-Sign (pushy-api 2.3)


@pytest.mark.parametrize(
    "value",
    [
        "version=1.3",
        "version=1.3;",
        "algorithm=sha256;version=1.3;",
        "version=1.3;algorithm=sha256",
        ";;version=1.3;colour=blue;;",
        "version=1.3;version=1.1;algorithm=sha256;algorithm=sha1",
        "algorithm=sha1=;version=1.3",
        " algorithm=sha1;version=1.3",
        "nonsense;version=1.3",
    ],
)
def test_spellings_of_the_version(key: RSAPrivateKey, value: str) -> None:
    assert signed(key).with_header("X-Ops-Sign", value).verify(key) == 0


@pytest.mark.proves("A-3a")
@pytest.mark.parametrize(
    "value",
    [
        "version=8.1",
        "version=",
        "version",
        "algorithm=sha256",
        "algorithm=sha256;version=1.1",
        "algorithm=sha256;version=1.0",
        "algorithm=sha1;version=1.3",
        "algorithm=;version=1.3",
        "algorithm=SHA256;version=1.3",
        " version=1.3",
        "version=1.3 ",
        "version==1.3",
        "Version=1.3",
        "version=8.1;version=1.3",
        "version=1.3,version=1.3",
        ";",
    ],
)
def test_unsupported_versions_and_algorithms(key: RSAPrivateKey, value: str) -> None:
    assert refusal(signed(key).with_header("X-Ops-Sign", value), key) == (400, [UNSUPPORTED])
