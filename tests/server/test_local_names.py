"""Names and keys that our own identities take or refuse."""

from __future__ import annotations

from typing import Callable, Dict, List

import pytest
from api_desk import public_pem

from push_jobs_server.identity.base import IdentityError, Principal
from push_jobs_server.identity.local import LocalIdentity
from push_jobs_server.store import Store

Action = Callable[[LocalIdentity], object]
KEYS = [public_pem("names")]


@pytest.fixture
def local(store: Store) -> LocalIdentity:
    """The organization acme with the user alice and the node web1."""
    made = LocalIdentity(store)
    made.create_org("acme", "The acme company")
    made.create_client("acme", "web1", KEYS[0])
    made.create_user("alice", KEYS[0])
    made.add_user_to_org("acme", "alice")
    return made


@pytest.mark.parametrize(
    "name", ["", "Acme", "-acme", "_acme", "a b", "a/b", "\u00e4", "a" * 256, "a\n"]
)
def test_bad_names_of_organizations_are_refused(local: LocalIdentity, name: str) -> None:
    with pytest.raises(IdentityError, match="name of an organization"):
        local.create_org(name, "x")
    assert list(local.orgs()) == ["acme"]


@pytest.mark.parametrize(
    "name", ["", "a/b", "a\nb", "a\0", "\x1b[31m", "\u202e", "\ud800", "a" * 256]
)
def test_bad_names_of_others_are_refused(local: LocalIdentity, name: str) -> None:
    actions: Dict[str, Action] = {
        "user": lambda it: it.create_user(name, KEYS[0]),
        "client": lambda it: it.create_client("acme", name, KEYS[0]),
        "group": lambda it: it.create_group("acme", name),
        "key": lambda it: it.add_key("user", None, "alice", name, KEYS[0]),
    }
    for what, action in actions.items():
        with pytest.raises(IdentityError, match=f"can't be the name of a {what}"):
            action(local)


@pytest.mark.parametrize("name", ["a", "0", "0_-", "a" * 255])
def test_good_names_of_organizations_are_taken(local: LocalIdentity, name: str) -> None:
    local.create_org(name, "M\u00fcller & S\u00f6hne")
    assert local.orgs()[name] == "M\u00fcller & S\u00f6hne"


@pytest.mark.parametrize("name", ["web1.example.com", "J\u00fcrgen K", "%41'\"\\;--", "x" * 255])
def test_good_names_of_others_are_taken(local: LocalIdentity, name: str) -> None:
    local.create_client("acme", name, KEYS[0])
    local.create_group("acme", name)
    local.add_to_group("acme", name, "client", name)
    found = (local.is_member("acme", name, "client", name), local.principals("acme", name))
    assert found == (True, [Principal(name, "client", True, KEYS[0])])


def test_keys_that_can_not_be_used_are_refused(local: LocalIdentity) -> None:
    actions: List[Action] = [
        lambda it: it.create_user("eve", "no key"),
        lambda it: it.create_client("acme", "eve", "no key"),
        lambda it: it.add_key("user", None, "alice", "x", "no key"),
    ]
    for action in actions:
        with pytest.raises(IdentityError, match="the public key can't be used"):
            action(local)
    assert (local.users(), local.clients("acme")) == (["alice"], ["web1"])
