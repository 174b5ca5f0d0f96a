"""Checks all settings that lead to a server, reports all mistakes at once, and opens the client."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, List, Mapping, Optional, TypeVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from push_jobs.address import parse_server
from push_jobs.client import Client
from push_jobs.connection import check_ca
from push_jobs.credentials import exposed, read_key
from push_jobs.errors import UsageError
from push_jobs.pinning import normalize_fingerprint
from push_jobs.profiles import merge

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Target:
    """A server to talk to and the means to do so, all checked; ``warnings`` are for the user."""

    server: str
    user: str
    key: RSAPrivateKey = field(repr=False)
    key_file: Path
    ca: Optional[Path]
    fingerprint: Optional[str]
    warnings: List[str]

    def connect(self) -> Client:
        """Return a client; it uses the network when it is first asked something."""
        return Client(self.server, self.user, self.key, ca=self.ca, fingerprint=self.fingerprint)


def find_target(flags: Mapping[str, Optional[str]], environ: Mapping[str, str]) -> Target:
    """Return the target that flags, environment and profile lead to; raises UsageError."""
    merged = merge(flags, environ)
    values, problems = merged.values, list(merged.problems)
    path, ca = _path(values.get("key")), _path(values.get("ca"))
    key = _attempt(read_key, path, problems)
    _attempt(check_ca, ca, problems)
    _attempt(parse_server, values.get("server"), problems)
    _attempt(normalize_fingerprint, values.get("fingerprint"), problems)
    if problems or key is None or path is None:
        raise UsageError(*problems)
    warning = exposed(path)
    return Target(
        server=values["server"],
        user=values["user"],
        key=key,
        key_file=path,
        ca=ca,
        fingerprint=values.get("fingerprint"),
        warnings=[] if warning is None else [warning],
    )


def _attempt(
    make: Callable[[Given], Made], value: Optional[Given], problems: List[str]
) -> Optional[Made]:
    if value is None:
        return None
    try:
        return make(value)
    except UsageError as error:
        problems.extend(error.problems)
        return None


def _path(text: Optional[str]) -> Optional[Path]:
    return None if text is None else Path(text).expanduser()
