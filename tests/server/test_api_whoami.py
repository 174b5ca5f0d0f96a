"""``v1/whoami``: who somebody is to the server, what he may do and by which rule."""

from __future__ import annotations

from typing import Any, Dict, Iterator, Tuple

import pytest
from api_desk import JOBS, PUSHY, Desk, open_desk, public_pem

WHOAMI = PUSHY + "/v1/whoami"
CCPK = "rq:rM%3E%7DU%3F%40Lns47E1%25kR.o%40n%25FcmmsL%2F%40%7BH8%5Dyf7"
JOB = {"command": "true", "nodes": ["web01"]}
NO_READERS = "no group pushy_job_readers exists, and every member of acme may"
NO_WRITERS = "no group pushy_job_writers exists, and "


@pytest.fixture
def desk(sqlite_store_url: str) -> Iterator[Desk]:
    with open_desk(sqlite_store_url) as made:
        yield made


def rules(desk: Desk, user: str) -> Dict[str, Tuple[bool, str]]:
    """The three rulings, each compared with what really happens."""
    shown = desk.get(WHOAMI, user).json
    found = {name: (shown[name]["allowed"], shown[name]["rule"]) for name in ACTIONS}
    assert found["read"][0] == (desk.get(JOBS, user).status == 200)
    assert found["write"][0] == (desk.post(JOB, user).status == 201)
    settings = desk.get(f"{PUSHY}/config/{user}?ccpk={CCPK}", user)
    assert found["settings"][0] == (settings.status == 200), settings.body
    return found


ACTIONS = ("read", "write", "settings")


def test_exact_document(desk: Desk) -> None:
    assert desk.get(WHOAMI, "alice").json == {
        "name": "alice",
        "kind": "user",
        "organization": "acme",
        "member": True,
        "read": {"allowed": True, "rule": NO_READERS},
        "write": {"allowed": True, "rule": NO_WRITERS + "member of admins"},
        "settings": {"allowed": True, "rule": "a user, as for reading: " + NO_READERS},
    }


def test_without_groups(desk: Desk) -> None:
    own = "a client, for the node of its own name: web01"
    assert rules(desk, "bob")["write"] == (False, NO_WRITERS + "not in admins")
    assert rules(desk, "web01") == {
        "read": (True, NO_READERS),
        "write": (False, NO_WRITERS + "not in admins"),
        "settings": (True, own),
    }
    desk.identity.delete_group("acme", "admins")
    assert rules(desk, "alice")["write"] == (False, NO_WRITERS + "there is no admins")


def test_with_groups(desk: Desk) -> None:
    for group in ("pushy_job_readers", "pushy_job_writers"):
        desk.identity.create_group("acme", group)
    desk.identity.add_to_group("acme", "pushy_job_writers", "user", "bob")
    assert rules(desk, "bob") == {
        "read": (False, "not in pushy_job_readers"),
        "write": (True, "member of pushy_job_writers"),
        "settings": (False, "a user, as for reading: not in pushy_job_readers"),
    }
    desk.identity.add_to_group("acme", "pushy_job_readers", "client", "web01")
    assert rules(desk, "web01")["read"] == (True, "member of pushy_job_readers")
    assert rules(desk, "alice")["write"] == (False, "not in pushy_job_writers")


def test_without_the_check_of_node_names(sqlite_store_url: str) -> None:
    with open_desk(sqlite_store_url, validate_client_node_name=False) as desk:
        rule = "every client of acme may: validate_client_node_name is off"
        assert rules(desk, "web01")["settings"] == (True, rule)


def test_an_outsider_learns_that_he_is_one(desk: Desk) -> None:
    shown = desk.get(WHOAMI, "mallory").json
    assert (shown["name"], shown["kind"], shown["member"]) == ("mallory", "user", False)
    outside = {"allowed": False, "rule": "not associated with organization 'acme'"}
    assert [shown[name] for name in ACTIONS] == [outside] * 3


def test_the_key_tells_a_user_outside_from_a_client_inside(desk: Desk) -> None:
    desk.identity.create_client("acme", "mallory", public_pem("web01"))
    shown = desk.get(WHOAMI, "mallory", key="web01").json
    assert (shown["kind"], shown["member"]) == ("client", True)
    shown = desk.get(WHOAMI, "mallory").json
    assert (shown["kind"], shown["member"]) == ("user", False)


REFUSED: Tuple[Tuple[str, str, Dict[str, Any], int], ...] = (
    ("GET", WHOAMI, {"user": "eve"}, 401),
    ("GET", WHOAMI, {"user": "mallory", "key": "bob"}, 401),
    ("GET", WHOAMI, {"user": None}, 400),
    ("GET", WHOAMI.replace("acme", "none"), {}, 404),
    ("GET", WHOAMI + "/alice", {}, 404),
    ("GET", WHOAMI, {"headers": {"Accept": "text/plain"}}, 406),
    ("POST", WHOAMI, {}, 405),
)


@pytest.mark.parametrize("method, target, options, status", REFUSED)
def test_refusals(
    desk: Desk, method: str, target: str, options: Dict[str, Any], status: int
) -> None:
    reply = desk.call(method, target, **options)
    assert reply.status == status
    assert reply.error
