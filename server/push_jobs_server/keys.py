"""Makes RSA key pairs for the server and for whom it registers, and loads public keys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from push_jobs_wire.chef_auth import load_public_key


@dataclass(frozen=True)
class KeyPair:
    """A new RSA key pair as PEM; the private half is PKCS#1, which also the oldest clients read."""

    private: bytes
    public: str

    def __repr__(self) -> str:
        return "<KeyPair>"


def new_key_pair() -> KeyPair:
    """Return a new RSA key pair of 2048 bits."""
    # Any: the type stubs that are installed beside some releases lack private_bytes.
    key: Any = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return KeyPair(private, public_pem(key.public_key()))


def public_pem(key: rsa.RSAPublicKey) -> str:
    """Return a public key in the one form in which we store them (SubjectPublicKeyInfo)."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


@lru_cache(maxsize=4096)
def load_key(pem: str) -> rsa.RSAPublicKey:
    """A public key from its PEM text; parsing one costs more than checking a signature with it.

    Raises LocalError when it is none that we can use.
    """
    return load_public_key(pem)
