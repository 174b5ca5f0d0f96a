"""Reads the settings file of schob, the node client of Shovey: TOML, with keys of its own.

It may be used as it is. What has no meaning here is named, so that nobody is surprised; our own
settings may stand in it, too. Source: shovey 5.1.
"""

from __future__ import annotations

import importlib
import re
from typing import Any, Collection, Dict, List, Tuple

ENDINGS = (".toml", ".conf")

KEYS = {
    "endpoint": "shovey_url",
    "clientname": "node_name",
    "key-file": "client_key",
    "time-slew": "time_slew",
    "whitelist": "whitelist",
    "sign-pub-key": "sign_pub_key",
    "serf-addr": "serf_addr",
    "log-level": "log_level",
    "log-file": "log_location",
}
"""What schob's keys are called here."""

WITHOUT_MEANING = {
    "run-timeout": "every job brings its time limit, and a whitelist entry may set one",
    "queue-save-file": "jobs are kept below serf_state_dir",
    "syslog": "log lines go to log_location, or to standard output",
    "debug-level": "log_level says how much is logged",
    "organization": "runs are reported to the root of shovey_url, below no organization",
}

VERBOSE = ("error", "warn", "info", "debug")
"""The log level of one ``-V``, of two, and so on."""

_LEVELS = {"warning": "warn", "critical": "fatal"}
_LINE = re.compile(r"""([A-Za-z0-9_-]+)\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^\s#"']+)\s*(?:\#.*)?""")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|ns)")


def is_one(path: str, text: str) -> bool:
    """True for a file that is named as TOML is, or whose first line sets a value as TOML does."""
    if path.endswith(ENDINGS):
        return True
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return _LINE.fullmatch(first) is not None


def read(text: str, ours: Collection[str]) -> Tuple[Dict[str, Any], List[str]]:
    """The settings in ``text`` under our names, and a note about each key that is ignored.

    ``ours`` are the settings that may also stand in it by their own names. Raises ValueError when
    it is no TOML, or not of the plain kind where Python has no reader for it.
    """
    found: Dict[str, Any] = {}
    notes: List[str] = []
    for key, value in _parse(text).items():
        if key in KEYS:
            found[KEYS[key]] = _value(KEYS[key], value)
        elif key in ours:
            found[key] = value
        else:
            reason = WITHOUT_MEANING.get(key, "it is no setting of this agent")
            notes.append(f"{key} is ignored: {reason}")
    return found, notes


def seconds(text: str) -> float:
    """A duration as schob writes it, such as ``15m`` or ``1h30m``. Raises ValueError."""
    rest, total = text, 0.0
    while rest:
        part = _PART.match(rest)
        if part is None:
            raise ValueError(f"{text!r} is no duration such as 15m or 1h30m")
        total += float(part[1]) * _UNITS[part[2]]
        rest = rest[part.end() :]
    if not text:
        raise ValueError("a duration is empty")
    return total


def duration(text: str) -> Any:
    """Seconds of a duration or of a plain number; anything else comes back as it is."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return seconds(text)
    except ValueError:
        return text


def _value(name: str, value: Any) -> Any:
    if name == "time_slew" and isinstance(value, str):
        return duration(value)
    if name == "log_level" and isinstance(value, str):
        return _LEVELS.get(value, value)
    return value


def _parse(text: str) -> Dict[str, Any]:
    try:
        library: Any = importlib.import_module("tomllib")
    except ImportError:  # Python before 3.11
        return plain(text)
    parsed: Dict[str, Any] = library.loads(text)
    return parsed


def plain(text: str) -> Dict[str, Any]:
    """The plain part of TOML: lines ``key = value`` with a text, number, true or false.

    Raises ValueError for every other line.
    """
    found: Dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is no plain `key = value` line")
        if match[1] in found:
            raise ValueError(f"line {number} sets {match[1]} again")
        found[match[1]] = _plain_value(match[2], number)
    return found


def _plain_value(text: str, number: int) -> Any:
    if text.startswith('"'):
        return re.sub(r"\\(.)", lambda sign: _ESCAPES.get(sign[1], sign[0]), text[1:-1])
    if text.startswith("'"):
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return int(text)
    raise ValueError(f"line {number} has a value that is no text, whole number, true or false")
