"""Identities from a Chef server, as a scripted stand-in of ours answers (not a real program).

What real ones answer is tested in tests/interop/test_chef_servers.py.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Iterator, List, Tuple

import pytest
from api_desk import key_of, public_pem
from chef_stub import ChefStub, principal

from push_jobs_server.identity.base import IdentityUnavailable
from push_jobs_server.identity.chef import ChefIdentity
from push_jobs_server.identity.chef_http import ChefHttp, Signer
from push_jobs_server.identity.chef_places import Places
from push_jobs_wire import chef_auth

ORG = "/organizations/acme"


@pytest.fixture
def stub() -> Iterator[ChefStub]:
    """A stand-in with one organization."""
    made = ChefStub()
    made.org("acme")
    yield made
    made.close()


def opened(stub: ChefStub, key_lists: bool = False, timeout: float = 20.0) -> ChefIdentity:
    """Identities of the stand-in; the caller closes them."""
    http = ChefHttp(Signer("pushjobs", key_of("pushjobs"), "1.1"), None)
    return ChefIdentity(http, Places(stub.url, ()), timeout, key_lists)


@pytest.fixture
def chef(stub: ChefStub) -> Iterator[ChefIdentity]:
    """Identities of the stand-in."""
    made = opened(stub)
    yield made
    made.close()


@pytest.fixture
def with_lists(stub: ChefStub) -> Iterator[ChefIdentity]:
    """The same, told to read key lists."""
    made = opened(stub, key_lists=True)
    yield made
    made.close()


def found(chef: ChefIdentity, name: str) -> List[Tuple[str, bool, str]]:
    """What is known of a name: kind, membership, key."""
    return [(each.kind, each.member, each.public_key) for each in chef.principals("acme", name)]


def test_an_organization_is_there_or_not(stub: ChefStub, chef: ChefIdentity) -> None:
    assert chef.has_organization("acme")
    assert not chef.has_organization("other")
    stub.asked()
    for name in ("", "..", "a/b", "Acme", "a" * 300, "\n"):
        assert not chef.has_organization(name)
    assert stub.asked() == []


def test_requests_are_signed_and_say_which_form_they_want(
    stub: ChefStub, chef: ChefIdentity
) -> None:
    chef.has_organization("acme")
    (heard,) = stub.heard
    now = chef_auth._read_timestamp(heard.headers["x-ops-timestamp"])
    assert now is not None
    claim = chef_auth.read_claim(heard.headers, now)
    assert (claim.user_id, claim.version) == ("pushjobs", "1.1")
    key = key_of("pushjobs").public_key()
    chef_auth.verify(claim, method="GET", target=heard.path, body=b"", public_keys=[key])
    assert heard.headers["x-ops-server-api-version"] == "1"


def test_one_entry_per_key_of_users_and_clients(stub: ChefStub, chef: ChefIdentity) -> None:
    entries = [("user", "k1", True), ("user", "k2", True), ("client", "k3", True)]
    stub.principals(ORG, "web", *entries)
    assert found(chef, "web") == [
        ("user", True, public_pem("k1")),
        ("user", True, public_pem("k2")),
        ("client", True, public_pem("k3")),
    ]
    assert stub.asked() == [f"{ORG}/principals/web"]


def test_only_true_means_membership(stub: ChefStub, chef: ChefIdentity) -> None:
    values: List[Any] = [False, None, "true", 1]
    entries = [{**principal("web", "user", "k1", True), "org_member": each} for each in values]
    del entries[1]["org_member"]
    stub.answer(f"{ORG}/principals/web", {"principals": entries})
    assert [member for _, member, _ in found(chef, "web")] == [False] * 4


def test_changed_keys_count_with_the_next_request(stub: ChefStub, chef: ChefIdentity) -> None:
    stub.principals(ORG, "web", ("client", "k1", True))
    assert found(chef, "web") == [("client", True, public_pem("k1"))]
    stub.principals(ORG, "web", ("client", "k2", True))
    assert found(chef, "web") == [("client", True, public_pem("k2"))]
    del stub.answers[f"{ORG}/principals/web"]
    assert found(chef, "web") == []


def test_a_key_that_can_not_be_used_shuts_no_other_out(stub: ChefStub, chef: ChefIdentity) -> None:
    odd = {**principal("web", "client", "k1", True), "public_key": "a key of a new kind"}
    entries = [odd, principal("web", "client", "k2", True)]
    stub.answer(f"{ORG}/principals/web", {"principals": entries})
    assert found(chef, "web") == [("client", True, public_pem("k2"))]
    stub.answer(f"{ORG}/principals/web", {"principals": [odd]})
    with pytest.raises(IdentityUnavailable, match="no RSA key of 'web'"):
        chef.principals("acme", "web")


def test_the_form_with_one_object_is_completed_by_the_key_list(
    stub: ChefStub, chef: ChefIdentity
) -> None:
    stub.answer(f"{ORG}/principals/web", principal("web", "client", "k1", True))
    stub.keys(ORG, "client", "web", "k1", "k2")
    assert [key for _, _, key in found(chef, "web")] == [public_pem("k1"), public_pem("k2")]


@pytest.mark.parametrize("status", [403, 404, 405])
def test_without_a_key_list_for_us_the_one_key_has_to_do(
    stub: ChefStub, chef: ChefIdentity, status: int
) -> None:
    stub.answer(f"{ORG}/principals/web", principal("web", "client", "k1", True))
    stub.answer(f"{ORG}/clients/web/keys", {"error": ["no"]}, status)
    assert found(chef, "web") == [("client", True, public_pem("k1"))]


def test_key_lists_replace_the_keys_of_members_when_told_so(
    stub: ChefStub, with_lists: ChefIdentity
) -> None:
    stub.principals(ORG, "web", ("user", "constant", False), ("client", "constant", True))
    stub.keys(ORG, "client", "web", "k1", "k2")
    assert found(with_lists, "web") == [
        ("user", False, public_pem("constant")),
        ("client", True, public_pem("k1")),
        ("client", True, public_pem("k2")),
    ]


def test_expired_keys_do_not_count(stub: ChefStub, with_lists: ChefIdentity) -> None:
    stub.principals(ORG, "web", ("client", "k1", True))
    stub.keys(ORG, "client", "web", "k1", "k2")
    old = {"name": "k1", "uri": "", "expired": True}
    stub.answer(f"{ORG}/clients/web/keys", [old, {"name": "k2", "uri": "", "expired": False}])
    assert [key for _, _, key in found(with_lists, "web")] == [public_pem("k2")]


def test_a_key_list_that_is_needed_and_refused_tells_the_right(
    stub: ChefStub, with_lists: ChefIdentity
) -> None:
    stub.principals(ORG, "web", ("client", "k1", True))
    stub.answer(f"{ORG}/clients/web/keys", {"error": ["missing read permission"]}, 403)
    with pytest.raises(IdentityUnavailable, match="public_key_read_access"):
        with_lists.principals("acme", "web")


def test_names_that_are_no_piece_of_a_path_are_nobodys(stub: ChefStub, chef: ChefIdentity) -> None:
    for name in ("", ".", "..", "a" * 256, "other::web"):
        assert chef.principals("acme", name) == []
    assert stub.asked() == []
    for name, path in (
        ("a/b", "a%2Fb"), ("a?b#c", "a%3Fb%23c"), ("é", "%C3%A9"), ("%2e%2e", "%252e%252e")
    ):  # fmt: skip
        assert chef.principals("acme", name) == []
        assert stub.asked() == [f"{ORG}/principals/{path}"]


def test_members_are_looked_for_in_groups_below(stub: ChefStub, chef: ChefIdentity) -> None:
    stub.group(ORG, "top", users=("alice",), groups=("middle", "gone", "other::team", "top"))
    stub.group(ORG, "middle", clients=("web",), groups=("bottom", "top"))
    stub.group(ORG, "bottom", users=("bob",), groups=("middle", "bottom"))
    for kind, name, expected in (
        ("user", "alice", True),
        ("client", "alice", False),
        ("client", "web", True),
        ("user", "bob", True),
        ("user", "mallory", False),
    ):
        assert chef.is_member("acme", "top", kind, name) is expected
    stub.asked()
    chef.is_member("acme", "top", "user", "mallory")
    assert sorted(stub.asked()) == [
        f"{ORG}/groups/{name}" for name in ("bottom", "gone", "middle", "top")
    ]
    assert chef.is_member("acme", "absent", "user", "alice") is None


def test_long_chains_of_groups_end(stub: ChefStub, chef: ChefIdentity) -> None:
    for number in range(60):
        stub.group(ORG, f"g{number}", groups=(f"g{number + 1}",))
    stub.group(ORG, "g60", users=("alice",))
    assert chef.is_member("acme", "g0", "user", "alice") is True


Question = Callable[[ChefIdentity], object]
QUESTIONS: List[Question] = [
    lambda chef: chef.has_organization("acme"),
    lambda chef: chef.principals("acme", "alice"),
    lambda chef: chef.is_member("acme", "admins", "user", "alice"),
    lambda chef: chef.is_member("acme", "top", "user", "alice"),
]

ANYWHERE: List[Tuple[int, bytes, str]] = [
    (200, b"", "not JSON"),
    (200, b"<html>welcome</html>", "not JSON"),
    (200, b"\xff\xfe", "not JSON"),
    (200, b"[" * 100_000, "not JSON"),
    (200, b"null", "no JSON object"),
    (200, b"true", "no JSON object"),
    (200, b"[]", "no JSON object"),
    (200, b'"acme"', "no JSON object"),
    (200, b"{}", "another|no JSON list|neither"),
    (200, b'{"name":"mallory","groupname":"mallory","type":"user"}', "another"),
    (201, b"{}", "status 201"),
    (204, b"", "status 204"),
    (400, b'{"error":["bad"]}', "status 400"),
    (401, b'{"error":["no"]}', "chef.user, chef.key and chef.sign_version"),
    (403, b'{"error":["no"]}', "the right to read"),
    (404, b"<html>not found</html>", "not JSON"),
    (404, b"", "not JSON"),
    (404, b'{"message":"not found"}', "not one of a Chef server"),
    (404, b"[]", "no JSON object"),
    (406, b"{}", "status 406"),
    (429, b"{}", "status 429"),
    (500, b'{"error":["oops"]}', "status 500"),
    (502, b"{}", "status 502"),
    (503, b"{}", "status 503"),
]


@pytest.mark.parametrize("status, body, why", ANYWHERE)
def test_what_is_no_answer_of_a_chef_server_is_an_error(
    stub: ChefStub, chef: ChefIdentity, status: int, body: bytes, why: str
) -> None:
    for path in (ORG, f"{ORG}/principals/alice", f"{ORG}/groups/admins"):
        stub.answer(path, body, status)
    stub.group(ORG, "top", groups=("admins",))
    for question in QUESTIONS:
        with pytest.raises(IdentityUnavailable, match=why) as caught:
            question(chef)
        assert stub.url in str(caught.value)


ALICE = principal("alice", "user", "alice", True)


@pytest.mark.parametrize(
    "answer",
    [
        {"principals": {}},
        {"principals": None},
        {"principals": ["alice"]},
        {"principals": [ALICE, {**ALICE, "name": "bob"}]},
        {"principals": [{**ALICE, "name": 5}]},
        {"principals": [{**ALICE, "type": "group"}]},
        {"principals": [{**ALICE, "type": ["user"]}]},
        {"principals": [{**ALICE, "public_key": None}]},
        {"principals": [{**ALICE, "public_key": ""}]},
        {"principals": [{**ALICE, "public_key": {"pem": ""}}]},
        {**ALICE, "type": None},
        {**ALICE, "public_key": "nonsense"},
    ],
)
def test_principals_of_wrong_types_are_an_error(
    stub: ChefStub, chef: ChefIdentity, answer: Any
) -> None:
    stub.answer(f"{ORG}/principals/alice", answer)
    with pytest.raises(IdentityUnavailable):
        chef.principals("acme", "alice")


@pytest.mark.parametrize(
    "change",
    [
        {"users": None},
        {"users": "alice"},
        {"users": {"alice": True}},
        {"users": [["alice"]]},
        {"users": [""]},
        {"clients": 1},
        {"groups": ["alice", None]},
        {"groupname": "other"},
    ],
)
def test_groups_of_wrong_types_are_an_error(
    stub: ChefStub, chef: ChefIdentity, change: Any
) -> None:
    group = {"users": ["alice"], "clients": [], "groups": [], "groupname": "admins"}
    stub.answer(f"{ORG}/groups/admins", {**group, **change})
    with pytest.raises(IdentityUnavailable):
        chef.is_member("acme", "admins", "user", "alice")
    for name in change:
        del group[name]
    if "groupname" in group:
        stub.answer(f"{ORG}/groups/admins", group)
        with pytest.raises(IdentityUnavailable):
            chef.is_member("acme", "admins", "user", "alice")


@pytest.mark.parametrize(
    "listed", [{}, [1], [{"expired": False}], [{"name": "k1", "expired": "no"}], [{"name": 1}]]
)
def test_key_lists_of_wrong_types_are_an_error(
    stub: ChefStub, with_lists: ChefIdentity, listed: Any
) -> None:
    stub.principals(ORG, "web", ("client", "k1", True))
    stub.answer(f"{ORG}/clients/web/keys", listed)
    with pytest.raises(IdentityUnavailable):
        with_lists.principals("acme", "web")


def test_the_right_that_is_missing_is_named(stub: ChefStub, chef: ChefIdentity) -> None:
    for path in (ORG, f"{ORG}/groups/admins"):
        stub.answer(path, {"error": ["missing read permission"]}, 403)
    with pytest.raises(IdentityUnavailable, match="read the organization"):
        chef.has_organization("acme")
    with pytest.raises(IdentityUnavailable, match="read the group 'admins'"):
        chef.is_member("acme", "admins", "user", "alice")


def test_names_of_others_are_shown_as_they_are_asked(stub: ChefStub, chef: ChefIdentity) -> None:
    stub.answer(f"{ORG}/principals/%0Aalice", json.loads("{}"), 500)
    with pytest.raises(IdentityUnavailable) as caught:
        chef.principals("acme", "\nalice")
    assert "\n" not in str(caught.value)
