"""Who somebody is: the checks that every organization route makes, in the order of pushy-api 1.4.

Header checks, body size, organization, principal, signature. Bodies are read here,
because signatures cover them, but nothing looks into them before the caller is known.
"""

from __future__ import annotations

import base64
import hashlib
import socket
from typing import Any, Dict, List, Optional, Tuple

from push_jobs_server.api.refusals import REQUEST
from push_jobs_server.api.services import Caller, Failure, Services, bad_gateway, unavailable
from push_jobs_server.api.urls import client_address
from push_jobs_server.identity.base import IdentityUnavailable, Principal, Questions
from push_jobs_server.keys import load_key
from push_jobs_server.store import StoreUnavailable
from push_jobs_wire import chef_auth

_SIGN = {"WWW-Authenticate": 'X-Ops-Sign version="1.0" version="1.1"'}


class SignedRequest:
    """A request whose signing headers, clock and size are acceptable; not yet verified.

    Raises Failure as steps 4 to 8 say.
    """

    def __init__(self, services: Services, environ: Dict[str, Any]) -> None:
        self._services = services
        self._environ = environ
        self.caller: Optional[Caller] = None
        """Who made the request, once that is proven."""
        self._identity: Questions
        environ[REQUEST] = self
        self.method = str(environ["REQUEST_METHOD"])
        self.target = str(environ["REQUEST_URI"])
        headers = _headers(environ)
        limit = int(services.settings["http.max_body_size"])
        self.body, self._too_large = read_body(environ, limit)
        _check_md5(headers.get("Content-Md5"), self.body, self._too_large)
        try:
            skew = float(services.settings["request_skew"])
            self.claim = chef_auth.read_claim(headers, services.clock(), skew)
        except chef_auth.AuthError as error:
            raise Failure(error.status, error.error) from None
        if self._too_large:
            raise Failure(413, f"JSON must be no more than {limit} bytes.", {"Connection": "close"})

    def authenticate(self, org: str) -> Caller:
        """Steps 11 to 14: the organization, the principal and the signature."""
        found = self._principals(org)
        members = [principal for principal in found if principal.member]
        if not members:
            name = self.claim.user_id
            raise Failure(403, [f"'{name}' is not associated with organization '{org}'"])
        self.caller = self._caller(org, self._verified(members))
        return self.caller

    def identify(self, org: str) -> Tuple[Caller, bool]:
        """As ``authenticate``, also for those outside the organization: False for them."""
        # Members first: a client of the organization and a user outside may share a name and a key.
        found = sorted(self._principals(org), key=lambda principal: not principal.member)
        chosen = self._verified(found)
        self.caller = self._caller(org, chosen)
        return self.caller, chosen.member

    def _principals(self, org: str) -> List[Principal]:
        name = self.claim.user_id
        try:
            identity = self._identity = self._services.identity.for_request()
            if not identity.has_organization(org):
                raise Failure(404, [f"organization '{org}' does not exist."])
            # Nobody has such a name, and PostgreSQL could not even be asked for it.
            found = [] if "\0" in name else identity.principals(org, name)
        except IdentityUnavailable as error:
            raise bad_gateway("key", error) from None
        except StoreUnavailable as error:
            raise unavailable(f"identities can't be read now: {error}") from None
        if not found:
            text = (
                f"Failed to authenticate as '{name}'. "
                "Ensure that your node_name and client key are correct."
            )
            raise Failure(401, [text], _SIGN)
        return found

    def _verified(self, principals: List[Principal]) -> Principal:
        try:
            index = chef_auth.verify(
                self.claim,
                method=self.method,
                target=self.target,
                body=self.body,
                public_keys=[load_key(each.public_key) for each in principals],
            )
        except chef_auth.AuthError as error:
            raise Failure(error.status, error.error, _SIGN) from None
        return principals[index]

    def _caller(self, org: str, chosen: Principal) -> Caller:
        return Caller(
            chosen.name,
            chosen.kind,
            chosen.public_key,
            self._identity,
            self._request_key(org),
            client_address(self._environ, self._services.settings["trusted_proxies"]),
        )

    def _request_key(self, org: str) -> str:
        """What a repeated request has in common with the first, however its headers are written."""
        claim = self.claim
        content = hashlib.sha256(self.body).hexdigest()
        path = chef_auth.canonical_path(self.target)
        parts = (org, claim.user_id, claim.timestamp, claim.version, self.method, path, content)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def _headers(environ: Dict[str, Any]) -> Dict[str, str]:
    """Request headers from a WSGI environment, in Title-Case."""
    return {
        name[5:].replace("_", "-").title(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }


def read_body(environ: Dict[str, Any], limit: int) -> Tuple[bytes, bool]:
    """The body, and whether it is larger than ``limit`` bytes (then not all of it is read)."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise Failure(400, ["Content-Length is no number"]) from None
    if length > limit:
        return b"", True
    chunked = "chunked" in str(environ.get("HTTP_TRANSFER_ENCODING", "")).lower()
    if not length and not chunked:
        return b"", False
    body = _receive(environ["wsgi.input"], limit + 1 if chunked else length)
    if not chunked and len(body) < length:
        raise _broken(400, "the body is shorter than its Content-Length")
    return body, len(body) > limit


def _receive(stream: Any, size: int) -> bytes:
    try:
        return bytes(stream.read(size))
    except socket.timeout:
        raise _broken(408, "the body did not arrive in time") from None
    except (ValueError, OSError) as error:  # a broken chunk, a broken connection
        raise _broken(400, f"the body can't be read: {error}") from None


def _broken(status: int, text: str) -> Failure:
    return Failure(status, [text], {"Connection": "close"})


def _check_md5(sent: Optional[str], body: bytes, too_large: bool) -> None:
    if sent and not too_large:
        digest = hashlib.md5(body).digest()  # noqa: S324 - an integrity header, not a secret
        if base64.b64encode(digest).decode("ascii") != sent.strip():
            raise Failure(400, ["Content-MD5 does not match the body"])
