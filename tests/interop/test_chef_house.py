"""A whole server whose users and nodes are those of a real Chef-compatible server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Iterator

import house as house_module
import pytest
from chef_servers import ChefZero, Goiardi, private_pem
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from house import ADMIN, ORG, House, run, server_words

pytestmark = pytest.mark.e2e

Unique = Callable[[str], str]
Opener = Callable[..., House]


@pytest.fixture
def opening(tmp_path: Path) -> Iterator[Opener]:
    """Starts a server that asks a Chef server; its administrator signs with the key given."""
    houses = []

    def start(
        url: str, user: str, user_key: RSAPrivateKey, key: RSAPrivateKey, **more: Any
    ) -> House:
        settings = {"identity": "chef", "chef.user": user, **more}
        settings["chef.organizations"] = json.dumps([f"{ORG}={url}"])
        house = House(tmp_path, **settings)
        houses.append(house)
        house.init()
        chef_key = house.data / "chef.pem"
        chef_key.write_bytes(private_pem(user_key))
        chef_key.chmod(0o600)
        house.key_file.write_bytes(private_pem(key))
        assert "everything is in order" in house.admin("check-config").err
        house.start_server()
        return house

    yield start
    for house in houses:
        house.close()


def _runs_a_job(house: House, node: str, key: RSAPrivateKey) -> None:
    house.add_agent(node, {"hello": "echo hello from the node"}, key=key)
    house.wait_available(node)
    done = house.push_jobs("job", "start", "hello", node, "--capture")
    assert done.code == 0, done.err
    assert "hello from the node" in done.out


def test_users_and_nodes_of_chef_zero_come_in_with_their_own_keys(
    chef_zero: ChefZero, opening: Opener, unique: Unique
) -> None:
    org = unique("org")
    url = chef_zero.create_org(org)
    # A client, because chef-zero has no right keys of users in its answer about a principal.
    key = chef_zero.create_client(org, ADMIN)
    house = opening(url, "pivotal", chef_zero.admin_key(), key)
    node = chef_zero.create_client(org, "web1")
    refused = house.push_jobs("job", "start", "hello", "web1")
    assert refused.code != 0 and "does not have access" in refused.err
    chef_zero.set_group(org, "admins", clients=(ADMIN,))
    _runs_a_job(house, "web1", node)
    chef_zero.set_group(org, "pushy_job_writers")
    assert house.push_jobs("job", "start", "hello", "web1").code == refused.code
    assert "local identities only" in _fails(house, "client", "list")


def test_users_of_chef_zero_come_in_with_the_keys_of_their_lists(
    chef_zero: ChefZero, opening: Opener, unique: Unique
) -> None:
    org = unique("org")
    url = chef_zero.create_org(org)
    key = chef_zero.create_user(ADMIN, org)
    chef_zero.set_group(org, "admins", users=(ADMIN,))
    house = opening(url, "pivotal", chef_zero.admin_key(), key, **{"chef.key_lists": "true"})
    _runs_a_job(house, "web1", chef_zero.create_client(org, "web1"))


def test_users_and_nodes_of_goiardi_come_in_with_their_own_keys(
    goiardi: Goiardi, opening: Opener, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker, node, user = unique("pushjobs"), unique("web"), unique("operator")
    monkeypatch.setattr(house_module, "ADMIN", user)
    house = opening(
        goiardi.url,
        asker,
        goiardi.create_client(asker),
        goiardi.create_user(user),
        **{"chef.root_admins": json.dumps([user])},
    )
    _runs_a_job(house, node, goiardi.create_client(node))


def _fails(house: House, *words: str) -> str:
    done = run([*server_words(house.data), *words])
    assert done.code == 1
    return done.err
