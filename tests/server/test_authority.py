"""The small CA: what it signs is accepted by TLS for the right names, and by nothing else."""

from __future__ import annotations

import hashlib
import ssl
import time
from datetime import timedelta
from pathlib import Path

import pytest

from push_jobs_server import authority

NOW = 1_700_000_000.0


def _context(folder: Path, credential: authority.Credential) -> ssl.SSLContext:
    (folder / "crt").write_bytes(credential.certificate)
    (folder / "key").write_bytes(credential.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crt", folder / "key")
    return context


def _handshake(server: ssl.SSLContext, trusted: bytes, name: str) -> None:
    """Shake hands in memory; raises SSLCertVerificationError when the client does not trust."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cadata=trusted.decode("ascii"))
    if hasattr(ssl, "VERIFY_X509_STRICT"):
        client.verify_flags |= ssl.VERIFY_X509_STRICT
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                pass
    assert not ends


HOSTS = ["Push.Example.com", "10.1.2.3", "fd00::7"]


@pytest.fixture(scope="module")
def ca() -> authority.Credential:
    return authority.make_authority(time.time())


@pytest.mark.parametrize(
    "name", ["push.example.com", "10.1.2.3", "fd00::7", "localhost", "127.0.0.1", "::1"]
)
def test_the_certificate_is_good_for_each_name(
    tmp_path: Path, ca: authority.Credential, name: str
) -> None:
    server = _context(tmp_path, authority.issue(ca, HOSTS, time.time()))
    _handshake(server, ca.certificate, name)


def test_it_is_not_good_for_other_names_nor_under_other_authorities(
    tmp_path: Path, ca: authority.Credential
) -> None:
    server = _context(tmp_path, authority.issue(ca, HOSTS, time.time()))
    with pytest.raises(ssl.SSLCertVerificationError, match="(?i)hostname mismatch"):
        _handshake(server, ca.certificate, "other.example.com")
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(server, authority.make_authority(time.time()).certificate, "localhost")


def test_a_renewed_certificate_is_trusted_under_the_same_authority(
    tmp_path: Path, ca: authority.Credential
) -> None:
    first, second = (authority.issue(ca, [], time.time()) for _ in range(2))
    assert first.key != second.key and first.certificate != second.certificate
    _handshake(_context(tmp_path, second), ca.certificate, "localhost")


def test_the_fingerprint_is_that_of_the_der_form(ca: authority.Credential) -> None:
    der = ssl.PEM_cert_to_DER_cert(ca.certificate.decode("ascii"))
    digits = hashlib.sha256(der).hexdigest()
    expected = ":".join(digits[at : at + 2] for at in range(0, 64, 2))
    assert authority.fingerprint(ca.certificate) == expected


def test_both_are_valid_for_ten_years_but_none_outlives_the_authority() -> None:
    ca = authority.make_authority(NOW)
    assert authority.expiry(ca.certificate).timestamp() == NOW + 3653 * 86400
    early = authority.issue(ca, [], NOW)
    late = authority.issue(ca, [], NOW + timedelta(days=400).total_seconds())
    assert authority.expiry(early.certificate) == authority.expiry(ca.certificate)
    assert authority.expiry(late.certificate) == authority.expiry(ca.certificate)


def test_only_the_authority_may_sign(ca: authority.Credential) -> None:
    assert authority.is_authority(ca.certificate)
    assert not authority.is_authority(authority.issue(ca, [], NOW).certificate)


def test_every_host_that_is_none_is_named(ca: authority.Credential) -> None:
    hosts = [
        "good.example",
        "bad host",
        "b\u00fccher.example",
        "x:10003",
        "",
        "a" * 64,
        "-a",
        "*.x",
    ]
    with pytest.raises(authority.AuthorityError) as caught:
        authority.issue(ca, hosts, NOW)
    for host in hosts[1:]:
        assert repr(host) in str(caught.value)
    assert "good.example" not in str(caught.value)


def test_text_that_is_no_certificate_is_refused() -> None:
    for function in (authority.fingerprint, authority.expiry):
        with pytest.raises(authority.AuthorityError):
            function(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def test_private_keys_do_not_show(ca: authority.Credential) -> None:
    assert "PRIVATE" not in repr(ca)
