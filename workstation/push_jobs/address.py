"""Takes a server URL apart and refuses those that signed requests should not be sent to."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Optional
from urllib.parse import SplitResult, urlsplit

from push_jobs.errors import UsageError
from push_jobs.terminal import escape_line

EXAMPLE = "https://HOST:10003/organizations/ORG"

_ORGANIZATION = re.compile(r"/+organizations/+([a-z0-9_-]+)/*")
_HOST = re.compile(r"[A-Za-z0-9._:-]+")


@dataclass(frozen=True)
class ServerAddress:
    """Where a server is: ``origin`` (scheme, host, port) and the organization asked about."""

    scheme: str
    host: str
    port: Optional[int]
    organization: str

    @property
    def netloc(self) -> str:
        """HOST or HOST:PORT as it stands in URLs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """HOST:PORT for messages, with the port even if the URL leaves it out."""
        if self.port is not None:
            return self.netloc
        return f"{self.netloc}:{443 if self.scheme == 'https' else 80}"

    @property
    def origin(self) -> str:
        """The URL of the server itself, without a path."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def loopback(self) -> bool:
        """True when the server is this machine."""
        return _is_loopback(self.host)


def parse_server(url: str) -> ServerAddress:
    """Return the address in ``url``; raises UsageError that says what is wrong with it."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _wrong(url, f"is not a URL: {error}") from None
    match = _ORGANIZATION.fullmatch(parts.path)
    complaint = _complaint(parts, host)
    if complaint is None and match is None:
        complaint = _wrong_path(parts.path)
    if complaint is not None or match is None:
        raise _wrong(url, complaint or "")
    return ServerAddress(parts.scheme, host, port, match[1])


def _wrong_path(path: str) -> str:
    if _ORGANIZATION.fullmatch(path.lower()):
        return "has upper case letters in its path: names of organizations are lower case"
    return "does not end in /organizations/ORG"


def _complaint(parts: SplitResult, host: str) -> Optional[str]:
    if parts.scheme not in ("http", "https"):
        return "does not begin with https://"
    if not _HOST.fullmatch(host):
        return "does not name a host"
    if parts.username is not None or parts.query or parts.fragment:
        return "has more in it than a host and a path"
    if parts.scheme == "http" and not _is_loopback(host):
        return "is not https: requests and output could be read and changed on their way"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _wrong(url: str, complaint: str) -> UsageError:
    return UsageError(f"server URL '{escape_line(url)}' {complaint}; expected {EXAMPLE}")
