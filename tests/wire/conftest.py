"""What the tests of the wire share."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key


@pytest.fixture(scope="session")
def key() -> RSAPrivateKey:
    """A private key that is none of the vectors' keys."""
    return generate_private_key(public_exponent=65537, key_size=2048)
