"""Where each organization is at Chef-compatible servers. Pure: takes settings, asks nobody."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Dict, Optional, Sequence
from urllib.parse import quote, urlsplit

from push_jobs_server.identity.base import IdentityError
from push_jobs_server.identity.names import check_organization


@dataclass(frozen=True)
class Place:
    """The base URL of one organization; ``root`` when it is a whole server without organizations.

    ``url`` has no slash at its end.
    """

    url: str
    root: bool = False

    def at(self, *pieces: str) -> str:
        """The URL of something below, its pieces not yet percent-encoded."""
        return "/".join([self.url, *(quote(piece, safe="") for piece in pieces)])


class Places:
    """Finds the place of an organization.

    Args:
        server: URL of the server that has all organizations not named in ``others``, or None.
        others: texts of the form ORGANIZATION=URL, the base URL of that organization.

    Raises IdentityError that says what is wrong with which.
    """

    def __init__(self, server: Optional[str], others: Sequence[str]) -> None:
        self._server = None if server is None else _base(server)
        self._others: Dict[str, Place] = {}
        for text in others:
            name, equals, url = text.partition("=")
            if not equals:
                raise IdentityError(f"{text!r} is not of the form ORGANIZATION=URL")
            check_organization(name)
            if name in self._others:
                raise IdentityError(f"organization {name!r} is given twice")
            self._others[name] = _place(_base(url))

    def find(self, org: str) -> Optional[Place]:
        """The place of an organization; None when it can't exist."""
        if org in self._others:
            return self._others[org]
        if self._server is None:
            return None
        try:
            check_organization(org)
        except IdentityError:
            return None
        return Place(f"{self._server}/organizations/{org}")


def _place(url: str) -> Place:
    pieces = url.split("/")
    return Place(url, root=pieces[-2] != "organizations")


def _base(url: str) -> str:
    """Check a URL; it comes back without a slash at its end."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise IdentityError("an address of the Chef server is no URL") from None
    # A URL with a password in it must not be repeated.
    if parts.username is not None or parts.password is not None:
        raise IdentityError(
            "an address of the Chef server holds a user name or password; leave it out"
        )
    plain = url.isascii() and url.isprintable() and not set(url) & set(' "<>\\^`{|}%')
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise IdentityError(f"{url!r} is not a URL of the form https://HOST[:PORT][/PATH]")
    if parts.query or parts.fragment or "//" in parts.path or "/." in parts.path:
        raise IdentityError(f"{url!r} has more than a host and a plain path")
    if parts.scheme == "http" and not _is_here(host):
        raise IdentityError(
            f"{url!r}: whoever is on the way could make himself an administrator; use https "
            "(http is taken for this machine's own loopback addresses only)"
        )
    return url.rstrip("/")


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
