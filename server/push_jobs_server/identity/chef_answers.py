"""Reads answers of Chef-compatible servers (pushy-api 3.1, 3.2). Pure: bytes in, facts out.

Whatever is not exactly what such a server answers raises Nonsense: never guess who somebody is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from push_jobs_server.identity.base import Group, Principal
from push_jobs_server.keys import load_key
from push_jobs_wire.errors import LocalError, RemoteError

KINDS = ("user", "client")


class Nonsense(RemoteError):
    """Raised when an answer can't be one of a Chef server; the text says what is wrong with it."""


def document(body: bytes) -> Any:
    """The JSON value of a body. Raises Nonsense."""
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):  # errors of UTF-8 are ValueErrors, too
        raise Nonsense("its answer is not JSON") from None


def check_missing(body: bytes) -> None:
    """Raise Nonsense unless this is how a Chef server says 404.

    Other servers answer 404 for everything; taken for a missing group, that would let people in.
    """
    if "error" not in _mapping(document(body), "its answer 404"):
        raise Nonsense("its answer 404 is not one of a Chef server: it has no 'error'")


def organization(body: bytes, name: str) -> str:
    """The name of the organization in a body. Raises Nonsense when it is another one."""
    if _mapping(document(body), "the organization").get("name") != name:
        raise Nonsense(f"it describes another organization than '{name}'")
    return name


@dataclass(frozen=True)
class PrincipalAnswer:
    """What is known of a name; ``has_all_keys``: the answer is of the form that has several."""

    entries: List[Principal]
    has_all_keys: bool


def principals(body: bytes, name: str, everybody: bool) -> PrincipalAnswer:
    """The entries of a principal answer.

    ``everybody``: entries that do not say whether they belong to the organization do, as with
    servers that have none.
    """
    found = _mapping(document(body), "the principal")
    several = "principals" in found
    entries = _list(found["principals"], "principals") if several else [found]
    read = [_principal(_mapping(entry, "a principal"), name, everybody) for entry in entries]
    return PrincipalAnswer(_usable(read, name), several)


def _principal(entry: Mapping[str, Any], name: str, everybody: bool) -> Principal:
    if entry.get("name") != name:
        raise Nonsense(f"it answers about another principal than '{name}'")
    kind = entry.get("type")
    if kind not in KINDS:
        raise Nonsense(f"it says neither 'user' nor 'client' about '{name}'")
    member = entry.get("org_member", everybody) is True
    return Principal(name, str(kind), member, _text(entry.get("public_key"), "public_key"))


def _usable(entries: List[Principal], name: str) -> List[Principal]:
    """Entries whose key is one that we can check; one of a newer kind must not shut others out."""
    usable = [entry for entry in entries if _is_key(entry.public_key)]
    if entries and not usable:
        raise Nonsense(f"it has no RSA key of '{name}' that can be read")
    return usable


def _is_key(pem: str) -> bool:
    try:
        load_key(pem)
    except LocalError:
        return False
    return True


def key_names(body: bytes) -> List[str]:
    """Names of the keys in a key list that have not expired."""
    names: List[str] = []
    for each in _list(document(body), "the key list"):
        entry = _mapping(each, "a key")
        expired = entry.get("expired", False)
        if not isinstance(expired, bool):
            raise Nonsense("it does not say whether a key has expired")
        if not expired:
            names.append(_text(entry.get("name"), "name of a key"))
    return names


def key(body: bytes) -> Optional[str]:
    """The public key in an answer about one key; None when it is not one that we can check."""
    pem = _text(_mapping(document(body), "the key").get("public_key"), "public_key")
    return pem if _is_key(pem) else None


def group(body: bytes, name: str) -> Group:
    """The direct members of a group."""
    found = _mapping(document(body), f"group '{name}'")
    if found.get("groupname", found.get("name")) != name:
        raise Nonsense(f"it answers about another group than '{name}'")
    members: Dict[str, Tuple[str, ...]] = {}
    for kind in ("users", "clients", "groups"):
        listed = _list(found.get(kind), f"{kind} of group '{name}'")
        members[kind] = tuple(_text(each, f"a name in group '{name}'") for each in listed)
    return Group(**members)


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Nonsense(f"{what} is no JSON object")
    return value


def _list(value: Any, what: str) -> List[Any]:
    if not isinstance(value, list):
        raise Nonsense(f"{what} is no JSON list")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise Nonsense(f"{what} is no text")
    return value
