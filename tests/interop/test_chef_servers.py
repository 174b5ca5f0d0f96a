"""Identities from real Chef-compatible servers: chef-zero and goiardi."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Iterator, List

import pytest
from api_desk import key_of, public_pem
from chef_servers import ChefZero, Goiardi
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from push_jobs_server.identity.base import IdentityUnavailable
from push_jobs_server.identity.chef import ChefIdentity
from push_jobs_server.identity.chef_http import ChefHttp, Signer
from push_jobs_server.identity.chef_places import Places
from push_jobs_server.keys import load_key
from push_jobs_server.keys import public_pem as pem_of

Unique = Callable[[str], str]


class Openers:
    """Opens identities, and closes them."""

    def __init__(self) -> None:
        self.opened: List[ChefIdentity] = []

    def __call__(
        self,
        places: Places,
        user: str,
        key: RSAPrivateKey,
        version: str = "1.1",
        **options: Any,
    ) -> ChefIdentity:
        """An identity that asks as this user."""
        http = ChefHttp(Signer(user, key, version), None)
        self.opened.append(ChefIdentity(http, places, timeout=20.0, **options))
        return self.opened[-1]


@pytest.fixture
def opening() -> Iterator[Openers]:
    """Opens identities that are closed at the end."""
    openers = Openers()
    yield openers
    for each in openers.opened:
        each.close()


def test_chef_zero_says_who_is_who(chef_zero: ChefZero, opening: Openers, unique: Unique) -> None:
    org, other, alice, web = unique("org"), unique("org"), unique("alice"), unique("web")
    for each in (org, other):
        chef_zero.create_org(each)
    chef_zero.create_user(alice, org)
    chef_zero.create_client(org, web)
    identity = opening(Places(chef_zero.url, ()), "pivotal", key_of("pivotal"))
    assert identity.has_organization(org)
    assert not identity.has_organization(unique("none"))
    (client,) = identity.principals(org, web)
    assert (client.kind, client.member) == ("client", True)
    assert _same(client.public_key, web)
    (user,) = identity.principals(org, alice)
    assert (user.kind, user.member) == ("user", True)
    (outsider,) = identity.principals(other, alice)
    assert not outsider.member
    assert identity.principals(other, web) == []
    assert identity.principals(org, unique("nobody")) == []


def test_chef_zero_has_several_keys_in_its_key_lists(
    chef_zero: ChefZero, opening: Openers, unique: Unique
) -> None:
    org, alice, web = unique("org"), unique("alice"), unique("web")
    chef_zero.create_org(org)
    chef_zero.create_user(alice, org)
    chef_zero.create_client(org, web)
    second = {"name": "laptop", "public_key": public_pem("laptop"), "expiration_date": "infinity"}
    chef_zero.must("POST", f"/users/{alice}/keys", second)
    old = {
        "name": "old",
        "public_key": public_pem("old"),
        "expiration_date": "2001-01-01T00:00:00Z",
    }
    chef_zero.must("POST", f"/organizations/{org}/clients/{web}/keys", old)
    identity = opening(Places(chef_zero.url, ()), "pivotal", key_of("pivotal"), key_lists=True)
    keys = [each.public_key for each in identity.principals(org, alice)]
    assert len(keys) == 2 and _same(keys[0], alice) and _same(keys[1], "laptop")
    assert [_same(each.public_key, web) for each in identity.principals(org, web)] == [True]
    chef_zero.must("DELETE", f"/users/{alice}/keys/laptop")
    assert len(identity.principals(org, alice)) == 1


def test_chef_zero_has_nested_groups(chef_zero: ChefZero, opening: Openers, unique: Unique) -> None:
    org, alice, bob, web = unique("org"), unique("alice"), unique("bob"), unique("web")
    chef_zero.create_org(org)
    for user in (alice, bob):
        chef_zero.create_user(user, org)
    chef_zero.create_client(org, web)
    chef_zero.set_group(org, "inner", users=(alice,), clients=(web,))
    chef_zero.set_group(org, "pushy_job_writers", groups=("inner",))
    chef_zero.set_group(org, "inner", users=(alice,), clients=(web,), groups=("pushy_job_writers",))
    identity = opening(Places(chef_zero.url, ()), "pivotal", key_of("pivotal"))
    assert identity.is_member(org, "pushy_job_writers", "user", alice)
    assert identity.is_member(org, "pushy_job_writers", "client", web)
    assert identity.is_member(org, "pushy_job_writers", "user", web) is False
    assert identity.is_member(org, "pushy_job_writers", "user", bob) is False
    assert identity.is_member(org, "admins", "user", alice) is False
    assert identity.is_member(org, "pushy_job_readers", "user", alice) is None
    chef_zero.set_group(org, "inner")
    assert identity.is_member(org, "pushy_job_writers", "user", alice) is False


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3"])
def test_goiardi_accepts_our_signatures(goiardi: Goiardi, unique: Unique, version: str) -> None:
    asker = unique("pushjobs")
    http = ChefHttp(Signer(asker, goiardi.create_client(asker), version), None)
    try:
        # Its principals are for everybody; a list of clients is for those who sign.
        for path in ("/clients", f"/clients/{asker}"):
            answer = http.get(goiardi.url + path, _in_20_seconds())
            assert answer.status == 200, answer
        stranger = ChefHttp(Signer(asker, key_of("stranger"), version), None)
        assert stranger.get(goiardi.url + "/clients", _in_20_seconds()).status == 401
        stranger.close()
    finally:
        http.close()


def test_goiardi_is_one_organization(goiardi: Goiardi, opening: Openers, unique: Unique) -> None:
    asker, alice, web = unique("pushjobs"), unique("alice"), unique("web")
    keys: Dict[str, RSAPrivateKey] = {
        alice: goiardi.create_user(alice),
        web: goiardi.create_client(web),
    }
    identity = opening(
        Places(None, [f"acme={goiardi.url}"]),
        asker,
        goiardi.create_client(asker),
        root_admins=[alice],
    )
    assert identity.has_organization("acme")
    assert not identity.has_organization("other")
    for name, kind in ((alice, "user"), (web, "client")):
        (found,) = identity.principals("acme", name)
        assert (found.kind, found.member) == (kind, True)
        assert pem_of(load_key(found.public_key)) == pem_of(keys[name].public_key())
    assert identity.principals("acme", unique("nobody")) == []
    assert identity.is_member("acme", "pushy_job_writers", "user", alice) is None
    assert identity.is_member("acme", "admins", "user", alice) is True
    assert identity.is_member("acme", "admins", "client", alice) is False
    assert identity.is_member("acme", "admins", "user", web) is False


def test_goiardi_is_not_taken_for_a_server_with_organizations(
    goiardi: Goiardi, opening: Openers, unique: Unique
) -> None:
    asker = unique("pushjobs")
    identity = opening(Places(goiardi.url, ()), asker, goiardi.create_client(asker))
    # It answers 200 without a body to what it does not know.
    with pytest.raises(IdentityUnavailable, match="its answer is not JSON"):
        identity.has_organization("acme")
    with pytest.raises(IdentityUnavailable, match="its answer is not JSON"):
        identity.is_member("acme", "admins", "user", "alice")


def _same(pem: str, name: str) -> bool:
    return pem_of(load_key(pem)) == public_pem(name)


def _in_20_seconds() -> float:
    return time.monotonic() + 20.0
