"""Real Chef-compatible servers for tests: chef-zero from RubyGems and goiardi from Debian.

Both keep everything in memory. What each can't show is told at its class. Fixtures for them are in
chef_fixtures.py.
"""

from __future__ import annotations

import json
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import requests
from api_desk import key_of, public_pem
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from gems import gem_set
from peer import Peer, installed
from raw_server import PATIENCE

from push_jobs_wire import chef_auth


class Said(NamedTuple):
    """An answer: its status, and its JSON if it has any."""

    status: int
    json: Any


def private_pem(key: RSAPrivateKey) -> bytes:
    """A private key in the form that knife and the Ruby client read."""
    exporter: Any = key  # Any: some type stubs lack private_bytes
    pem: bytes = exporter.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    return pem


class _ChefServer:
    """What both have in common: signed calls of an administrator.

    Args:
        folder: an empty folder of its own.
    """

    admin = ""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    @property
    def url(self) -> str:
        """The address of the server, without a slash at its end."""
        return f"http://127.0.0.1:{self.peer.port}"

    def admin_key(self) -> RSAPrivateKey:
        """The key of the administrator."""
        raise NotImplementedError

    def call(
        self,
        method: str,
        path: str,
        body: Optional[Dict[str, Any]] = None,
        user: Optional[str] = None,
        key: Optional[RSAPrivateKey] = None,
        version: str = "1.1",
    ) -> Said:
        """A signed request, of the administrator unless a user and key are given."""
        content = b"" if body is None else json.dumps(body).encode("ascii")
        headers = chef_auth.sign(
            method=method,
            target=path,
            body=content,
            user_id=user or self.admin,
            timestamp=chef_auth.timestamp(time.time()),
            private_key=key or self.admin_key(),
            version=version,
            server_api_version="0",
        )
        headers.update({"Accept": "application/json", "Content-Type": "application/json"})
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(
                method, self.url + path, data=content, headers=headers, timeout=PATIENCE
            )
            return Said(answer.status_code, answer.json() if answer.content else None)

    def must(self, method: str, path: str, body: Optional[Dict[str, Any]] = None) -> Any:
        """A request of the administrator that has to succeed; its JSON."""
        said = self.call(method, path, body)
        assert said.status in (200, 201), (method, path, said)
        return said.json

    def stop(self) -> None:
        """Stop the server."""
        self.peer.stop()


class ChefZero(_ChefServer):
    """chef-zero with several organizations.

    It checks no signatures, and its answer about a principal has one key: for a user of the
    organization a constant of its own, not his. Key lists are right.
    """

    admin = "pivotal"

    def __init__(self, folder: Path) -> None:
        gems = gem_set("main")
        super().__init__(
            Peer(
                "chef-zero",
                folder,
                lambda port: [
                    *gems.command("chef-zero"),
                    *("--multi-org", "--host", "127.0.0.1", "--port", str(port)),
                    *("--log-level", "info"),
                ],
                gems.environment(),
            )
        )
        self.peer.start()

    def admin_key(self) -> RSAPrivateKey:
        """Any key will do."""
        return key_of("pivotal")

    def create_org(self, name: str) -> str:
        """Make an organization with an empty group ``admins``; its URL."""
        self.must("POST", "/organizations", {"name": name, "full_name": name})
        return f"{self.url}/organizations/{name}"

    def create_user(self, name: str, *orgs: str) -> RSAPrivateKey:
        """Make a user and put him into organizations; his key is ``key_of`` his name."""
        person = {"username": name, "display_name": name, "email": f"{name}@example.com"}
        secret = {"password": "not used here", "public_key": public_pem(name)}
        self.must("POST", "/users", {**person, **secret})
        for org in orgs:
            self.must("POST", f"/organizations/{org}/users", {"username": name})
        return key_of(name)

    def create_client(self, org: str, name: str) -> RSAPrivateKey:
        """Make a client; its key is ``key_of`` its name."""
        body = {"name": name, "public_key": public_pem(name)}
        self.must("POST", f"/organizations/{org}/clients", body)
        return key_of(name)

    def set_group(
        self,
        org: str,
        name: str,
        users: "tuple[str, ...]" = (),
        clients: "tuple[str, ...]" = (),
        groups: "tuple[str, ...]" = (),
    ) -> None:
        """Make a group with these members, or give it these instead of those it has."""
        path = f"/organizations/{org}/groups"
        if self.call("GET", f"{path}/{name}").status == 404:
            self.must("POST", path, {"groupname": name})
        actors = {"users": list(users), "clients": list(clients), "groups": list(groups)}
        self.must("PUT", f"{path}/{name}", {"groupname": name, "actors": actors})


class Goiardi(_ChefServer):
    """goiardi: one organization at the root of the server, no groups.

    It checks signatures. With version 1.3 it wants X-Ops-Server-API-Version to be sent.

    Args:
        folder: an empty folder of its own.
        options: more words for its command line.
    """

    admin = "admin"

    def __init__(self, folder: Path, *options: str) -> None:
        program = installed("/usr/bin/goiardi", "goiardi")
        self._folder = folder
        self._options = options
        super().__init__(Peer("goiardi", folder, lambda port: self._words(program, port)))
        self.peer.start()

    def _words(self, program: str, port: int) -> List[str]:
        where = ["--ipaddress=127.0.0.1", "--hostname=127.0.0.1", f"--port={port}"]
        return [
            program,
            "--use-auth",
            "--disable-webui",
            "-VVV",
            *where,
            f"--conf-root={self._folder}",
            *self._options,
        ]

    def admin_key(self) -> RSAPrivateKey:
        """The key that goiardi made at its start."""
        return _loaded((self._folder / "admin.pem").read_bytes())

    def create_user(self, name: str) -> RSAPrivateKey:
        """Make a user without special rights; his new key."""
        return self._create("/users", {"name": name, "password": "not used here", "admin": False})

    def create_client(self, name: str) -> RSAPrivateKey:
        """Make a client; its new key."""
        return self._create("/clients", {"name": name, "admin": False})

    def _create(self, path: str, body: Dict[str, Any]) -> RSAPrivateKey:
        return chef_auth.load_private_key(self.must("POST", path, body)["private_key"].encode())


@lru_cache(maxsize=None)
def _loaded(pem: bytes) -> RSAPrivateKey:
    """Loading a key takes longer than a request."""
    return chef_auth.load_private_key(pem)
