"""Identities in our own database: what requests ask, and what administrators change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, List

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from stored_jobs import created

from push_jobs_server.identity.base import Group, IdentityError, Principal, Source
from push_jobs_server.identity.local import LocalIdentity
from push_jobs_server.node_records import NodeSighted
from push_jobs_server.records import Grant, GrantStored, SessionKeyStored
from push_jobs_server.serf_records import NodeStatusSeen
from push_jobs_server.store import Store
from push_jobs_server.store.serf_reads import SerfReads


def _pem() -> str:
    key = rsa.generate_private_key(65537, 2048).public_key()
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_bytes(*form).decode()


KEYS = [_pem() for _ in range(3)]


@pytest.fixture
def local(store: Store) -> LocalIdentity:
    """Organizations acme and other; alice and bob are in acme; node web1 in both."""
    made = LocalIdentity(store)
    for org in ("acme", "other"):
        made.create_org(org, f"The {org} company")
        made.create_client(org, "web1", KEYS[0])
    for user in ("alice", "bob"):
        made.create_user(user, KEYS[1])
        made.add_user_to_org("acme", user)
    return made


def test_it_answers_what_the_api_asks(local: LocalIdentity) -> None:
    identity: Source = local
    assert identity.has_organization("acme")
    assert not identity.has_organization("nobody")


# Principals


def test_principals_of_a_name_are_users_and_clients_with_all_their_keys(
    local: LocalIdentity,
) -> None:
    local.create_client("acme", "alice", KEYS[0])
    local.add_key("user", None, "alice", "laptop", KEYS[2])
    assert local.principals("acme", "alice") == [
        Principal("alice", "user", True, KEYS[1]),
        Principal("alice", "user", True, KEYS[2]),
        Principal("alice", "client", True, KEYS[0]),
    ]


def test_a_user_outside_the_organization_is_no_member(local: LocalIdentity) -> None:
    assert local.principals("other", "alice") == [Principal("alice", "user", False, KEYS[1])]


def test_a_client_is_unknown_outside_its_organization(local: LocalIdentity) -> None:
    local.create_client("other", "db1", KEYS[2])
    assert local.principals("acme", "db1") == []
    assert local.principals("other", "db1") == [Principal("db1", "client", True, KEYS[2])]
    assert local.principals("acme", "nobody") == []
    assert local.principals("nobody", "alice") == [Principal("alice", "user", False, KEYS[1])]


def test_changes_of_keys_count_with_the_next_request(local: LocalIdentity) -> None:
    local.add_key("client", "acme", "web1", "new", KEYS[2])
    assert local.keys("client", "acme", "web1") == {"default": KEYS[0], "new": KEYS[2]}
    local.remove_key("client", "acme", "web1", "default")
    assert local.principals("acme", "web1") == [Principal("web1", "client", True, KEYS[2])]
    assert local.principals("other", "web1") == [Principal("web1", "client", True, KEYS[0])]
    local.remove_key("user", None, "alice", "default")
    assert local.principals("acme", "alice") == []
    assert local.keys("user", None, "alice") == {}


# Groups


def test_direct_members_are_members_by_kind_and_name(local: LocalIdentity) -> None:
    local.create_group("acme", "writers")
    local.add_to_group("acme", "writers", "user", "alice")
    local.create_client("acme", "alice", KEYS[0])
    assert local.is_member("acme", "writers", "user", "alice") is True
    assert local.is_member("acme", "writers", "client", "alice") is False
    assert local.is_member("acme", "writers", "user", "bob") is False
    local.add_to_group("acme", "writers", "client", "web1")
    assert local.is_member("acme", "writers", "client", "web1") is True


def test_a_group_that_does_not_exist_is_told_apart_from_an_empty_one(
    local: LocalIdentity,
) -> None:
    local.create_group("acme", "writers")
    assert local.is_member("acme", "writers", "user", "alice") is False
    for org, group in (("acme", "readers"), ("other", "writers"), ("nobody", "writers")):
        assert local.is_member(org, group, "user", "alice") is None


def test_each_new_organization_has_an_empty_group_of_admins(local: LocalIdentity) -> None:
    assert local.groups("acme") == ["admins"]
    assert local.group("acme", "admins") == Group()


def chain(local: LocalIdentity, names: List[str]) -> None:
    for name in names:
        local.create_group("acme", name)
    for above, below in zip(names, names[1:]):
        local.add_to_group("acme", above, "group", below)


def test_groups_nest_to_any_depth(local: LocalIdentity) -> None:
    names = [f"level{number}" for number in range(30)]
    chain(local, names)
    local.add_to_group("acme", names[-1], "user", "alice")
    local.add_to_group("acme", names[-1], "client", "web1")
    assert local.is_member("acme", names[0], "user", "alice") is True
    assert local.is_member("acme", names[0], "client", "web1") is True
    assert local.is_member("acme", names[0], "user", "bob") is False
    local.remove_from_group("acme", names[15], "group", names[16])
    assert local.is_member("acme", names[0], "user", "alice") is False
    assert local.is_member("acme", names[16], "user", "alice") is True


def test_groups_in_a_circle_end(local: LocalIdentity) -> None:
    chain(local, ["a", "b", "c"])
    local.add_to_group("acme", "c", "group", "a")
    local.add_to_group("acme", "b", "group", "b")
    local.add_to_group("acme", "b", "user", "alice")
    for name in ("a", "b", "c"):
        assert local.is_member("acme", name, "user", "alice") is True
        assert local.is_member("acme", name, "user", "bob") is False


def test_groups_of_one_name_in_two_organizations_are_two(local: LocalIdentity) -> None:
    for org in ("acme", "other"):
        local.create_group(org, "writers")
        local.create_group(org, "web")
    local.add_to_group("acme", "writers", "group", "web")
    local.add_to_group("other", "web", "client", "web1")
    assert local.is_member("acme", "writers", "client", "web1") is False
    assert local.is_member("other", "writers", "client", "web1") is False
    assert local.is_member("other", "web", "client", "web1") is True


# Deleting


def test_who_leaves_an_organization_leaves_its_groups(local: LocalIdentity) -> None:
    local.add_to_group("acme", "admins", "user", "alice")
    local.remove_user_from_org("acme", "alice")
    local.add_user_to_org("acme", "alice")
    assert local.is_member("acme", "admins", "user", "alice") is False
    assert local.keys("user", None, "alice") == {"default": KEYS[1]}


def test_a_deleted_user_is_gone_everywhere(local: LocalIdentity) -> None:
    local.add_to_group("acme", "admins", "user", "alice")
    local.delete_user("alice")
    assert local.principals("acme", "alice") == []
    assert local.group("acme", "admins") == Group()
    assert (local.users(), local.org_users("acme")) == (["bob"], ["bob"])
    local.create_user("alice", KEYS[2])
    assert local.principals("acme", "alice") == [Principal("alice", "user", False, KEYS[2])]


def test_a_deleted_client_takes_its_leave_to_connect_with_it(
    local: LocalIdentity, store: Store
) -> None:
    grants = [Grant("k1", "acme", "web1", 9.0), Grant("k2", "other", "web1", 9.0)]
    store.write([GrantStored(grant) for grant in grants])
    store.write([SessionKeyStored(org, "web1", b"x") for org in ("acme", "other")])
    store.write([NodeSighted(org, "web1", 9.0) for org in ("acme", "other")])
    local.add_to_group("acme", "admins", "client", "web1")
    local.delete_client("acme", "web1")
    assert local.principals("acme", "web1") == []
    assert local.group("acme", "admins") == Group()
    assert store.grants(0.0) == [grants[1]]
    assert store.session_keys() == {("other", "web1"): b"x"}
    assert store.sightings() == [NodeSighted("other", "web1", 9.0)]
    assert local.clients("other") == ["web1"]


def test_a_deleted_group_leaves_its_members_and_the_groups_it_was_in(
    local: LocalIdentity,
) -> None:
    chain(local, ["a", "b"])
    local.add_to_group("acme", "b", "user", "alice")
    local.delete_group("acme", "b")
    assert local.group("acme", "a") == Group()
    assert local.groups("acme") == ["a", "admins"]
    assert local.org_users("acme") == ["alice", "bob"]


def test_a_deleted_organization_takes_its_clients_groups_and_sessions(
    local: LocalIdentity, store: Store
) -> None:
    store.write([GrantStored(Grant("k", "acme", "web1", 9.0)), SessionKeyStored("acme", "n", b"x")])
    store.write([NodeSighted("acme", "web1", 9.0), NodeStatusSeen("acme", "web1", 0, "up", 9.0)])
    local.add_to_group("acme", "admins", "user", "alice")
    local.delete_org("acme")
    assert not local.has_organization("acme")
    assert (store.grants(0.0), store.session_keys(), store.sightings()) == ([], {}, [])
    assert SerfReads(store).latest("acme") == []
    assert local.users() == ["alice", "bob"]
    assert local.user_orgs("alice") == []
    local.create_org("acme", "Another one")
    assert (local.clients("acme"), local.groups("acme")) == ([], ["admins"])
    assert local.group("acme", "admins") == Group()


def test_an_organization_with_jobs_is_only_deleted_by_force(
    local: LocalIdentity, store: Store
) -> None:
    store.write([created(1), created(2, org="other")])
    with pytest.raises(IdentityError, match="'acme' has jobs"):
        local.delete_org("acme")
    assert local.has_organization("acme") and len(store.jobs("acme")) == 1
    local.delete_org("acme", force=True)
    assert not local.has_organization("acme")
    assert (len(store.jobs("acme")), len(store.jobs("other"))) == (0, 1)


def test_two_administrators_at_once_do_not_disturb_each_other(
    local: LocalIdentity, store_url: str
) -> None:
    stores = [Store(store_url) for _ in range(2)]

    def work(number: int) -> List[str]:
        mine = LocalIdentity(stores[number])
        names = [f"node{number}-{each}" for each in range(25)]
        for name in names:
            mine.create_client("acme", name, KEYS[0])
        return names

    with ThreadPoolExecutor(2) as pool:
        made = [name for names in pool.map(work, range(2)) for name in names]
    assert local.clients("acme") == sorted([*made, "web1"])
    for each in stores:
        each.close()


# Lists and mistakes


def test_lists_are_alphabetical(local: LocalIdentity) -> None:
    for name in ("Zoe", "adam", "\u00e4nne"):
        local.create_user(name, KEYS[0])
        local.create_client("acme", name, KEYS[0])
        local.create_group("acme", name)
        local.add_to_group("acme", "admins", "client", name)
        local.add_to_group("acme", "admins", "group", name)
    assert local.orgs() == {"acme": "The acme company", "other": "The other company"}
    assert local.users() == ["Zoe", "adam", "alice", "bob", "\u00e4nne"]
    assert local.clients("acme") == ["Zoe", "adam", "web1", "\u00e4nne"]
    assert local.groups("acme") == ["Zoe", "adam", "admins", "\u00e4nne"]
    names = ("Zoe", "adam", "\u00e4nne")
    assert local.group("acme", "admins") == Group(clients=names, groups=names)
    assert local.user_orgs("alice") == ["acme"]


Action = Callable[[LocalIdentity], object]

TWICE: Dict[str, Action] = {
    "organization 'acme'": lambda it: it.create_org("acme", "x"),
    "user 'alice'": lambda it: it.create_user("alice", KEYS[0]),
    "user 'alice' in organization 'acme'": lambda it: it.add_user_to_org("acme", "alice"),
    "client 'web1' in organization 'acme'": lambda it: it.create_client("acme", "web1", KEYS[0]),
    "group 'admins' in organization 'acme'": lambda it: it.create_group("acme", "admins"),
    "key 'default' of user 'alice'": lambda it: it.add_key(
        "user", None, "alice", "default", KEYS[0]
    ),
    "key 'default' of client 'web1' in organization 'acme'": lambda it: it.add_key(
        "client", "acme", "web1", "default", KEYS[0]
    ),
    "user 'bob' in group 'admins' of organization 'acme'": lambda it: it.add_to_group(
        "acme", "admins", "user", "bob"
    ),
}


@pytest.mark.parametrize("what", TWICE)
def test_what_is_there_is_not_made_again(local: LocalIdentity, what: str) -> None:
    local.add_to_group("acme", "admins", "user", "bob")
    before = local.keys("user", None, "alice"), local.keys("client", "acme", "web1")
    with pytest.raises(IdentityError, match=f"there is a {what} already"):
        TWICE[what](local)
    assert (local.keys("user", None, "alice"), local.keys("client", "acme", "web1")) == before


UNKNOWN: List["tuple[str, Action]"] = [
    ("organization 'no'", lambda it: it.delete_org("no")),
    ("organization 'no'", lambda it: it.add_user_to_org("no", "alice")),
    ("organization 'no'", lambda it: it.remove_user_from_org("no", "alice")),
    ("organization 'no'", lambda it: it.org_users("no")),
    ("organization 'no'", lambda it: it.create_client("no", "web1", KEYS[0])),
    ("organization 'no'", lambda it: it.delete_client("no", "web1")),
    ("organization 'no'", lambda it: it.clients("no")),
    ("organization 'no'", lambda it: it.create_group("no", "x")),
    ("organization 'no'", lambda it: it.delete_group("no", "admins")),
    ("organization 'no'", lambda it: it.groups("no")),
    ("organization 'no'", lambda it: it.group("no", "admins")),
    ("organization 'no'", lambda it: it.add_to_group("no", "admins", "user", "alice")),
    ("organization 'no'", lambda it: it.keys("client", "no", "web1")),
    ("user 'no'", lambda it: it.delete_user("no")),
    ("user 'no'", lambda it: it.add_user_to_org("acme", "no")),
    ("user 'no'", lambda it: it.user_orgs("no")),
    ("user 'no'", lambda it: it.keys("user", None, "no")),
    ("user 'no'", lambda it: it.add_key("user", None, "no", "x", KEYS[0])),
    ("user 'alice' in organization 'other'", lambda it: it.remove_user_from_org("other", "alice")),
    ("client 'no' in organization 'acme'", lambda it: it.delete_client("acme", "no")),
    ("client 'no' in organization 'acme'", lambda it: it.keys("client", "acme", "no")),
    ("key 'no' of user 'alice'", lambda it: it.remove_key("user", None, "alice", "no")),
    ("group 'no' in organization 'acme'", lambda it: it.delete_group("acme", "no")),
    ("group 'no' in organization 'acme'", lambda it: it.group("acme", "no")),
    ("group 'no' in", lambda it: it.add_to_group("acme", "no", "user", "alice")),
    (
        "user 'alice' in organization 'other'",
        lambda it: it.add_to_group("other", "admins", "user", "alice"),
    ),
    ("client 'no' in", lambda it: it.add_to_group("acme", "admins", "client", "no")),
    ("group 'no' in", lambda it: it.add_to_group("acme", "admins", "group", "no")),
    (
        "user 'alice' in group 'admins' of organization 'acme'",
        lambda it: it.remove_from_group("acme", "admins", "user", "alice"),
    ),
]


def test_what_is_not_there_is_named(local: LocalIdentity) -> None:
    for what, action in UNKNOWN:
        with pytest.raises(IdentityError, match=f"there is no {what}.*;"):
            action(local)


def test_members_and_owners_of_keys_are_of_few_kinds(local: LocalIdentity) -> None:
    with pytest.raises(IdentityError, match="'robot'"):
        local.add_to_group("acme", "admins", "robot", "web1")
    for kind, org in (("robot", "acme"), ("client", None)):
        with pytest.raises(IdentityError, match=kind):
            local.keys(kind, org, "web1")
