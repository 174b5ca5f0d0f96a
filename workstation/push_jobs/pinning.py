"""Trusts one CA certificate that is known by its fingerprint alone.

The certificate is fetched from the server without any verification, and believed only if its
SHA-256 is the pinned one. Nothing else is ever asked over an unverified connection.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import warnings
from typing import List

import requests
from urllib3.exceptions import InsecureRequestWarning

from push_jobs.address import ServerAddress
from push_jobs.errors import UntrustedServer, UsageError
from push_jobs.failures import translate
from push_jobs.sessions import open_session

CA_PATH = "/pushy/v1/ca"

_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----\s+[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----"
)


def normalize_fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint as lower-case pairs joined by ``:``; raises UsageError."""
    digits = text.strip().lower()
    digits = digits[7:] if digits.startswith("sha256:") else digits
    digits = digits.replace(":", "")
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise UsageError(
            f"fingerprint {text!r} is not a SHA-256 fingerprint: expected 64 hexadecimal digits, "
            "as 'push-jobs-server init' prints them"
        )
    return _pairs(digits)


def fetch_pinned_ca(address: ServerAddress, fingerprint: str, timeout: float) -> str:
    """Return the CA certificate that has ``fingerprint``, as PEM and without anything beside it.

    Raises UntrustedServer when the server shows another one, ServerUnreachable when it shows none.
    """
    seen = []
    for certificate in _shown(address, timeout):
        seen.append(_pairs(hashlib.sha256(certificate).hexdigest()))
        if seen[-1] == fingerprint:
            # Encoded anew: what surrounds the certificate in the answer is not to be trusted.
            return ssl.DER_cert_to_PEM_cert(certificate)
    shown = " and ".join(seen) or "no certificate"
    raise UntrustedServer(
        address.shown,
        f"its CA is not the pinned one: it shows {shown}, pinned is {fingerprint}; "
        "either the fingerprint is mistyped or old, or somebody answers in the server's place",
    )


def _shown(address: ServerAddress, timeout: float) -> List[bytes]:
    """Return the DER forms of the certificates that the server shows."""
    # In a session of its own: a kept-alive connection is not verified again when it is used again.
    try:
        with warnings.catch_warnings(), open_session(address) as session:
            warnings.simplefilter("ignore", InsecureRequestWarning)
            response = session.get(
                address.origin + CA_PATH,
                verify=False,
                timeout=timeout,
                allow_redirects=False,
            )
    except (requests.RequestException, OSError) as error:
        raise translate(error, address.shown, timeout) from error
    if response.status_code != 200:
        return []
    found = _CERTIFICATE.findall(response.content.decode("ascii", "replace"))
    return [der for der in map(_der, found) if der]


def _der(pem: str) -> bytes:
    try:
        return ssl.PEM_cert_to_DER_cert(pem)
    except ValueError:
        return b""


def _pairs(digits: str) -> str:
    return ":".join(digits[start : start + 2] for start in range(0, len(digits), 2))
