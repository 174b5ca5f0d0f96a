"""The one table of server settings, and the reading of the settings file.

Parsing, ``check-config``, the sample file and the reference all come from ``TABLE``. Nothing here
acts on a setting. Sources of the names and defaults: operator-surfaces 3.2, pushy-api 6,
pushy-protocol 8.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Any, Mapping, Optional

from push_jobs_server import settings_chef, settings_history, settings_serf
from push_jobs_server.settings_fields import count as _count
from push_jobs_server.settings_fields import seconds as _seconds
from push_jobs_server.settings_file import read_yaml
from push_jobs_wire.settings import Field, Rule, SettingsError, Table, Values

FILE_NAME = "settings.yml"

_SQLITE = "sqlite:///"
_DATABASES = (_SQLITE, "postgresql://", "postgresql+psycopg2://")


_FIELDS = (
    _seconds(
        "heartbeat_interval",
        10.0,
        "Time between two heartbeats, in both directions.",
        0.05,
        3600,
    ),
    Field(
        "down_threshold",
        "float",
        0.6,
        "Health below which a node counts as down; 1 is perfect.",
        minimum=0,
        maximum=1,
    ),
    _count(
        "decay_window",
        4,
        "How slowly a node's health changes: the newest interval counts 1/N.",
        1,
        1000,
        "intervals",
    ),
    _count(
        "offline_threshold",
        3,
        "An agent gives its server up after so many missed heartbeats.",
        1,
        1000,
        "heartbeats",
    ),
    _count(
        "online_threshold",
        2,
        "An agent trusts its server again after so many heartbeats.",
        0,
        1000,
        "heartbeats",
    ),
    _seconds(
        "voting_timeout",
        60.0,
        "Time that nodes have to say whether they can.",
        0.05,
        86400,
    ),
    _count(
        "default_run_timeout",
        3600,
        "Time that a job may run when its caller names none.",
        1,
        2**31 - 1,
        "seconds",
    ),
    _seconds(
        "rehab_interval",
        1.0,
        "Time between two attempts to bring a node in an unknown state back to idle.",
        0.05,
        3600,
    ),
    _seconds(
        "job_linger",
        5.0,
        "How long the feed of an ended job still has all its events; later it has a summary.",
        0,
        3600,
    ),
    _seconds(
        "keep_alive_time",
        15.0,
        "Silence on an event feed after which a comment shows that it lives.",
        0.05,
        3600,
    ),
    _seconds(
        "org_feed_expiration",
        60.0,
        "How long the feed of an organization keeps its events.",
        0,
        3600,
    ),
    _seconds(
        "config_lifetime",
        3600,
        "How long an agent uses the settings it fetched.",
        1,
        10**7,
    ),
    _seconds(
        "grant_lifetime",
        7200,
        "How long an agent's encryption key is admitted after it fetched its settings; "
        "at least twice config_lifetime.",
        2,
        2 * 10**7,
    ),
    _seconds(
        "session_key_lifetime",
        86400,
        "Age at which a node gets another key for its messages, when it next fetches its settings "
        "and no job waits for it.",
        1,
        10**9,
    ),
    _seconds(
        "max_message_skew",
        300,
        "Clock difference allowed on messages to and from nodes.",
        1,
        86400,
    ),
    _seconds("request_skew", 900, "Clock difference allowed on signed requests.", 1, 86400),
    _count(
        "max_message_size",
        65536,
        "Largest message taken from a node.",
        4096,
        2**30,
        "bytes",
    ),
    _count(
        "max_output",
        1 << 20,
        "Output kept of each channel of a node's command; of more, the middle is left out.",
        4096,
        2**30,
        "bytes",
    ),
    _count(
        "max_job_file",
        100_000,
        "Largest file sent along with a job.",
        0,
        2**24,
        "bytes",
    ),
    Field(
        "validate_client_node_name",
        "bool",
        True,
        "A client may fetch only the settings of the node of its own name.",
    ),
    _count(
        "queue_capacity",
        10_000,
        "Changes that may wait to be stored; past it new jobs are refused until they are.",
        1,
        10**7,
        "changes",
    ),
    Field(
        "trusted_proxies",
        "list",
        (),
        "Addresses or networks whose X-Forwarded-* headers are believed.",
    ),
    *settings_chef.FIELDS,
    Field("http.host", "str", "0.0.0.0", "Address on which the HTTP API listens."),
    _count("http.port", 10003, "Port of the HTTP API; 0 takes a free one.", 0, 65535),
    _count(
        "http.threads",
        64,
        "Requests that are worked on at the same time.",
        1,
        4096,
        "threads",
    ),
    _count(
        "http.max_feeds",
        256,
        "Event feeds that may be open at the same time; each has a thread besides http.threads.",
        0,
        4096,
        "feeds",
    ),
    _seconds(
        "http.request_timeout",
        10.0,
        "Time that a client has to send a request.",
        0.1,
        3600,
    ),
    _count(
        "http.max_body_size",
        1_000_000,
        "Largest body of a request.",
        1024,
        2**30,
        "bytes",
    ),
    Field("tls.enabled", "bool", True, "Speak HTTPS; switch it off only behind a proxy."),
    Field(
        "tls.certificate",
        "path",
        "server.crt",
        "Certificate of the server, with its chain.",
    ),
    Field("tls.key", "path", "server.key", "Private key of that certificate."),
    Field("tls.ca", "path", "ca.crt", "CA certificate that clients are given to pin."),
    _seconds("tls.handshake_timeout", 5.0, "Time that a client has to shake hands.", 0.1, 600),
    Field(
        "zeromq.host",
        "str",
        "0.0.0.0",
        "IP address on which heartbeats and commands are served.",
    ),
    _count(
        "zeromq.heartbeat_port",
        10000,
        "Port of the heartbeats; 0 takes a free one.",
        0,
        65535,
    ),
    _count(
        "zeromq.command_port",
        10002,
        "Port of the commands; 0 takes a free one.",
        0,
        65535,
    ),
    Field(
        "zeromq.advertised_host",
        "str",
        None,
        "Name or address of this server as agents reach it; unset: this machine's host name.",
    ),
    *settings_serf.FIELDS,
    Field(
        "database.url",
        "url",
        "sqlite:///push-jobs.db",
        "Database: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.",
        secret=True,
    ),
    *settings_history.FIELDS,
    Field(
        "log.level",
        "str",
        "info",
        "Least severity that is logged.",
        choices=("debug", "info", "warning", "error"),
    ),
    Field(
        "log.format",
        "str",
        "auto",
        "Form of log lines; auto is text on a terminal and json elsewhere.",
        choices=("auto", "text", "json"),
    ),
)


def _grants_outlive_settings(values: Mapping[str, Any]) -> Optional[str]:
    least = 2 * values["config_lifetime"]
    if values["grant_lifetime"] >= least:
        return None
    return (
        f"grant_lifetime is {values['grant_lifetime']}, expected at least {least}, twice "
        "config_lifetime: agents that are late to fetch their settings would be locked out"
    )


def _ports_differ(values: Mapping[str, Any]) -> Optional[str]:
    port = values["zeromq.heartbeat_port"]
    if port == 0 or port != values["zeromq.command_port"]:
        return None
    return f"zeromq.heartbeat_port and zeromq.command_port are both {port}, expected two ports"


def _proxies_are_networks(values: Mapping[str, Any]) -> Optional[str]:
    wrong = [proxy for proxy in values["trusted_proxies"] if not _is_network(proxy)]
    if not wrong:
        return None
    names = ", ".join(map(repr, wrong))
    return f"trusted_proxies has {names}, expected IP addresses or networks such as 10.0.0.0/8"


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _database_is_known(values: Mapping[str, Any]) -> Optional[str]:
    url = values["database.url"]
    if any(url.startswith(start) and url != start for start in _DATABASES):
        return None
    return "database.url (secret, so not shown) is of an unknown kind, expected " + " or ".join(
        start + "..." for start in _DATABASES
    )


TABLE = Table(
    _FIELDS,
    (
        Rule(("config_lifetime", "grant_lifetime"), _grants_outlive_settings),
        Rule(("zeromq.heartbeat_port", "zeromq.command_port"), _ports_differ),
        Rule(("trusted_proxies",), _proxies_are_networks),
        Rule(("database.url",), _database_is_known),
        *settings_chef.RULES,
        *settings_serf.RULES,
    ),
)


def default_path(name: str, path: Path) -> Path:
    """Return what ``load`` makes of a path that is not set; ``path`` as there."""
    return Path(_base(_file(path)), str(TABLE.fields[name].default))


def load(path: Path) -> Values:
    """Return the settings of a data directory, or of a settings file inside one.

    Relative paths come back joined to the data directory, and the advertised host is always set.
    Raises SettingsError with all mistakes.
    """
    file = _file(path)
    base = _base(file)
    mapping, problems = read_yaml(file)
    try:
        values = TABLE.parse(mapping, str(file), base)
    except SettingsError as error:
        raise SettingsError(str(file), problems + error.problems) from None
    if problems:
        raise SettingsError(str(file), problems)
    return Values(
        {
            **values,
            "database.url": _absolute(values["database.url"], base),
            "zeromq.advertised_host": values["zeromq.advertised_host"] or socket.gethostname(),
        }
    )


def _file(path: Path) -> Path:
    return path if path.is_file() else path / FILE_NAME


def _base(file: Path) -> str:
    return os.path.abspath(file.parent)


def _absolute(url: str, base: str) -> str:
    """Return a database url that does not depend on the current folder."""
    if not url.startswith(_SQLITE):
        return url
    return _SQLITE + os.path.join(base, url[len(_SQLITE) :])
