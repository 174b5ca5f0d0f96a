"""The part of the table of settings that is about identities from Chef-compatible servers."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from push_jobs_server.identity.base import IdentityError
from push_jobs_server.identity.chef_places import Places
from push_jobs_wire.settings import Field, Rule

FIELDS = (
    Field(
        "identity",
        "str",
        "local",
        "Where users, clients and groups come from: this server's own database, or a Chef server.",
        choices=("local", "chef"),
    ),
    Field(
        "chef.url",
        "str",
        None,
        "Address of the Chef server; each organization is at its /organizations/NAME.",
    ),
    Field(
        "chef.organizations",
        "list",
        (),
        "Organizations that are elsewhere, as NAME=URL; a URL that does not end with "
        "/organizations/NAME is a whole server without organizations, such as goiardi.",
    ),
    Field("chef.user", "str", None, "User or client of the Chef server as whom this one asks."),
    Field("chef.key", "path", "chef.pem", "Private key of that user or client."),
    Field(
        "chef.ca",
        "path",
        None,
        "Certificates to trust for it; unset: those that this machine trusts.",
    ),
    Field(
        "chef.timeout",
        "float",
        5.0,
        "Time that the Chef server has for each question.",
        "seconds",
        minimum=0.1,
        maximum=60,
    ),
    Field(
        "chef.cache_time",
        "float",
        0.0,
        "How long its answers count; 0 asks for each request.",
        "seconds",
        minimum=0,
        maximum=3600,
    ),
    Field(
        "chef.sign_version",
        "str",
        "1.3",
        "How requests to it are signed. Old Chef servers that refuse 1.3 accept 1.1, which costs "
        "this server about 15 times the work.",
        choices=("1.0", "1.1", "1.2", "1.3"),
    ),
    Field(
        "chef.key_lists",
        "bool",
        False,
        "Read keys from the key lists of users and clients, for servers whose answer about a "
        "principal has only one of several keys.",
    ),
    Field(
        "chef.root_admins",
        "list",
        (),
        "Users who may start jobs in an organization that is a whole server: those have no groups.",
    ),
)


def _chef_is_complete(values: Mapping[str, Any]) -> Optional[str]:
    if values["identity"] != "chef":
        return None
    if not values["chef.user"]:
        return "identity is chef, so chef.user is needed: as whom to ask the Chef server"
    if not values["chef.url"] and not values["chef.organizations"]:
        return "identity is chef, so chef.url is needed, or chef.organizations: whom to ask"
    return None


def _places_are_right(values: Mapping[str, Any]) -> Optional[str]:
    for name, url, others in (
        ("chef.url", values["chef.url"], ()),
        ("chef.organizations", None, values["chef.organizations"]),
    ):
        try:
            Places(url, others)
        except IdentityError as error:
            return f"{name}: {error}"
    return None


RULES = (
    Rule(("identity", "chef.user", "chef.url", "chef.organizations"), _chef_is_complete),
    Rule(("chef.url", "chef.organizations"), _places_are_right),
)
