"""The agent's settings: one table, and how a file and the command line fill it.

Precedence is defaults < file < options. Every mistake is named at once. Nothing is started here and
no network is asked; the only file read is the settings file. Source: operator-surfaces 2.2, 9.2.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from push_jobs_agent import ruby_file, schob_file, serf_settings
from push_jobs_wire.errors import PushJobsError
from push_jobs_wire.settings import Field, Rule, SettingsError, Table, Values

CONFIG_DIR = "/etc/chef"
FILE_NAMES = ("chef-push-client", "push-jobs-client", "client")
SUFFIXES = (".yml", ".rb")

_ORGANIZATION = re.compile(r"/organizations/+([a-z0-9][a-z0-9_-]*)/*", re.IGNORECASE)
_NODE_NAME = re.compile(r"[A-Za-z0-9_:.-]{1,255}")
_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1")

RUBY_KEYS = {
    "chef_server_url",
    "node_name",
    "client_key",
    "trusted_certs_dir",
    "file_dir",
    "max_body_size",
    "allow_unencrypted",
    "lockfile",
    "log_level",
    "log_location",
    "http_proxy",
    "https_proxy",
    "no_proxy",
}
"""What may be taken from an old file; the whitelist there is Ruby and has a file of its own now."""


def _server_problem(values: Mapping[str, Any]) -> Optional[str]:
    url = values["chef_server_url"]
    if url is None and values["shovey_url"] is not None:
        return None
    if url is None:
        return (
            "chef_server_url is missing: give the server's address, https://HOST/organizations/ORG"
        )
    parts = urlsplit(url)
    if _ORGANIZATION.search(parts.path) is None:
        return f"chef_server_url is {url!r}, expected an address that holds /organizations/ORG"
    if parts.query or parts.fragment or parts.username is not None:
        return "chef_server_url holds more than a host, a port and a path"
    if parts.scheme == "https" and parts.hostname:
        return None
    if parts.scheme == "http" and _LOOPBACK.fullmatch(parts.hostname or ""):
        return None
    return f"chef_server_url is {url!r}, expected https:// (plain http only to this very machine)"


def _node_problem(values: Mapping[str, Any]) -> Optional[str]:
    name = values["node_name"]
    if name is None or _NODE_NAME.fullmatch(name):
        return None
    return f"node_name is {name!r}, expected letters, digits and the signs _ : . -"


def _plain_problem(values: Mapping[str, Any]) -> Optional[str]:
    if values["force_plain"] and not values["allow_unencrypted"]:
        return "force_plain needs allow_unencrypted: both say that this agent may talk in clear"
    return None


TABLE = Table(
    [
        Field(
            "chef_server_url",
            "url",
            None,
            "The server, with its organization; may be unset when shovey_url is set.",
        ),
        Field("node_name", "str", None, "Name of this node; unset means its full host name."),
        Field("client_key", "path", "/etc/chef/client.pem", "The node's private key."),
        Field("ca_file", "path", None, "Trust only the certificates in this file (PEM)."),
        Field(
            "trusted_certs_dir",
            "path",
            "/etc/chef/trusted_certs",
            "More certificates to trust, beside the system's; not used when ca_file is set.",
        ),
        Field(
            "whitelist",
            "path",
            "/etc/chef/push-jobs-whitelist.json",
            "The commands that jobs may run here (JSON, or YAML when it ends in .yml).",
        ),
        Field("state_dir", "path", "/var/lib/push-jobs-client", "Jobs and their output live here."),
        Field("start_runner", "bool", True, "Start and stop the runner with the agent."),
        Field(
            "file_dir",
            "path",
            None,
            "Where files that come with jobs are stored; unset means below state_dir. A folder of "
            "this agent alone: what is left in it goes after a day.",
        ),
        Field(
            "max_body_size",
            "int",
            63000,
            "Largest message the agent sends; longer output loses its middle.",
            unit="bytes",
            minimum=2048,
        ),
        Field(
            "output_limit",
            "int",
            1024 * 1024,
            "Output kept of each channel of a job; more loses its middle.",
            unit="bytes",
            minimum=1024,
        ),
        Field(
            "allowed_users",
            "list",
            (),
            "Users that a job may ask to run as, where the whitelist entry names none.",
        ),
        Field(
            "allowed_overwritable_env_vars",
            "list",
            None,
            "Variables that a job may set by their own names; unset means all harmless ones.",
        ),
        Field(
            "lockfile", "path", None, "Lock file of whitelist entries that say only `lock: true`."
        ),
        Field("allow_unencrypted", "bool", False, "Accept a server that offers no encryption."),
        Field("force_plain", "bool", False, "Never encrypt, even when the server offers a key."),
        Field(
            "drain_timeout",
            "float",
            60.0,
            "How long a stopping agent waits for its job; the job goes on after that.",
            unit="seconds",
            minimum=0,
        ),
        Field(
            "abort_grace",
            "float",
            10.0,
            "Time between the polite and the hard end of an aborted job, unless a cancel sets it.",
            unit="seconds",
            minimum=0,
            maximum=600,
        ),
        Field(
            "log_level",
            "str",
            "info",
            "How much is logged.",
            choices=("debug", "info", "warn", "error", "fatal"),
        ),
        Field("log_location", "path", None, "Log file; unset means standard output."),
        Field("log_format", "str", "text", "Form of a log line.", choices=("text", "json")),
        Field("https_proxy", "url", None, "Proxy for https.", secret=True),
        Field("http_proxy", "url", None, "Proxy for http.", secret=True),
        Field("no_proxy", "str", None, "Hosts that are reached without a proxy."),
        *serf_settings.FIELDS,
    ],
    [
        Rule(("chef_server_url", "shovey_url"), _server_problem),
        Rule(("node_name",), _node_problem),
        Rule(("force_plain", "allow_unencrypted"), _plain_problem),
        *serf_settings.RULES,
    ],
)


@dataclass(frozen=True)
class Config:
    """Checked settings. ``source`` is the file they came from; ``notes`` says what was ignored.

    ``organization`` is empty where no push jobs server is named.
    """

    values: Values
    source: Optional[str]
    notes: Tuple[str, ...]
    node_name: str
    organization: str

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def load(
    path: Optional[str],
    options: Mapping[str, Any],
    config_dir: str = CONFIG_DIR,
    host_name: Optional[str] = None,
) -> Config:
    """Read the settings from a file and put the options above it.

    Without ``path`` the first file that exists in ``config_dir`` is taken. Options that are None
    were not given. ``host_name`` is for a node that nothing names; the system, which may have to
    ask the network, is asked only without it. Raises SettingsError that names every mistake.
    """
    source = path or find(config_dir)
    from_file, notes = _read(source) if source else ({}, [])
    given = {name: value for name, value in options.items() if value is not None}
    base = os.path.dirname(os.path.abspath(source)) if source else os.getcwd()
    values = TABLE.parse({**from_file, **_absolute(given)}, source or "the command line", base)
    match = _ORGANIZATION.search(urlsplit(values["chef_server_url"] or "").path)
    notes += serf_settings.notes(values)
    name = values["node_name"] or host_name or socket.getfqdn() or socket.gethostname()
    return Config(values, source, tuple(notes), name, match.group(1) if match else "")


def find(config_dir: str) -> Optional[str]:
    """The settings file in use when none is named, or None."""
    for name in FILE_NAMES:
        for suffix in SUFFIXES:
            path = os.path.join(config_dir, name + suffix)
            if os.path.exists(path):
                return path
    return None


def file_problems(config: Config) -> List[str]:
    """What is wrong with the files that the settings name, one text for each."""
    problems = []
    for name in ("client_key", "ca_file"):
        path = config[name]
        if path is not None and not os.access(path, os.R_OK):
            problems.append(f"{name}: {path} cannot be read")
    if config["shovey_url"] is not None:
        problems.extend(_signing_key_problems(config["sign_pub_key"]))
    return problems


def signing_key(path: str) -> Tuple[int, int]:
    """Modulus and exponent of the public key in a file.

    Raises SettingsError when it cannot be read, or is no RSA key.
    """
    from push_jobs_wire import chef_auth  # only nodes over Serf need what it loads

    try:
        with open(path, "rb") as file:
            numbers = chef_auth.load_public_key(file.read()).public_numbers()
    except OSError as error:
        raise SettingsError("sign_pub_key", [f"{path} cannot be read: {error.strerror}"]) from None
    except PushJobsError as error:
        raise SettingsError("sign_pub_key", [f"{path}: {error}"]) from None
    return numbers.n, numbers.e


def _signing_key_problems(path: str) -> List[str]:
    try:
        signing_key(path)
    except SettingsError as error:
        return [str(error)]
    return []


def _absolute(options: Dict[str, Any]) -> Dict[str, Any]:
    """Paths on the command line belong to the current folder, those in a file to the file's."""
    for name, value in options.items():
        if TABLE.fields[name].kind == "path":
            options[name] = os.path.abspath(value)
    return options


def _read(path: str) -> Tuple[Any, List[str]]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise SettingsError(path, [f"cannot be read: {reason}"]) from None
    if path.endswith(".rb"):
        return _from_ruby(text)
    if schob_file.is_one(path, text):
        return _from_schob(path, text)
    return _from_yaml(path, text), []


def _from_schob(path: str, text: str) -> Tuple[Dict[str, Any], List[str]]:
    try:
        return schob_file.read(text, TABLE.fields)
    except ValueError as error:
        raise SettingsError(path, [f"no TOML: {error}"]) from None


def _from_ruby(text: str) -> Tuple[Dict[str, Any], List[str]]:
    found, notes = ruby_file.read(text, RUBY_KEYS)
    if found.get("log_location") in ("STDOUT", "STDERR"):
        del found["log_location"]
    if found.get("log_level") == "auto":
        del found["log_level"]
    return found, notes


def _from_yaml(path: str, text: str) -> Any:
    import yaml  # only while the settings are read

    try:
        found = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        raise SettingsError(path, [f"{line}no YAML: {error.problem}"]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(path, [f"no YAML: {error}"]) from None
    if not isinstance(found, (dict, type(None))):
        raise SettingsError(path, ["expected lines of the form KEY: VALUE"])
    return found or {}
