"""Requests with Chef's signed headers for the tests of the wire: signed, changed and judged.

The vectors of pushy-api 2.6 are here, too. Nothing here may be used by tests of other parts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from push_jobs_wire import chef_auth

VECTORS_FILE = Path(__file__).parents[1] / "vectors" / "chef-auth.json"
VECTORS: Dict[str, Any] = json.loads(VECTORS_FILE.read_text("utf-8"))
ACCEPTED: List[Dict[str, Any]] = VECTORS["vectors"]
VARIANTS: List[Dict[str, Any]] = VECTORS["negative_and_quirks"]
REFUSED = [vector for vector in VARIANTS if vector["expect"] != "accept"]
QUIRKS = [vector for vector in VARIANTS if vector["expect"] == "accept"]
VECTOR_KEY = chef_auth.load_private_key(VECTORS["key"]["private_key_pkcs1_pem"].encode())
PUBLIC_FORMS = ("public_key_spki_pem", "public_key_pkcs1_pem", "certificate_pem")

VERSIONS = ("1.0", "1.1", "1.2", "1.3")
TIME = "2024-05-14T09:26:53Z"
NOW = datetime(2024, 5, 14, 9, 26, 53, tzinfo=timezone.utc).timestamp()
JOBS = "/organizations/acme/pushy/jobs"
NODE_STATES = "/organizations/acme/pushy/node_states"
BODY = (
    b'{"command":"chef-client","nodes":["web01.example.com","web02.example.com"],'
    b'"quorum":2,"run_timeout":300}'
)
INVALID = "Invalid signature for user or client '{}'"
UNSUPPORTED = "Unsupported authentication protocol version"
BAD_TIMESTAMP = "bad header(s) 'X-Ops-Timestamp'"
REQUIRED = ["X-Ops-UserId", "X-Ops-Timestamp", "X-Ops-Sign", "X-Ops-Content-Hash"]
NOT_SYNCHRONOUS = "Failed to authenticate as alice. Synchronize the clock on your host."


@dataclass(frozen=True)
class Request:
    """What reaches a server; tests change single parts of it with `replace`."""

    headers: Mapping[str, str]
    method: str = "POST"
    target: str = JOBS
    body: bytes = BODY

    def with_header(self, name: str, value: Optional[str]) -> Request:
        """The same request with another header; None leaves it out."""
        headers = {key: old for key, old in self.headers.items() if key.lower() != name.lower()}
        if value is not None:
            headers[name] = value
        return replace(self, headers=headers)

    def verify(self, *keys: RSAPrivateKey, now: float = NOW) -> int:
        """Verify it with the public halves of these keys; the index of the one that fits."""
        claim = chef_auth.read_claim(self.headers, now)
        return chef_auth.verify(
            claim,
            method=self.method,
            target=self.target,
            body=self.body,
            public_keys=[key.public_key() for key in keys],
        )


def signed(
    key: RSAPrivateKey,
    version: str = "1.3",
    *,
    method: str = "POST",
    target: str = JOBS,
    body: bytes = BODY,
    user_id: str = "alice",
    timestamp: str = TIME,
    server_api_version: Optional[str] = None,
) -> Request:
    """A request signed by this key."""
    headers = chef_auth.sign(
        method=method,
        target=target,
        body=body,
        user_id=user_id,
        timestamp=timestamp,
        private_key=key,
        version=version,
        server_api_version=server_api_version,
    )
    return Request(headers, method, target, body)


def refusal(request: Request, *keys: RSAPrivateKey, now: float = NOW) -> Tuple[int, List[str]]:
    """Status and error of a request that must be refused."""
    with pytest.raises(chef_auth.AuthError) as caught:
        request.verify(*keys, now=now)
    return caught.value.status, caught.value.error


def target_of(vector: Dict[str, Any]) -> str:
    """The request target of a vector."""
    query = vector["query_string"]
    return str(vector["path_as_sent"]) + ("" if query is None else f"?{query}")


def request_of(vector: Dict[str, Any]) -> Request:
    """The request that a vector describes."""
    body = vector["body"].encode("utf-8")
    return Request(vector["headers"], vector["method"], target_of(vector), body)


def signature_as(request: Request, *lines: str) -> Request:
    """The same request with these lines as its signature."""
    others = {n: v for n, v in request.headers.items() if "Authorization" not in n}
    numbered = {f"X-Ops-Authorization-{number}": line for number, line in enumerate(lines, 1)}
    return replace(request, headers={**others, **numbered})
