"""Who may do what: the checks that every organization route makes, in the order of pushy-api 1.4.

Header checks, body size, organization, principal, signature, authorization. Bodies are read here,
because signatures cover them, but nothing looks into them before the caller is known.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import socket
from typing import Any, Dict, List, Optional

from push_jobs_server.api.refusals import REQUEST
from push_jobs_server.api.services import Caller, Failure, Services, unavailable
from push_jobs_server.api.urls import client_address
from push_jobs_server.identity.base import IdentityUnavailable, Principal
from push_jobs_server.keys import load_key
from push_jobs_server.store import StoreUnavailable
from push_jobs_wire import chef_auth
from push_jobs_wire.errors import PushJobsError

log = logging.getLogger("push_jobs_server.api")

READ, WRITE = "read", "write"
_GROUPS = {READ: "pushy_job_readers", WRITE: "pushy_job_writers"}
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
        try:
            if not self._services.identity.has_organization(org):
                raise Failure(404, [f"organization '{org}' does not exist."])
            found = self._services.identity.principals(org, self.claim.user_id)
        except IdentityUnavailable as error:
            raise _bad_gateway("key", error) from None
        except StoreUnavailable as error:
            raise unavailable(f"identities can't be read now: {error}") from None
        return self._verify(org, self._members(org, found))

    def _members(self, org: str, found: List[Principal]) -> List[Principal]:
        name = self.claim.user_id
        if not found:
            text = (
                f"Failed to authenticate as '{name}'. "
                "Ensure that your node_name and client key are correct."
            )
            raise Failure(401, [text], _SIGN)
        members = [principal for principal in found if principal.member]
        if not members:
            raise Failure(403, [f"'{name}' is not associated with organization '{org}'"])
        return members

    def _verify(self, org: str, members: List[Principal]) -> Caller:
        try:
            index = chef_auth.verify(
                self.claim,
                method=self.method,
                target=self.target,
                body=self.body,
                public_keys=[load_key(each.public_key) for each in members],
            )
        except chef_auth.AuthError as error:
            raise Failure(error.status, error.error, _SIGN) from None
        chosen = members[index]
        self.caller = Caller(
            chosen.name,
            chosen.kind,
            chosen.public_key,
            self._request_key(org),
            client_address(self._environ, self._services.settings["trusted_proxies"]),
        )
        return self.caller

    def _request_key(self, org: str) -> str:
        """What a repeated request has in common with the first, however its headers are written."""
        claim = self.claim
        content = hashlib.sha256(self.body).hexdigest()
        path = chef_auth.canonical_path(self.target)
        parts = (org, claim.user_id, claim.timestamp, claim.version, self.method, path, content)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def authorize(services: Services, org: str, caller: Caller, action: str) -> None:
    """Step 15: reader and writer groups (pushy-api 3.2). Raises Failure 403."""
    member = _member(services, org, _GROUPS[action], caller)
    if member is None:
        member = action == READ or bool(_member(services, org, "admins", caller))
    if not member:
        refuse(caller)


def refuse(caller: Caller) -> None:
    """Answer that the caller has no right to do this."""
    text = f"User or client '{caller.name}' does not have access to that action on this server."
    raise Failure(403, [text])


def _member(services: Services, org: str, group: str, caller: Caller) -> Optional[bool]:
    try:
        return services.identity.is_member(org, group, caller.kind, caller.name)
    except IdentityUnavailable as error:
        raise _bad_gateway("group", error) from None
    except PushJobsError as error:
        raise unavailable(f"groups can't be read now: {error}") from None


def _bad_gateway(what: str, why: IdentityUnavailable) -> Failure:
    """502: the Chef server did not say who this is or what he may do (pushy-api 3.1)."""
    log.warning("no %s from the Chef server: %s", what, why)
    return Failure(502, [f"Failed to connect to erchef to get {what}: {why}"])


def _headers(environ: Dict[str, Any]) -> Dict[str, str]:
    """Request headers from a WSGI environment, in Title-Case."""
    return {
        name[5:].replace("_", "-").title(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }


def read_body(environ: Dict[str, Any], limit: int) -> "tuple[bytes, bool]":
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
