"""What became of each setting of the old push jobs server: one table, for the docs and the import.

It holds facts and translations of single values. It reads no file and knows nothing of Ruby.
Sources of names and defaults: operator-surfaces 3.2 to 3.6.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

MAIN = "opscode_pushy_server"
POSTGRESQL, BOOTSTRAP, PEDANT, TOP = "postgresql", "bootstrap", "oc_chef_pedant", ""

Convert = Callable[[Any], Any]


class Untranslatable(ValueError):
    """Raised when an old value has no counterpart here; the text says why."""


@dataclass(frozen=True)
class OldSetting:
    """One old setting and its place here: exactly one of ``target``, ``always``, ``needless``.

    ``name`` is its key in ``section``, with dots for keys in keys; ``default`` is as the old
    documentation had it. ``target`` is our setting, ``convert`` makes its value of the old one, and
    ``note`` says how in words. When several of a file have one target, that of the highest ``rank``
    counts. ``always`` says what is always so here, ``needless`` why there is no such setting.
    """

    section: str
    name: str
    default: str
    target: Optional[str] = None
    note: str = ""
    convert: Optional[Convert] = None
    rank: int = 0
    always: str = ""
    needless: str = ""

    @property
    def place(self) -> str:
        """What became of it, in words; our setting in code type."""
        if self.target is not None:
            return f"`{self.target}`" + (f": {self.note}" if self.note else "")
        if self.always:
            return f"always so: {self.always}"
        return f"not needed, because {self.needless}"


def from_milliseconds(value: Any) -> Any:
    """Seconds; whatever is no number stays as it is, to be refused by the setting."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value / 1000 if number else value


def bound_address(value: Any) -> str:
    """The address in ``tcp://ADDRESS``; raises Untranslatable when it is no address."""
    text = value if isinstance(value, str) else ""
    host = text[len("tcp://") :] if text.startswith("tcp://") else ""
    host = host.strip("[]")
    if host == "*":
        return "0.0.0.0"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise Untranslatable(
            "only tcp:// with * or an IP address can be taken; interface names cannot"
        ) from None


def reachable_host(value: Any) -> Any:
    """The host; raises Untranslatable for loopback, which the old server replaced too."""
    if value in ("127.0.0.1", "::1", "localhost"):
        raise Untranslatable("the old server replaced a loopback address by that of the machine")
    return value


def _renamed(
    name: str, default: str, target: str, note: str = "", convert: Optional[Convert] = None
) -> OldSetting:
    return OldSetting(MAIN, name, default, target, note, convert)


def _host(section: str, name: str, default: str, rank: int, note: str) -> OldSetting:
    target = "zeromq.advertised_host"
    return OldSetting(section, name, default, target, note, reachable_host, rank)


def _needless(section: str, why: str, *names: Tuple[str, str]) -> Tuple[OldSetting, ...]:
    return tuple(OldSetting(section, name, default, needless=why) for name, default in names)


_SERVICE = "the service manager decides whether and where the server runs"
_LOG = "the server logs to standard error; whoever runs it keeps and rotates that"
_CHEF = "connections to a Chef server are made and kept as requests need them"
_METRICS = "metrics are not pushed; monitoring asks `/pushy/_status`"
_DATABASE = (
    "this server has tables of its own: give it a new database in `database.url`, "
    "and keep the old one as it is"
)
_PEDANT = "the acceptance suite of the old server is not part of this one"
_PLACES = "nothing of the old installation, or of the Chef server's, is used"

