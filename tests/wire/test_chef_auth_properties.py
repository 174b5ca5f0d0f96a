"""Properties of signed headers: whatever is signed verifies, and no input raises another error."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Dict, Optional

from chef_requests import ACCEPTED, BODY, NOW, REQUIRED, TIME, VERSIONS, Request, refusal, signed
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from push_jobs_wire import chef_auth

URL_TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60)
USER_IDS = st.text(min_size=1, max_size=16).filter(  # four bytes each fit into a 1.0 signature
    lambda text: text.isprintable() and text == text.strip()
)
TIMES = st.integers(min_value=0, max_value=4_000_000_000)


@settings(deadline=None, max_examples=60)
@given(
    version=st.sampled_from(VERSIONS),
    method=st.sampled_from(["GET", "post", "Put", "DELETE"]),
    target=URL_TEXT.map(lambda text: "/" + text),
    body=st.binary(max_size=200),
    user_id=USER_IDS,
    now=TIMES,
    api_version=st.none() | st.integers(0, 99).map(str),
)
def test_whatever_is_signed_verifies(
    key: RSAPrivateKey,
    version: str,
    method: str,
    target: str,
    body: bytes,
    user_id: str,
    now: int,
    api_version: Optional[str],
) -> None:
    request = signed(
        key,
        version,
        method=method,
        target=target,
        body=body,
        user_id=user_id,
        timestamp=chef_auth.timestamp(now),
        server_api_version=api_version,
    )
    assert request.verify(key, now=now) == 0
    claim = chef_auth.read_claim(request.headers, now)
    assert claim.user_id == user_id


@given(target=st.text())
def test_canonical_paths_stay_as_they_are(target: str) -> None:
    path = chef_auth.canonical_path(target)
    assert path and "//" not in path and "?" not in path
    assert path == "/" or not path.endswith("/")
    assert chef_auth.canonical_path(path) == path


VECTOR_HEADERS: Dict[str, Dict[str, str]] = {
    vector["sign_version"]: vector["headers"] for vector in ACCEPTED
}
HEADER_NAMES = st.sampled_from(
    [*REQUIRED, "X-Ops-Server-API-Version", *(f"X-Ops-Authorization-{n}" for n in range(1, 8))]
)
ANY_CHARACTER = st.integers(0, 0x10FFFF).map(chr)  # lone surrogates too
ODD_TEXT = st.text(max_size=80) | st.lists(ANY_CHARACTER, max_size=20).map("".join)
LIKELY_TEXT = st.sampled_from(
    [TIME, "version=1.0", "version=1.1", "version=1.2", "version=1.3", "alice", "A" * 60, "0"]
)


@settings(deadline=None, max_examples=300)
@given(
    version=st.sampled_from(VERSIONS),
    changes=st.dictionaries(HEADER_NAMES, ODD_TEXT | LIKELY_TEXT, min_size=1, max_size=4),
    others=st.dictionaries(ODD_TEXT, ODD_TEXT, max_size=3),
    now=st.just(NOW) | st.floats(),
    method=ODD_TEXT,
    target=ODD_TEXT,
    body=st.binary(max_size=20) | st.just(BODY),
)
def test_hostile_requests_raise_nothing_but_auth_errors(
    key: RSAPrivateKey,
    version: str,
    changes: Dict[str, str],
    others: Dict[str, str],
    now: float,
    method: str,
    target: str,
    body: bytes,
) -> None:
    request = Request(VECTOR_HEADERS[version], method, target, body)
    for name, value in changes.items():
        request = request.with_header(name, value)
    hostile = replace(request, headers={**others, **request.headers})
    status, error = refusal(hostile, key, now=now)
    assert status in (400, 401)
    assert len(error) == 1 and json.dumps(error, ensure_ascii=False).encode("utf-8")


@given(headers=st.dictionaries(HEADER_NAMES | ODD_TEXT, ODD_TEXT, max_size=12))
def test_arbitrary_headers_raise_nothing_but_auth_errors(headers: Dict[str, str]) -> None:
    assert refusal(Request(headers))[0] in (400, 401)
