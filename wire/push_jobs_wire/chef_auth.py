"""Chef's signed HTTP headers, versions 1.0, 1.1, 1.2 and 1.3: sign a request, verify a request.

Pure: the clock, the body and the keys come in as arguments. Who somebody is and what they may do is
the business of the server; this module answers only whether a request was signed with a given key.
Source: pushy-api 2, and steps 5, 6, 7 and 14 of its section 1.4.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Dict, List, Mapping, Optional, Sequence, Tuple, Union

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509 import InvalidVersion, load_pem_x509_certificate

from push_jobs_wire import rsa
from push_jobs_wire.errors import LocalError, RemoteError

MAX_SKEW = 900.0
"""A timestamp has to be less than this many seconds away from the clock (pushy-api 2.2)."""

_REQUIRED = ("X-Ops-UserId", "X-Ops-Timestamp", "X-Ops-Sign", "X-Ops-Content-Hash")
_LINE = 60
_PUBLIC_KEY_EXPECTED = (
    "expected an RSA key in PEM form that begins with BEGIN PUBLIC KEY, "
    "BEGIN RSA PUBLIC KEY or BEGIN CERTIFICATE"
)
_PRIVATE_KEY_EXPECTED = (
    "expected an RSA key in PEM form, without a passphrase, that begins with "
    "BEGIN RSA PRIVATE KEY or BEGIN PRIVATE KEY"
)


@dataclass(frozen=True)
class _Scheme:
    """How one version signs: its digest, a bare block or a standard signature, hashed user ids."""

    algorithm: str
    raw: bool
    user_hashed: bool


_SCHEMES: Mapping[str, _Scheme] = {
    "1.0": _Scheme("sha1", raw=True, user_hashed=False),
    "1.1": _Scheme("sha1", raw=True, user_hashed=True),
    "1.2": _Scheme("sha1", raw=False, user_hashed=True),
    "1.3": _Scheme("sha256", raw=False, user_hashed=False),
}


class AuthError(RemoteError):
    """Raised when a request is not acceptable; carries the answer to it (pushy-api 2.2, 2.5).

    ``status`` is the HTTP status, ``error`` the value of that key in the JSON body.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error: List[str] = [message]


@dataclass(frozen=True)
class Claim:
    """What the headers of a request say about its sender; nothing of it is proven yet."""

    user_id: str
    timestamp: str
    version: str
    algorithm: str
    content_hash: str
    signature_text: str
    server_api_version: Optional[str]


