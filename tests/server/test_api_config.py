"""The settings that a node fetches, and that its key may connect afterwards."""

from __future__ import annotations

import base64
from typing import Iterator
from urllib.parse import quote

import pytest
from api_desk import PUSHY, Desk, key_of, open_desk
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

CURVE_KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
CONFIG = PUSHY + "/config/web01"
GOOD = "?ccpk=" + quote(CURVE_KEY, safe="")


@pytest.fixture
def desk(sqlite_store_url: str) -> Iterator[Desk]:
    with open_desk(sqlite_store_url) as made:
        yield made


@pytest.mark.parametrize(
    "query, status, text",
    [
        ("", 400, "Missing ccpk"),
        ("?ccpk=x", 401, "Bad ccpk"),
        ("?ccpk=" + "~" * 40, 401, "Bad ccpk"),
    ],
)
def test_bad_curve_key(desk: Desk, query: str, status: int, text: str) -> None:
    reply = desk.get(CONFIG + query, "web01")
    assert (reply.status, reply.error) == (status, [text])
    assert "www-authenticate" not in reply.headers


def test_session_key_stays_and_grant_counts(desk: Desk) -> None:
    secrets = []
    for path in (CONFIG, PUSHY + "/connect/web01"):
        found = desk.get(path + GOOD, "web01").json
        assert (found["type"], found["node"], found["organization"]) == ("config", "web01", "acme")
        sealed = base64.b64decode(found["encoded_session_key"]["key"])
        secrets.append(key_of("web01").decrypt(sealed, PKCS1v15()))
    assert len(secrets[0]) == 32
    assert secrets[0] == secrets[1]
    assert desk.access.user_id(CURVE_KEY, 0.0) == "acme/web01"


def test_client_gets_only_its_own_node(desk: Desk) -> None:
    reply = desk.get(PUSHY + "/config/web02" + GOOD, "web01")
    assert (reply.status, reply.error) == (403, ["Client and node name must match"])
    assert desk.access.user_id(CURVE_KEY, 0.0) is None
