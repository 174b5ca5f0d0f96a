"""Which names organizations, users, clients, groups and keys may have."""

from __future__ import annotations

import re

from push_jobs_server.identity.base import IdentityError

_ORGANIZATION = re.compile(r"[a-z0-9][a-z0-9_-]*")
_LONGEST = 255


def check_organization(name: str) -> None:
    """Raise IdentityError unless this can be an organization's name."""
    if not _ORGANIZATION.fullmatch(name) or len(name) > _LONGEST:
        raise IdentityError(
            f"{name!r} can't be the name of an organization: use at most {_LONGEST} lower-case "
            "letters, digits, - and _, beginning with a letter or digit"
        )


def check_name(what: str, name: str) -> None:
    """Raise IdentityError unless this can be the name of a ``what``: it becomes part of URLs."""
    check_text(f"name of a {what}", name)
    if "/" in name:
        raise IdentityError(f"{name!r} can't be the name of a {what}: leave out the /")


def check_text(what: str, text: str) -> None:
    """Raise IdentityError unless a text fits on one line of a terminal."""
    if not text or not text.isprintable() or len(text) > _LONGEST:
        raise IdentityError(
            f"{text!r} can't be the {what}: use 1 to {_LONGEST} printable characters"
        )
