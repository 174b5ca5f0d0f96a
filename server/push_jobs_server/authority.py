"""A small certificate authority: it signs the certificate of its own server and nothing else.

Clients pin the authority's certificate by file or by fingerprint, so a server certificate can be
renewed without telling them. Nothing here touches a file.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, List, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from push_jobs_wire.errors import LocalError

LIFETIME = timedelta(days=3653)
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
"""Names that each certificate has besides those asked for, so that local commands can verify it."""

_BACKDATED = timedelta(days=1)
"""Clients whose clock is behind must not find the certificate not yet valid."""

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\Z")


class AuthorityError(LocalError):
    """Raised when a certificate cannot be made or read; the text says why."""


@dataclass(frozen=True)
class Credential:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "<Credential>"


def make_authority(now: float) -> Credential:
    """Return a new authority, valid from ``now`` (seconds since the epoch) for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # A name of its own: software that finds issuers by name must not mix two authorities up.
    name = _name(f"push-jobs CA {serial % 2**32:08x}")
    start = _moment(now)
    certificate = (
        _builder(name, name, key.public_key(), start, start + LIFETIME)
        .serial_number(serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _credential(certificate, key)


def issue(authority: Credential, hosts: Sequence[str], now: float) -> Credential:
    """Return a server certificate for the host names and IP addresses given and the local ones.

    Valid from ``now`` (seconds since the epoch) for ten years, but never longer than the
    authority. Raises AuthorityError that names every host that is no name or address.
    """
    alternatives = _alternatives([*hosts, *LOCAL_HOSTS])
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = load_pem_private_key(authority.key, password=None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    start = _moment(now)
    end = min(start + LIFETIME, expiry(authority.certificate))
    name = _name("push-jobs server")
    certificate = (
        _builder(name, issuer.subject, key.public_key(), start, end)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return _credential(certificate, key)


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a PEM certificate's DER form: lower-case pairs joined by colons."""
    return _read(certificate).fingerprint(hashes.SHA256()).hex(":")


def expiry(certificate: bytes) -> datetime:
    """Return the end of validity of the first certificate in PEM text."""
    found = _read(certificate)
    # cryptography 42 renamed it; the old name gives naive UTC.
    end: datetime = getattr(found, "not_valid_after_utc", None) or found.not_valid_after
    return end if end.tzinfo else end.replace(tzinfo=timezone.utc)


def is_authority(certificate: bytes) -> bool:
    """Tell whether a PEM certificate may sign others."""
    try:
        found = _read(certificate).extensions.get_extension_for_class(x509.BasicConstraints)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return found.value.ca


def _read(certificate: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate)
    except ValueError:
        raise AuthorityError("there is no certificate in PEM form in it") from None


def _alternatives(hosts: Sequence[str]) -> List[x509.GeneralName]:
    found: List[x509.GeneralName] = []
    wrong: List[str] = []
    for host in dict.fromkeys(host.lower() for host in hosts):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            if _HOST_NAME.match(host):
                found.append(x509.DNSName(host))
            else:
                wrong.append(repr(host))
    if wrong:
        raise AuthorityError(
            f"not a host name or IP address: {', '.join(wrong)}; "
            "give it without port, and a name with other letters in its xn-- form"
        )
    return found


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    start: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .not_valid_before(start - _BACKDATED)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _credential(certificate: x509.Certificate, key: Any) -> Credential:
    # Any: the type stubs that are installed beside some releases lack private_bytes.
    return Credential(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _moment(now: float) -> datetime:
    return datetime.fromtimestamp(int(now), timezone.utc)
