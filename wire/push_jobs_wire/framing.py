"""The two-frame grammar of the Pushy wire: header, signature, timestamp. Bytes in, bytes out.

A message is a header frame and a body frame. The header names the signing method and carries the
signature over the exact bytes of the body. Nothing here knows what a body means, reads a clock or
keeps a key. Source: pushy-protocol 4.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING

from push_jobs_wire import rsa
from push_jobs_wire.errors import RemoteError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

MAX_HEADER = 2048
"""Largest header frame accepted, in bytes (pushy-protocol 4.8)."""

HMAC = "hmac_sha256"
RSA = "rsa2048_sha1"

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)


class FramingError(RemoteError):
    """Raised when a frame, signature or timestamp of the peer is not acceptable."""


@dataclass(frozen=True)
class Header:
    """A parsed header frame; ``signature`` is the base64 text as it was sent."""

    version: str
    method: str
    signature: str


def parse_header(frame: bytes) -> Header:
    """Read a header frame (pushy-protocol 4.2): the last clause of a name counts.

    Raises FramingError when it is too large, is no ASCII or lacks a signature or a known version.
    """
    if len(frame) > MAX_HEADER:
        raise FramingError(f"header of {len(frame)} bytes, at most {MAX_HEADER} are allowed")
    try:
        text = frame.decode("ascii")
    except UnicodeDecodeError:
        raise FramingError("header is not ASCII text") from None
    clauses = dict(clause.partition(":")[::2] for clause in text.split(";"))
    version = clauses.get("Version", "")
    signature = clauses.get("Signature", clauses.get("SignedChecksum", ""))
    if version not in ("1.0", "2.0"):
        raise FramingError(f"unknown header version {version[:20]!r}")
    if not signature:
        raise FramingError("header without a signature")
    return Header(version, clauses.get("SigningMethod", ""), signature)


def _header(method: str, signature: bytes) -> bytes:
    encoded = base64.b64encode(signature)
    return b"Version:2.0;SigningMethod:%s;Signature:%s" % (
        method.encode("ascii"),
        encoded,
    )


def seal_hmac(key: bytes, body: bytes) -> bytes:
    """The header frame that signs ``body`` with a session key of 32 bytes (pushy-protocol 4.3)."""
    return _header(HMAC, hmac.digest(key, body, "sha256"))


def seal_rsa(key: RSAPrivateKey, body: bytes) -> bytes:
    """The header frame that signs ``body`` with the server's RSA key (pushy-protocol 4.4)."""
    return _header(RSA, rsa.sign_raw(key, rsa.signing_text(body)))


def check_hmac(key: bytes, header: Header, body: bytes) -> None:
    """Raise FramingError unless ``header`` signs ``body`` with ``key``, compared as base64 text."""
    if header.method != HMAC or header.version != "2.0":
        raise FramingError(f"signing method {header.method[:20]!r} is not accepted here")
    expected = base64.b64encode(hmac.digest(key, body, "sha256"))
    if not hmac.compare_digest(expected, header.signature.encode("ascii")):
        raise FramingError("wrong signature")


def check_hmac_frame(key: bytes, frame: bytes, body: bytes) -> None:
    """Raise FramingError unless the header frame signs ``body`` with ``key``.

    Nearly every header is written as ``seal_hmac`` writes it and need not be parsed.
    """
    if not hmac.compare_digest(frame, seal_hmac(key, body)):
        check_hmac(key, parse_header(frame), body)


def check_rsa(modulus: int, exponent: int, header: Header, body: bytes) -> None:
    """Raise FramingError unless ``header`` signs ``body`` with the server's RSA key."""
    if header.method != RSA:
        raise FramingError(f"signing method {header.method[:20]!r} is not accepted here")
    try:
        signature = base64.b64decode(header.signature, validate=True)
        text = rsa.recover_raw(modulus, exponent, signature)
    except (ValueError, RemoteError):
        raise FramingError("wrong signature") from None
    if not hmac.compare_digest(text, rsa.signing_text(body)):
        raise FramingError("wrong signature")


def digest(body: bytes) -> bytes:
    """A short fingerprint of a message, to recognise one that is sent again."""
    return hashlib.sha256(body).digest()[:16]


@lru_cache(maxsize=8)
def _format_second(second: int) -> str:
    at = datetime.fromtimestamp(second, timezone.utc)
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"{day}, {at.day:02d} {month} {at.year:04d} {at:%H:%M:%S} GMT"


def format_timestamp(now: float) -> str:
    """Seconds since the epoch as an RFC 1123 date, resolution one second (pushy-protocol 4.6)."""
    return _format_second(int(now))


@lru_cache(maxsize=64)
def parse_timestamp(text: str) -> float:
    """Read an RFC 1123, RFC 850 or asctime date as UTC, without its zone (pushy-protocol 4.6).

    Raises FramingError for anything else, including one-digit days.
    """
    words = text.replace("-", " ").split()
    try:
        if len(words) >= 5 and words[0].endswith(","):
            day, month, year, clock = words[1:5]
        else:
            _, month, day, clock, year = words
        hours, minutes, seconds = (_digits(part, 2) for part in clock.split(":"))
        at = datetime(
            _year(year),
            _MONTHS.index(month) + 1,
            _digits(day, 2),
            hours,
            minutes,
            seconds,
        )
        return at.replace(tzinfo=timezone.utc).timestamp()
    except (ValueError, OverflowError):
        raise FramingError(f"timestamp {text[:40]!r} is no date") from None


def _digits(text: str, count: int) -> int:
    if len(text) != count or not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def _year(text: str) -> int:
    if len(text) == 2:  # RFC 850, with the century of RFC 6265
        short = _digits(text, 2)
        return short + (1900 if short >= 70 else 2000)
    return _digits(text, 4)


def check_timestamp(text: object, now: float, skew: float) -> None:
    """Raise FramingError unless ``text`` is a date less than ``skew`` seconds away from ``now``."""
    if not isinstance(text, str) or len(text) > 64:
        raise FramingError("message without a timestamp")
    distance = parse_timestamp(text) - now
    if abs(distance) >= skew:
        raise FramingError(
            f"clock differs by {distance:.0f} s, less than {skew:.0f} s are allowed; "
            "synchronize the clocks"
        )
