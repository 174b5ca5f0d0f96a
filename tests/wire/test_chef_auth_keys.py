"""Keys: which one of several signed, in which forms they load, and what is said of bad ones."""

from __future__ import annotations

import base64
from typing import Any, Dict

import pytest
from chef_requests import INVALID, PUBLIC_FORMS, VECTOR_KEY, VECTORS, VERSIONS, refusal, signed
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from push_jobs_wire import chef_auth
from push_jobs_wire.errors import LocalError


def test_the_key_that_signed_is_found_among_several(key: RSAPrivateKey) -> None:
    for version in VERSIONS:
        request = signed(key, version)
        assert request.verify(VECTOR_KEY, key) == 1
        assert request.verify(key, VECTOR_KEY) == 0
        assert refusal(request, VECTOR_KEY) == (401, [INVALID.format("alice")])
        assert refusal(request) == (401, [INVALID.format("alice")])


def test_a_key_of_another_size_is_refused(key: RSAPrivateKey) -> None:
    small = generate_private_key(public_exponent=65537, key_size=1024)
    for version in VERSIONS:
        assert refusal(signed(key, version), small) == (401, [INVALID.format("alice")])


def test_public_keys_load_from_text_and_bytes_in_three_forms() -> None:
    expected = VECTOR_KEY.public_key().public_numbers()
    for form in PUBLIC_FORMS:
        pem = VECTORS["key"][form]
        for given_pem in (pem, pem.encode("ascii"), pem.replace("\n", "\r\n"), f"\n{pem}\n"):
            assert chef_auth.load_public_key(given_pem).public_numbers() == expected


def with_version_126(certificate_pem: str) -> str:
    lines = certificate_pem.split("\n")
    der = base64.b64decode("".join(lines[1:-2]))
    version_3 = b"\xa0\x03\x02\x01\x02"
    assert der.count(version_3) == 1
    wrong = base64.b64encode(der.replace(version_3, b"\xa0\x03\x02\x01\x7e")).decode("ascii")
    return "\n".join([lines[0], wrong, *lines[-2:]])


def test_unusable_public_keys_are_explained() -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    curve_pem = curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    certificate = VECTORS["key"]["certificate_pem"]
    cases: Dict[str, Any] = {
        "": "cannot be read",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ alice": "cannot be read",
        "\ud800": "cannot be read",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n": "cannot be read",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "cannot be read",
        certificate[:400]: "cannot be read",
        with_version_126(certificate): "cannot be read",
        curve_pem.decode("ascii"): "another kind than RSA",
        VECTORS["key"]["private_key_pkcs1_pem"]: "keep it secret",
    }
    for pem, message in cases.items():
        with pytest.raises(LocalError, match=f"{message}.*BEGIN RSA PUBLIC KEY") as caught:
            chef_auth.load_public_key(pem)
        assert "MII" not in str(caught.value)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_private_keys_load(key: RSAPrivateKey, form: PrivateFormat) -> None:
    pem = getattr(key, "private_bytes")(Encoding.PEM, form, NoEncryption())
    loaded = chef_auth.load_private_key(pem)
    assert loaded.public_key().public_numbers() == key.public_key().public_numbers()


def test_unusable_private_keys_are_explained(key: RSAPrivateKey) -> None:
    curve = getattr(ec.generate_private_key(ec.SECP256R1()), "private_bytes")
    locked = getattr(key, "private_bytes")
    cases = {
        b"": "cannot be read",
        b"\xff\x00": "cannot be read",
        VECTORS["key"]["public_key_spki_pem"].encode(): "cannot be read",
        VECTORS["key"]["private_key_pkcs1_pem"].encode()[:700]: "cannot be read",
        curve(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()): "another kind than RSA",
        locked(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")): "passphrase",
    }
    for pem, message in cases.items():
        with pytest.raises(LocalError, match=f"{message}.*BEGIN RSA PRIVATE KEY") as caught:
            chef_auth.load_private_key(pem)
        assert "MII" not in str(caught.value)
