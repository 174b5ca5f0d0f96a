"""The vectors of pushy-api 2.6 in both directions, and the texts that it quotes."""

from __future__ import annotations

import base64
from typing import Any, Dict

import pytest
from chef_requests import (
    ACCEPTED,
    BODY,
    INVALID,
    JOBS,
    NODE_STATES,
    NOW,
    PUBLIC_FORMS,
    QUIRKS,
    REFUSED,
    VECTOR_KEY,
    VECTORS,
    Request,
    refusal,
    request_of,
    signed,
    target_of,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from push_jobs_wire import chef_auth, rsa

each_accepted = pytest.mark.parametrize("vector", ACCEPTED, ids=[v["id"] for v in ACCEPTED])


@each_accepted
@pytest.mark.parametrize("form", PUBLIC_FORMS)
def test_accepted_vectors_verify(vector: Dict[str, Any], form: str) -> None:
    request = request_of(vector)
    claim = chef_auth.read_claim(request.headers, NOW)
    found = chef_auth.verify(
        claim,
        method=request.method,
        target=request.target,
        body=request.body,
        public_keys=[chef_auth.load_public_key(VECTORS["key"][form])],
    )
    assert found == 0
    assert (claim.user_id, claim.timestamp) == (vector["user_id"], vector["timestamp"])
    assert (claim.version, claim.algorithm) == (vector["sign_version"], vector["sign_algorithm"])
    assert claim.content_hash == vector["content_hash"]
    assert claim.signature_text == vector["signature_base64"]
    assert claim.server_api_version == vector["server_api_version_header"]


@each_accepted
def test_signing_gives_the_headers_of_the_vectors(vector: Dict[str, Any]) -> None:
    headers = chef_auth.sign(
        method=vector["method"].lower(),
        target=target_of(vector),
        body=vector["body"].encode("utf-8"),
        user_id=vector["user_id"],
        timestamp=vector["timestamp"],
        private_key=VECTOR_KEY,
        version=vector["sign_version"],
        server_api_version=vector["server_api_version_header"],
    )
    expected = dict(vector["headers"])
    if vector["id"].endswith("-not-from-gem"):  # made by hand, with the shortest possible header
        assert expected["X-Ops-Sign"] == "version=1.2"
        expected["X-Ops-Sign"] = "algorithm=sha1;version=1.2;"
    assert headers == expected


@pytest.mark.parametrize("vector", [v for v in ACCEPTED if v["sign_version"] in ("1.0", "1.1")])
def test_raw_signatures_hold_the_canonical_text(vector: Dict[str, Any]) -> None:
    numbers = VECTOR_KEY.public_key().public_numbers()
    signature = base64.b64decode(vector["signature_base64"])
    text = vector["canonical_request"].encode("utf-8")
    assert rsa.recover_raw(numbers.n, numbers.e, signature) == text
    assert rsa.sign_raw(VECTOR_KEY, text) == signature


@each_accepted
def test_canonical_paths_of_the_vectors(vector: Dict[str, Any]) -> None:
    assert chef_auth.canonical_path(target_of(vector)) == vector["canonical_path"]


@pytest.mark.parametrize("vector", REFUSED, ids=[vector["id"] for vector in REFUSED])
def test_mutated_vectors_are_refused(vector: Dict[str, Any]) -> None:
    now = NOW + vector.get("clock_offset_seconds", 0)
    expected = vector["expect"]
    answer = refusal(request_of(vector), VECTOR_KEY, now=now)
    assert answer == (expected["status"], expected["error"])


def test_every_version_needs_the_right_content_hash() -> None:
    (quirk,) = QUIRKS  # the old server let a wrong hash pass with 1.3; we do not
    request = request_of(quirk)
    assert refusal(request, VECTOR_KEY) == (401, [INVALID.format("alice")])
    repaired = request.with_header("X-Ops-Content-Hash", quirk["content_hash"])
    assert repaired.verify(VECTOR_KEY) == 0


def test_all_vectors_were_seen() -> None:
    assert (len(ACCEPTED), len(REFUSED), len(QUIRKS)) == (13, 15, 1)


@pytest.mark.parametrize(
    "version, body, expected",
    [
        ("1.1", b"", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
        ("1.3", b"", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        ("1.1", BODY, "dM76U3xRrdkIP3/OMDAcC/rsmhk="),
        ("1.3", BODY, "Ez2braNX/lVrD9gs+3wu78PLfM3obvYirG8hJSfJ6Bk="),
    ],
)
def test_content_hashes(key: RSAPrivateKey, version: str, body: bytes, expected: str) -> None:
    assert signed(key, version, body=body).headers["X-Ops-Content-Hash"] == expected


def signed_text(key: RSAPrivateKey, request: Request) -> str:
    numbers = key.public_key().public_numbers()
    claim = chef_auth.read_claim(request.headers, NOW)
    signature = base64.b64decode(claim.signature_text)
    return rsa.recover_raw(numbers.n, numbers.e, signature).decode("ascii")


def test_the_signed_text_in_full(key: RSAPrivateKey) -> None:
    request = signed(key, "1.1", method="GET", target=NODE_STATES, body=b"")
    assert signed_text(key, request) == (
        "Method:GET\n"
        "Hashed Path:as09iSeytj5ZqjgcZZTd9DTdraU=\n"
        "X-Ops-Content-Hash:2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n"
        "X-Ops-Timestamp:2024-05-14T09:26:53Z\n"
        "X-Ops-UserId:UisnajVr3zkBPfq+os1D4UHsyeg="
    )


@pytest.mark.parametrize("target", [JOBS, "/organizations/acme//pushy/jobs/"])
def test_the_hashed_path_of_a_post(key: RSAPrivateKey, target: str) -> None:
    text = signed_text(key, signed(key, "1.0", target=target))
    assert "\nHashed Path:neMBxh2sSuYvibWwN0kLjkYD3Rg=\n" in text
    assert text.endswith("\nX-Ops-UserId:alice")
