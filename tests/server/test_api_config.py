"""The settings that a node fetches, and that its key may connect afterwards."""

from __future__ import annotations

import base64
import time
from typing import Any, Iterator
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


@pytest.mark.proves("A-10")
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


@pytest.mark.proves("P-1b", "P-6")
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
    assert desk.access.user_id(CURVE_KEY, time.time() + 7000) == "acme/web01"


@pytest.mark.proves("A-9a")
def test_client_gets_only_its_own_node(desk: Desk) -> None:
    reply = desk.get(PUSHY + "/config/web02" + GOOD, "web01")
    assert (reply.status, reply.error) == (403, ["Client and node name must match"])
    assert desk.access.user_id(CURVE_KEY, 0.0) is None


def types(document: Any) -> Any:
    """A JSON document with its values replaced by their types."""
    if isinstance(document, dict):
        return {name: types(value) for name, value in document.items()}
    return type(document)


@pytest.mark.proves("P-1a")
def test_the_settings_have_exactly_these_keys(desk: Desk) -> None:
    found = desk.get(CONFIG + GOOD, "web01").json
    assert types(found) == {
        "type": str,
        "host": str,
        "push_jobs": {
            "heartbeat": {
                "out_addr": str,
                "command_addr": str,
                "interval": float,
                "offline_threshold": int,
                "online_threshold": int,
            }
        },
        "node": str,
        "organization": str,
        "public_key": str,
        "curve_public_key": str,
        "encoded_session_key": {"method": str, "key": str},
        "lifetime": int,
        "max_message_skew": int,
        "max_body_size": int,
        "incarnation_id": str,
        "extensions": int,
    }
    heartbeat = found["push_jobs"]["heartbeat"]
    assert heartbeat["out_addr"] == "tcp://push.test:10000"
    assert heartbeat["command_addr"] == "tcp://push.test:10002"
    assert found["encoded_session_key"]["method"] == "hmac_sha256"


@pytest.mark.proves("A-9b")
def test_users_get_any_node_if_they_may_read(desk: Desk) -> None:
    anything = PUSHY + "/config/never-seen" + GOOD
    assert desk.get(anything, "bob").json["node"] == "never-seen"
    desk.identity.create_group("acme", "pushy_job_readers")
    desk.identity.add_to_group("acme", "pushy_job_readers", "user", "bob")
    found = desk.get(anything, "bob").json
    key_of("bob").decrypt(base64.b64decode(found["encoded_session_key"]["key"]), PKCS1v15())
    reply = desk.get(anything, "alice")
    text = "User or client 'alice' does not have access to that action on this server."
    assert (reply.status, reply.error) == (403, [text])
    # Clients are not asked for their groups.
    assert desk.get(CONFIG + GOOD, "web01").status == 200


def test_the_check_of_names_can_be_switched_off(sqlite_store_url: str) -> None:
    with open_desk(sqlite_store_url, validate_client_node_name=False) as desk:
        found = desk.get(PUSHY + "/config/web02" + GOOD, "web01").json
        assert found["node"] == "web02"
        assert desk.access.user_id(CURVE_KEY, 0.0) == "acme/web02"