FILE_SETTINGS: Sequence[OldSetting] = (
    *_needless(MAIN, _SERVICE, ("enable", "true"), ("ha", "false")),
    *_needless(
        MAIN,
        "the data directory is chosen with `push-jobs-server --data-dir`",
        ("dir", "/var/opt/opscode-push-jobs-server/opscode-pushy-server"),
    ),
    *_needless(
        MAIN,
        _LOG,
        ("log_directory", "/var/log/opscode/opscode-pushy-server"),
        ("log_rotation.file_maxbytes", "104857600"),
        ("log_rotation.num_to_keep", "10"),
    ),
    *_needless(MAIN, "the old server did not use it either", ("listen", "127.0.0.1")),
    _host(MAIN, "vip", "127.0.0.1", 2, "unless a `server_name` is set; not when it is loopback"),
    _host(MAIN, "server_name_advertised", "unset", 4, "comes before all others"),
    _host(MAIN, "server_name", "unset", 3, "the draft name of `server_name_advertised`"),
    _renamed(
        "zeromq_listen_address",
        "tcp://*",
        "zeromq.host",
        "the address without `tcp://`; `*` becomes `0.0.0.0`",
        bound_address,
    ),
    *_needless(MAIN, "one I/O thread is used, as it was by default", ("zmq_io_processes", "1")),
    _renamed("server_heartbeat_port", "10000", "zeromq.heartbeat_port"),
    _renamed("command_port", "10002", "zeromq.command_port"),
    _renamed("api_port", "10003", "http.port"),
    _renamed(
        "heartbeat_interval",
        "10000",
        "heartbeat_interval",
        "milliseconds become seconds",
        from_milliseconds,
    ),
    _renamed("down_threshold", "0.6", "down_threshold"),
    _renamed("decay_window", "4", "decay_window"),
    *_needless(
        MAIN,
        "each node has a timer of its own; nothing scans all of them",
        ("detect_offline_nodes_interval", "4"),
    ),
    _renamed("validate_client_node_name", "true", "validate_client_node_name"),
    _renamed("max_body_size", "65536", "max_message_size"),
    *_needless(MAIN, "a small, fixed number of connections is enough", ("db_pool_size", "20")),
    *_needless(MAIN, _CHEF, ("ibrowse_max_sessions", "256"), ("ibrowse_max_pipeline_size", "1")),
    *_needless(
        MAIN, "requests to a Chef server need no release number", ("chef_api_version", "11.1.0")
    ),
    *_needless(
        MAIN,
        _METRICS,
        ("enable_graphite", "false"),
        ("graphite_host", "localhost"),
        ("graphite_port", "2003"),
    ),
    _renamed("keep_alive_time", "15", "keep_alive_time"),
    _renamed("org_feed_expiration", "60", "org_feed_expiration"),
    _renamed("wait_complete_time", "5", "job_linger"),
    *_needless(
        POSTGRESQL,
        _DATABASE,
        ("database_name", "opscode_pushy"),
        ("username", "opscode-pgsql"),
        ("sql_user", "opscode_pushy"),
        ("sql_ro_user", "opscode_pushy_ro"),
        ("vip", "127.0.0.1"),
        ("port", "5432"),
    ),
    *_needless(
        BOOTSTRAP, "`push-jobs-server init` prepares a new server, once", ("enable", "true")
    ),
    *_needless(
        PEDANT, _PEDANT, ("dir", "unset"), ("log_directory", "unset"), ("log_http_requests", "true")
    ),
    *_needless(
        TOP,
        _PLACES,
        ("install_path", "/opt/opscode-push-jobs-server"),
        ("chef_base_path", "/opt/opscode"),
    ),
    _host(TOP, "api_fqdn", "of the Chef server", 1, "unless one of the other names is set"),
    OldSetting(TOP, "topology", "standalone", always="`standalone`, one server with its database"),
)
"""Everything that could stand in the old server's file."""

FIXED_SETTINGS: Sequence[OldSetting] = (
    _renamed("config lifetime", "3600 s", "config_lifetime"),
    _renamed("voting timeout", "60 s", "voting_timeout"),
    _renamed("default running timeout", "3600 s", "default_run_timeout"),
    _renamed("rehab timer", "1000 ms", "rehab_interval", "in seconds"),
    _renamed("offline threshold", "3 heartbeats", "offline_threshold"),
    _renamed("online threshold", "2 heartbeats", "online_threshold"),
    _renamed("message skew", "300 s", "max_message_skew"),
    _renamed("request skew", "900 s", "request_skew"),
    OldSetting(MAIN, "disable curve encryption", "false", always="messages are encrypted"),
    _renamed("request body", "1,000,000 bytes", "http.max_body_size"),
    _renamed("transferred file", "100,000 bytes", "max_job_file"),
    _renamed("key cache", "5 s", "grant_lifetime", "counted from when a node got its settings"),
)
"""What the old server had fixed, or only in files that it generated."""

SECRETS: Sequence[OldSetting] = (
    *_needless("", _DATABASE, ("sql_password", "made"), ("sql_ro_password", "made")),
    *_needless(
        "",
        "`push-jobs-server init` makes a new key, which agents fetch with their settings",
        ("pushy_priv_key", "made"),
        ("pushy_pub_key", "made"),
    ),
)
"""What the old server kept in the secret store."""

BY_NAME: Dict[Tuple[str, str], OldSetting] = {(old.section, old.name): old for old in FILE_SETTINGS}


def reference() -> str:
    """All tables as markdown, each with its heading."""
    sections = (
        (f"`{MAIN}`", [old for old in FILE_SETTINGS if old.section == MAIN]),
        ("Other sections", [old for old in FILE_SETTINGS if old.section not in (MAIN, TOP)]),
        ("Lines outside of sections", [old for old in FILE_SETTINGS if old.section == TOP]),
        ("What could not be set", FIXED_SETTINGS),
        ("Secrets", SECRETS),
    )
    return "\n".join(f"## {title}\n\n{_table(rows)}" for title, rows in sections)


def _table(rows: Sequence[OldSetting]) -> str:
    lines = ["| Old setting | Default | Here |", "|---|---|---|"]
    lines += [f"| `{_shown(old)}` | {old.default} | {old.place} |" for old in rows]
    return "\n".join(lines) + "\n"


def _shown(old: OldSetting) -> str:
    return f"{old.section}.{old.name}" if old.section not in (MAIN, TOP) else old.name
