"""The settings for nodes over Serf, and what has to be true of them. Source: shovey 5.1."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from push_jobs_wire.settings import Field, Rule

DEFAULT_ADDRESS = "127.0.0.1:7373"

FIELDS = [
    Field(
        "shovey_url",
        "url",
        None,
        "A server whose jobs come over Serf: the root of a goiardi, or of a push jobs server. "
        "Unset means that none do.",
    ),
    Field(
        "serf_addr",
        "str",
        DEFAULT_ADDRESS,
        "RPC address of this node's Serf agent, which has to have the name of the node.",
    ),
    Field("serf_auth_key", "str", None, "RPC key of the Serf agent, if it has one.", secret=True),
    Field(
        "sign_pub_key",
        "path",
        None,
        "Public key with which commands over Serf are checked (PEM); needed with shovey_url.",
    ),
    Field(
        "time_slew",
        "float",
        900.0,
        "How old, or how far ahead, a command over Serf may be.",
        unit="seconds",
        minimum=1,
        maximum=86400,
    ),
    Field(
        "serf_state_dir",
        "path",
        None,
        "What is known of jobs over Serf lives here; unset means below state_dir, or in the "
        "folder that the service manager gives when it starts the runner.",
    ),
]


def _url_problem(values: Mapping[str, Any]) -> Optional[str]:
    url = values["shovey_url"]
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"shovey_url is {url!r}, expected http:// or https:// and a host"
    if parts.query or parts.fragment or parts.username is not None:
        return "shovey_url holds more than a host, a port and a path"
    try:
        parts.port
    except ValueError:
        return "shovey_url has a port that is no number up to 65535"
    return None


def _address_problem(values: Mapping[str, Any]) -> Optional[str]:
    try:
        address(values["serf_addr"])
    except ValueError:
        return f"serf_addr is {values['serf_addr']!r}, expected HOST:PORT"
    return None


def _key_problem(values: Mapping[str, Any]) -> Optional[str]:
    if values["shovey_url"] is not None and values["sign_pub_key"] is None:
        return "sign_pub_key is missing: commands over Serf are checked with the server's key"
    return None


RULES = [
    Rule(("shovey_url",), _url_problem),
    Rule(("serf_addr",), _address_problem),
    Rule(("shovey_url", "sign_pub_key"), _key_problem),
]


def address(text: str) -> Tuple[str, int]:
    """Host and port of ``HOST:PORT``, also of ``[HOST]:PORT``. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(text)
    return host.strip("[]"), int(port)


def state_dir(values: Mapping[str, Any], environ: Mapping[str, str]) -> Optional[str]:
    """The folder for what is known of jobs over Serf; None when nothing says where it is."""
    if values["serf_state_dir"] is not None:
        return str(values["serf_state_dir"])
    if values["start_runner"]:
        return os.path.join(values["state_dir"], "serf")
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    return given or None


def notes(values: Mapping[str, Any]) -> Tuple[str, ...]:
    """What an operator should know about settings that are not wrong."""
    url = values["shovey_url"]
    if url is not None and urlsplit(url).scheme == "http" and not _is_here(urlsplit(url).hostname):
        return ("shovey_url is plain http: what jobs print can be read on its way",)
    return ()


def _is_here(host: Optional[str]) -> bool:
    return host in ("localhost", "::1") or (host or "").startswith("127.")