def timestamp(now: float) -> str:
    """Seconds since the epoch as the value of X-Ops-Timestamp (pushy-api 2.1)."""
    return datetime.fromtimestamp(int(now), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def canonical_path(target: str) -> str:
    """The path that is signed, of a request target as it is sent, without host (pushy-api 2.4)."""
    path = re.sub("/+", "/", target.partition("?")[0])
    return path[:-1] if len(path) > 1 and path.endswith("/") else path or "/"


def sign(
    *,
    method: str,
    target: str,
    body: bytes,
    user_id: str,
    timestamp: str,
    private_key: RSAPrivateKey,
    version: str = "1.3",
    server_api_version: Optional[str] = None,
) -> Dict[str, str]:
    """The headers that sign a request, with names spelled as Chef's own signer does (pushy-api 2).

    ``target`` is the path and query exactly as they are sent, percent-encoded. A user id outside
    ASCII goes out as UTF-8, in the form that HTTP libraries take: one character per byte.
    Raises LocalError when the request cannot be signed so that a server would accept it.
    """
    _check_signable(target, user_id, timestamp, version)
    scheme = _SCHEMES[version]
    content_hash = _digest(scheme.algorithm, body)
    text = _signed_text(
        version,
        method=method,
        target=target,
        content_hash=content_hash,
        timestamp=timestamp,
        user_id=user_id,
        api_version=_api_version_to_sign(server_api_version),
    )
    headers = {
        "X-Ops-Sign": f"algorithm={scheme.algorithm};version={version};",
        "X-Ops-Userid": user_id.encode("utf-8").decode("latin-1"),
        "X-Ops-Timestamp": timestamp,
        "X-Ops-Content-Hash": content_hash,
    }
    headers.update(_signature_lines(_signature(scheme, private_key, text)))
    if server_api_version is not None:
        headers["X-Ops-Server-API-Version"] = server_api_version
    return headers


def read_claim(headers: Mapping[str, str], now: float, max_skew: float = MAX_SKEW) -> Claim:
    """Read the signing headers of a request; ``now`` is the clock in seconds since the epoch.

    Raises AuthError for what is wrong before anybody is looked up (pushy-api 1.4 steps 5 to 7).
    """
    found = {name.lower(): value for name, value in headers.items() if value}
    missing = [name for name in _REQUIRED if name.lower() not in found]
    if missing:
        names = ", ".join(f"'{name}'" for name in missing)
        raise AuthError(400, f"missing required authentication header(s) {names}")
    user_id = _decode_user_id(found["x-ops-userid"])
    _check_clock(found["x-ops-timestamp"], now, user_id, max_skew)
    version, algorithm = _read_sign(found["x-ops-sign"])
    return Claim(
        user_id=user_id,
        timestamp=found["x-ops-timestamp"],
        version=version,
        algorithm=algorithm,
        content_hash=found["x-ops-content-hash"],
        signature_text=_join_signature(found),
        server_api_version=found.get("x-ops-server-api-version"),
    )


def verify(
    claim: Claim,
    *,
    method: str,
    target: str,
    body: bytes,
    public_keys: Sequence[RSAPublicKey],
) -> int:
    """The index of the key that signed this request; ``body`` and ``target`` are as received.

    The content hash is compared for every version. Raises AuthError 401 when no key fits, or
    anything at all is wrong with the signature (pushy-api 2.5, step 14 of 1.4).
    """
    scheme = _SCHEMES[claim.version]
    content_hash = _digest(scheme.algorithm, body)
    refusal = AuthError(401, f"Invalid signature for user or client '{claim.user_id}'")
    # No secret is compared here: whoever sent the body can compute its hash.
    if claim.content_hash != content_hash:
        raise refusal
    try:
        signature = _decode_signature(claim.signature_text)
        text = _signed_text(
            claim.version,
            method=method,
            target=target,
            content_hash=content_hash,
            timestamp=claim.timestamp,
            user_id=claim.user_id,
            api_version=_api_version(claim),
        )
    except ValueError:  # UnicodeError and the errors of base64 are among them
        raise refusal from None
    for index, key in enumerate(public_keys):
        if _signed_by(key, scheme, signature, text):
            return index
    raise refusal


def load_public_key(pem: Union[str, bytes]) -> RSAPublicKey:
    """Load an RSA public key from one of three PEM forms (pushy-api 2.5).

    Raises LocalError, which never quotes the key.
    """
    data = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
    if b"PRIVATE KEY-----" in data:
        raise LocalError(f"this is a private key, keep it secret; {_PUBLIC_KEY_EXPECTED}")
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            key = load_pem_x509_certificate(data).public_key()
        else:
            key = load_pem_public_key(data)
    except (ValueError, InvalidVersion, UnsupportedAlgorithm):
        raise LocalError(f"the public key cannot be read; {_PUBLIC_KEY_EXPECTED}") from None
    if not isinstance(key, RSAPublicKey):
        raise LocalError(f"the public key is of another kind than RSA; {_PUBLIC_KEY_EXPECTED}")
    return key


def load_private_key(pem: bytes) -> RSAPrivateKey:
    """Load an RSA private key from PEM. Raises LocalError, which never quotes the key."""
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise LocalError(
            f"the private key is locked with a passphrase; {_PRIVATE_KEY_EXPECTED}"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise LocalError(f"the private key cannot be read; {_PRIVATE_KEY_EXPECTED}") from None
    if not isinstance(key, RSAPrivateKey):
        raise LocalError(f"the private key is of another kind than RSA; {_PRIVATE_KEY_EXPECTED}")
    return key


def _check_signable(target: str, user_id: str, timestamp: str, version: str) -> None:
    if version not in _SCHEMES:
        raise LocalError(
            f"unknown signature version {version!r}; choose one of {', '.join(_SCHEMES)}"
        )
    if not target.isascii() or not target.isprintable() or " " in target:
        raise LocalError(f"request target {target!r} has to be percent-encoded before it is signed")
    if not user_id.isprintable() or user_id != user_id.strip() or not user_id:
        raise LocalError(f"user id {user_id!r} cannot be sent; give the user or client name")
    if _read_timestamp(timestamp) is None:
        raise LocalError(f"timestamp {timestamp!r} is not of the form YYYY-MM-DDThh:mm:ssZ")


def _digest(algorithm: str, data: bytes) -> str:
    return base64.b64encode(hashlib.new(algorithm, data).digest()).decode("ascii")


def _signed_text(
    version: str,
    *,
    method: str,
    target: str,
    content_hash: str,
    timestamp: str,
    user_id: str,
    api_version: int,
) -> bytes:
    """The bytes under the signature (pushy-api 2.4). Raises UnicodeError for what HTTP can't carry.

    Servers hand over the bytes of a target as characters of the same number, hence Latin-1.
    """
    scheme = _SCHEMES[version]
    path = canonical_path(target).encode("latin-1")
    user = user_id.encode("utf-8")
    if scheme.user_hashed:
        user = _digest(scheme.algorithm, user).encode("ascii")
    lines = [b"X-Ops-Timestamp:" + timestamp.encode("utf-8"), b"X-Ops-UserId:" + user]
    if version == "1.3":
        path_line = b"Path:" + path
        lines.insert(0, b"X-Ops-Sign:version=1.3")
        lines.append(b"X-Ops-Server-API-Version:%d" % api_version)
    else:
        path_line = b"Hashed Path:" + _digest(scheme.algorithm, path).encode("ascii")
    hash_line = b"X-Ops-Content-Hash:" + content_hash.encode("ascii")
    return b"\n".join([b"Method:" + method.upper().encode("utf-8"), path_line, hash_line, *lines])


def _hash_of(scheme: _Scheme) -> hashes.HashAlgorithm:
    return hashes.SHA1() if scheme.algorithm == "sha1" else hashes.SHA256()


def _signature(scheme: _Scheme, key: RSAPrivateKey, text: bytes) -> bytes:
    if scheme.raw:
        return rsa.sign_raw(key, text)
    return key.sign(text, PKCS1v15(), _hash_of(scheme))


def _signed_by(key: RSAPublicKey, scheme: _Scheme, signature: bytes, text: bytes) -> bool:
    try:
        if scheme.raw:
            numbers = key.public_numbers()
            return hmac.compare_digest(rsa.recover_raw(numbers.n, numbers.e, signature), text)
        key.verify(signature, text, PKCS1v15(), _hash_of(scheme))
        return True
    except (InvalidSignature, RemoteError, UnsupportedAlgorithm, ValueError):
        return False


def _signature_lines(signature: bytes) -> Dict[str, str]:
    text = base64.b64encode(signature).decode("ascii")
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    return {f"X-Ops-Authorization-{number}": line for number, line in enumerate(lines, 1)}


def _join_signature(found: Mapping[str, str]) -> str:
    lines: List[str] = []
    while True:
        line = found.get(f"x-ops-authorization-{len(lines) + 1}")
        if line is None:
            return "".join(lines)
        lines.append(line)


def _decode_signature(text: str) -> bytes:
    return base64.b64decode(b"".join(text.encode("ascii").split()), validate=True)


def _decode_user_id(value: str) -> str:
    """Servers hand over the bytes of a header as characters of the same number; names are UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value.encode("utf-8", "replace").decode("utf-8")


def _check_clock(text: str, now: float, user_id: str, max_skew: float) -> None:
    sent = _read_timestamp(text)
    if sent is None:
        raise AuthError(401, "bad header(s) 'X-Ops-Timestamp'")
    if not abs(now - sent) < max_skew:
        raise AuthError(
            401,
            f"Failed to authenticate as {user_id}. Synchronize the clock on your host.",
        )


def _read_timestamp(text: str) -> Optional[float]:
    """Seconds since the epoch, or None unless the text holds exactly the six numbers of a date."""
    parts = [part for part in re.split("[-T:Z]", text) if part]
    if len(parts) != 6 or not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
        return None
    year, month, day, hour, minute, second = (int(part) for part in parts)
    try:
        at = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None
    return at.timestamp()


def _read_sign(value: str) -> Tuple[str, str]:
    """Version and algorithm of an X-Ops-Sign header (pushy-api 2.3)."""
    fields: Dict[str, str] = {}
    for piece in value.split(";"):
        if piece.count("=") == 1:
            name, _, field = piece.partition("=")
            fields.setdefault(name, field)
    version = fields.get("version", "")
    scheme = _SCHEMES.get(version)
    if scheme is None or fields.get("algorithm", scheme.algorithm) != scheme.algorithm:
        raise AuthError(400, "Unsupported authentication protocol version")
    return version, scheme.algorithm


def _api_version(claim: Claim) -> int:
    """The number that version 1.3 signs; ValueError if there is a header and it holds none."""
    if claim.version != "1.3":
        return 0
    return _integer(claim.server_api_version)


def _api_version_to_sign(text: Optional[str]) -> int:
    try:
        return _integer(text)
    except ValueError:
        raise LocalError(f"server API version {text!r} is not an integer") from None


def _integer(text: Optional[str]) -> int:
    if text is None:
        return 0
    if not re.fullmatch("[+-]?[0-9]{1,18}", text):
        raise ValueError(text)
    return int(text)
