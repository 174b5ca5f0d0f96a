"""Reads the user's private key, and says so when others can read it too."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Optional

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from push_jobs.errors import UsageError
from push_jobs_wire.chef_auth import load_private_key
from push_jobs_wire.errors import LocalError

_MOST = 64 * 1024  # no RSA key is larger; a mistaken path may name anything


def read_key(path: Path) -> RSAPrivateKey:
    """Return the RSA private key in the PEM file ``path``; raises UsageError."""
    try:
        with path.open("rb") as file:
            pem = file.read(_MOST)
    except OSError as error:
        raise UsageError(f"cannot read the key file {path}: {error.strerror or error}") from None
    return parse_key(pem, str(path))


def parse_key(pem: bytes, source: str) -> RSAPrivateKey:
    """Return the RSA private key in ``pem``; ``source`` names it in the UsageError."""
    try:
        return load_private_key(pem)
    except LocalError as error:
        raise UsageError(f"the key in {source} cannot be used: {error}") from None


def exposed(path: Path) -> Optional[str]:
    """Return a warning when others than its owner may read or change ``path``."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    if os.name != "posix" or not mode & 0o077:
        return None
    return f"others can get at your key {path} (mode {mode:04o}); run: chmod 600 {path}"
