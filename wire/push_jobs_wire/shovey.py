"""The signed command of Shovey: what is in it, how it is signed and checked. Pure.

SHA-1 is the protocol's own digest and is used nowhere else. To an agent of ours a second signature
with SHA-256 travels beside it, and is itself covered by the first one, as any additional key is;
where both are too long for a query, or the agent has proven that it is ours, it travels alone.
Importing this module must not import `cryptography`: agents check signatures in a process
that has to stay small. Source: shovey 4.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Dict, FrozenSet, Mapping, Optional, Tuple

from push_jobs_wire import rsa
from push_jobs_wire.errors import LocalError, RemoteError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

START = "start"
CANCEL = "cancel"
QUERY = "shovey"
"""Name of the query that carries a command."""
HEARTBEAT = "node_status"
JOIN_EVENT = "goiardi-join"
HEARTBEAT_INTERVAL = 30.0
"""Seconds between two heartbeats of a node."""
EXTENSIONS_KEY = "extensions"
"""In a heartbeat: the node checks the second signature, too."""

SIGNATURE = "signature"
SIGNATURE_256 = "signature256"
_NO_LONGER = 65536
_DIGEST_INFO = {
    "sha1": bytes.fromhex("3021300906052b0e03021a05000414"),
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
}

Payload = Dict[str, str]


class NotVerified(RemoteError):
    """Raised for a command whose signature is not the server's; ``reason`` in goiardi's words."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the command could not be verified: {reason}")
        self.reason = reason


def job_uuid(job_id: str) -> str:
    """The id of a job as the Shovey routes print it: the same 128 bits as a UUID.

    Raises LocalError for what is no job id.
    """
    try:
        return str(uuid.UUID(hex=job_id))
    except ValueError:
        raise LocalError(f"{job_id!r} is no job id of 32 hex digits") from None


def job_id_of(run_id: str) -> Optional[str]:
    """The id of a job, 32 hex digits, from a canonical UUID; None for anything else."""
    try:
        parsed = uuid.UUID(run_id)
    except (ValueError, AttributeError, TypeError):
        return None
    return parsed.hex if str(parsed) == run_id else None


def start_payload(run_id: str, command: str, timeout: int, wall: float) -> Payload:
    """An unsigned start; ``timeout`` in seconds, ``wall`` since the epoch."""
    return {
        "action": START,
        "command": command,
        "run_id": run_id,
        "time": timestamp(wall),
        "timeout": str(timeout),
    }


def cancel_payload(run_id: str, wall: float) -> Payload:
    """An unsigned cancel."""
    return {"action": CANCEL, "run_id": run_id, "time": timestamp(wall)}


def timestamp(wall: float) -> str:
    """RFC 3339 in UTC, seconds."""
    return datetime.fromtimestamp(int(wall), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def signing_block(payload: Mapping[str, str], *, without: FrozenSet[str] = frozenset()) -> bytes:
    """What is signed: all fields but the signature, sorted by the bytes of their names (4.2)."""
    left_out = without | {SIGNATURE}
    names = sorted((name for name in payload if name not in left_out), key=str.encode)
    return "\n".join(f"{name}: {payload[name]}" for name in names).encode()


def signed(payload: Mapping[str, str], key: RSAPrivateKey, also_256: bool = False) -> Payload:
    """The payload with its signature; ``also_256`` adds ours, for nodes that ask for it."""
    result = dict(payload)
    if also_256:
        result[SIGNATURE_256] = _sign(signing_block(payload), key, "sha256")
    result[SIGNATURE] = _sign(signing_block(result), key, "sha1")
    return result


def signed_256(payload: Mapping[str, str], key: RSAPrivateKey) -> Payload:
    """The payload with our signature alone, for nodes that are known to check it."""
    return {**payload, SIGNATURE_256: _sign(signing_block(payload), key, "sha256")}


def encode(payload: Mapping[str, str]) -> bytes:
    """The payload as it travels."""
    return json.dumps(payload, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def decode(data: bytes) -> Payload:
    """The fields of a payload; a null counts as an empty text (shovey 4.3).

    Raises RemoteError unless it is a JSON object whose values are texts.
    """
    if len(data) > _NO_LONGER:
        raise RemoteError(f"a payload of {len(data)} bytes")
    try:
        fields = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise RemoteError("a payload that is no JSON") from None
    if not isinstance(fields, dict):
        raise RemoteError("a payload that is no JSON object")
    fields = {name: "" if value is None else value for name, value in fields.items()}
    wrong = sorted(name for name, value in fields.items() if not isinstance(value, str))
    if wrong:
        raise RemoteError(f"a payload whose {', '.join(map(repr, wrong[:5]))} is no text")
    return fields


def verify(payload: Mapping[str, str], public_key: Tuple[int, int], need_256: bool = False) -> bool:
    """Check the signatures with a public key ``(n, e)``; True when that with SHA-256 was there.

    Each that is there has to be right, and one has to be there. ``need_256``: refuse a command
    without SHA-256. Raises NotVerified.
    """
    try:
        block = signing_block(payload)
        inner = signing_block(payload, without=frozenset({SIGNATURE_256}))
    except UnicodeEncodeError:
        raise NotVerified("it is no text that can be signed") from None
    second = payload.get(SIGNATURE_256)
    if second is None or SIGNATURE in payload:
        _check(payload.get(SIGNATURE, ""), block, public_key, "sha1")
    if second is None and need_256:
        raise NotVerified(
            "the signature with SHA-256 is missing, which this server has sent before"
        )
    if second is not None:
        _check(second, inner, public_key, "sha256")
    return second is not None


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time with any offset and fraction.

    Raises RemoteError.
    """
    head, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    zone = rest[digits:] if dot else ""
    fraction = float("0." + rest[:digits]) if dot and digits else 0.0
    whole = head + zone
    if whole.endswith(("Z", "z")):
        whole = whole[:-1] + "+00:00"
    try:
        moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        raise RemoteError(f"{text[:60]!r} is no time of RFC 3339") from None
    return moment.timestamp() + fraction


def _sign(block: bytes, key: RSAPrivateKey, digest: str) -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    algorithm = hashes.SHA1() if digest == "sha1" else hashes.SHA256()  # noqa: S303
    return base64.b64encode(key.sign(block, PKCS1v15(), algorithm)).decode("ascii")


def _check(signature: str, block: bytes, public_key: Tuple[int, int], digest: str) -> None:
    try:
        raw = base64.b64decode(signature.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise NotVerified("illegal base64 data") from None
    expected = _DIGEST_INFO[digest] + hashlib.new(digest, block).digest()
    try:
        recovered = rsa.recover_raw(*public_key, raw)
    except RemoteError:
        raise NotVerified("crypto/rsa: verification error") from None
    if recovered != expected:
        raise NotVerified("crypto/rsa: verification error")
