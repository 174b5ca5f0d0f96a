"""Our server beside a real Chef-compatible server, both behind a real nginx, as a user has it.

One address for both. People and nodes are those of the Chef server; so is the administrator of the
house.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Generic, Iterator, List, TypeVar

from api_desk import key_of
from chef_servers import ChefZero, Goiardi, private_pem
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from house import ADMIN, ORG, TRACEBACK, House
from knife import Knife
from nginx_process import Nginx, missing, site_values
from peer import Missing, skip

ASKER = "pivotal"
"""As whom our server asks chef-zero, which checks no signature."""


Server = TypeVar("Server", ChefZero, Goiardi)


class Beside(Generic[Server]):
    """Everything on one machine; ``house`` has the address of nginx.

    Args:
        folder: an empty folder of its own.
        chef: the Chef server, which runs.
        settings: of our server, besides those that say where it stands.
    """

    def __init__(self, folder: Path, chef: Server, **settings: Any) -> None:
        (folder / "house").mkdir()
        self.folder = folder
        self.chef: Server = chef
        behind = {"identity": "chef", "tls.enabled": False, "trusted_proxies": ["127.0.0.1"]}
        self.house = House(folder / "house", **behind, **settings)
        self.push = ""
        self._proxies: List[Nginx] = []
        self._workstations = 0

    def start(self, admin_key: RSAPrivateKey, asker_key: RSAPrivateKey) -> None:
        """Start our server and nginx."""
        house = self.house
        house.init()
        chef_key = house.data / "chef.pem"
        chef_key.write_bytes(private_pem(asker_key))
        chef_key.chmod(0o600)
        house.key_file.write_bytes(private_pem(admin_key))
        house.start_server()
        self.push = house.address.split("//")[1]
        house.address = self.proxy("nginx", self.push).url

    def proxy(self, name: str, push: str) -> Nginx:
        """One more nginx, which finds our server at ``push`` (``HOST:PORT``)."""
        data = self.house.data
        values = site_values(data, push, self.chef.url, data / "ca.crt")
        nginx = Nginx(self.folder / name, values)
        self._proxies.append(nginx)
        nginx.start()
        return nginx

    def knife(self, user: str, key: RSAPrivateKey, **more: Any) -> Knife:
        """A workstation of a user; ``org`` and ``address`` name another organization, nginx."""
        address = more.pop("address", self.house.address)
        url = f"{address}/organizations/{more.pop('org', ORG)}"
        self._workstations += 1
        folder = self.folder / f"workstation-{self._workstations}"
        return Knife(folder, url, user, key, self.house.data / "ca.crt", **more)

    def close(self) -> None:
        """Leave no process behind, and print the logs."""
        self.house.close()
        for nginx in self._proxies:
            nginx.close()


@contextmanager
def open_beside(
    folder: Path,
    chef: Server,
    admin_key: RSAPrivateKey,
    asker_key: RSAPrivateKey,
    **settings: Any,
) -> Iterator[Beside[Server]]:
    """Our server and nginx started, or the end of the test where nginx is missing."""
    reason = missing()
    if reason:
        skip(Missing(reason))
    place = Beside(folder, chef, **settings)
    try:
        place.start(admin_key, asker_key)
        yield place
        assert TRACEBACK not in place.house.logs()
    finally:
        place.close()


@contextmanager
def open_beside_chef_zero(folder: Path) -> Iterator[Beside[ChefZero]]:
    """The same with a chef-zero of its own; everybody signs with ``key_of`` his name there."""
    (folder / "chef-zero").mkdir()
    try:
        chef = ChefZero(folder / "chef-zero")
    except Missing as reason:
        skip(reason)
    try:
        chef.create_org(ORG)
        chef.create_user(ADMIN, ORG)
        chef.set_group(ORG, "admins", users=(ADMIN,))
        # chef-zero has the right keys of users in its key lists only.
        settings: Dict[str, Any] = {"chef.user": ASKER, "chef.url": chef.url}
        settings["chef.key_lists"] = True
        with open_beside(folder, chef, key_of(ADMIN), key_of(ASKER), **settings) as place:
            yield place
    finally:
        chef.stop()
