"""The part of the table of settings about nodes that come over Serf (the Shovey dialect)."""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional

from push_jobs_server.settings_fields import count
from push_jobs_wire.settings import Field, Rule

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")

FIELDS = (
    Field(
        "serf.organization",
        "str",
        None,
        "The one organization that the Shovey routes and the Serf transport serve; unset switches "
        "both off.",
    ),
    Field(
        "serf.address",
        "str",
        "127.0.0.1:7373",
        "RPC address of this server's Serf agent, HOST:PORT.",
    ),
    Field("serf.auth_key", "str", None, "RPC key of that agent, if it has one.", secret=True),
    Field(
        "serf.signing_key",
        "path",
        "shovey-sign.pem",
        "RSA private key that signs commands to nodes over Serf; "
        "made when it is missing, but only at the default path.",
    ),
    count(
        "serf.query_size_limit",
        1024,
        "Largest query that the Serf agents take, as in their own configuration; "
        "above 1380 nothing gets through.",
        512,
        1380,
        "bytes",
    ),
)


def split_address(address: str) -> "tuple[str, int]":
    """Host and port of a Serf agent's address that the rule below let pass."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _is_address(values: Mapping[str, Any]) -> Optional[str]:
    address = values["serf.address"]
    match = _ADDRESS.fullmatch(address)
    if match is not None and 0 < int(match.group(2)) < 65536:
        return None
    return f"serf.address is {address!r}, expected HOST:PORT such as 127.0.0.1:7373"


RULES = (Rule(("serf.address",), _is_address),)
