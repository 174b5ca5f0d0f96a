"""Raw RSA signatures: PKCS#1 v1.5 blocks of type 1 around the bare text, without a DigestInfo.

Heartbeats (pushy-protocol 4.4) and the signed headers 1.0 and 1.1 (pushy-api 2.3) are made so, and
the oldest cryptography library we accept cannot make them. Importing this module must not import
`cryptography`: agents verify heartbeats in a process that has to stay small.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING

from push_jobs_wire.errors import LocalError, RemoteError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPrivateNumbers

_MIN_PADDING = 8
_OVERHEAD = 3 + _MIN_PADDING
"""Bytes of a block that cannot carry text: 00 01, eight times FF, 00."""


def signing_text(body: bytes) -> bytes:
    """The text that signs the body of a message: base64 of its SHA-1 (pushy-protocol 4.4)."""
    return base64.b64encode(hashlib.sha1(body).digest())


def sign_raw(key: RSAPrivateKey, text: bytes) -> bytes:
    """The signature of ``text`` itself, as many bytes as the key has (pushy-protocol 4.4).

    Raises LocalError when the text is too long for the key, or the parts of the key disagree.
    """
    # Reading them anew costs a 400th of a signature: not worth a cache that holds secrets. By name,
    # because the type stubs that Debian ships with mypy are older than the library.
    numbers: RSAPrivateNumbers = getattr(key, "private_numbers")()
    modulus, exponent = numbers.public_numbers.n, numbers.public_numbers.e
    block = int.from_bytes(_pad(text, _size(modulus)), "big")
    # The exponentiations take a time that depends on their input, so they never see the block.
    mask = 1 + secrets.randbelow(modulus - 1)
    masked = _private_power(numbers, block * pow(mask, exponent, modulus) % modulus)
    signature = masked * pow(mask, -1, modulus) % modulus
    # One wrong half of the calculation, given away, would reveal the private key.
    if pow(signature, exponent, modulus) != block:
        raise LocalError("the parts of the RSA private key do not fit together; replace the key")
    return signature.to_bytes(_size(modulus), "big")


def recover_raw(n: int, e: int, signature: bytes) -> bytes:
    """The text inside ``signature``, made with the private key of modulus ``n``, exponent ``e``.

    Raises RemoteError when the signature does not belong to that key. Whoever calls compares the
    text with the one expected (pushy-protocol 4.4).
    """
    if len(signature) != _size(n):
        raise RemoteError(f"RSA signature of {len(signature)} bytes, {_size(n)} expected")
    value = int.from_bytes(signature, "big")
    block = pow(value, e, n).to_bytes(_size(n), "big") if value < n else b""
    rest = block[2:].lstrip(b"\xff")
    padding = len(block) - 2 - len(rest)
    if block[:2] != b"\x00\x01" or padding < _MIN_PADDING or rest[:1] != b"\x00":
        raise RemoteError("RSA signature was not made with this key")
    return rest[1:]


def _size(modulus: int) -> int:
    return (modulus.bit_length() + 7) // 8


def _pad(text: bytes, size: int) -> bytes:
    if len(text) > size - _OVERHEAD:
        needed = (len(text) + _OVERHEAD) * 8
        raise LocalError(
            f"{len(text)} bytes are too many to sign with an RSA key of {size * 8} bits; "
            f"use a key of at least {needed} bits"
        )
    return b"\x00\x01" + b"\xff" * (size - 3 - len(text)) + b"\x00" + text


def _private_power(numbers: RSAPrivateNumbers, value: int) -> int:
    """``value`` to the private exponent, by the Chinese remainder theorem: a third of the time."""
    of_p = pow(value % numbers.p, numbers.dmp1, numbers.p)
    of_q = pow(value % numbers.q, numbers.dmq1, numbers.q)
    return of_q + (of_p - of_q) * numbers.iqmp % numbers.p * numbers.q
