"""Merges what flags, PUSHJOBS_* variables and a profile say about the server; the first one wins.

Nothing is checked here beyond what merging needs: see ``push_jobs.target``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional

from push_jobs.profile_file import SETTINGS, ProfileFile, config_path, read_profile_file
from push_jobs.terminal import escape_line

VARIABLES = {name: f"PUSHJOBS_{name.upper()}" for name in ("profile", *SETTINGS)}
"""The environment variable of each setting."""

_TRUST = ("ca", "fingerprint")
_REQUIRED = {
    "server": "where the server is, like https://HOST:10003/organizations/ORG",
    "user": "who asks",
    "key": "the file with that user's private key",
}


@dataclass(frozen=True)
class Merged:
    """The settings that count, and every problem on the way to them."""

    values: Mapping[str, str]
    problems: List[str]


def merge(flags: Mapping[str, Optional[str]], environ: Mapping[str, str]) -> Merged:
    """Return the settings from ``flags`` (keys of VARIABLES), ``environ`` and the profile file."""
    file = read_profile_file(config_path(environ))
    problems = list(file.problems)
    given = {name: value for name, value in flags.items() if value}
    variables = {name: environ.get(variable, "") for name, variable in VARIABLES.items()}
    wanted = given.get("profile") or variables["profile"] or None
    profile = _profile(file, wanted, problems)
    values = _overlay(given, {name: text for name, text in variables.items() if text}, profile)
    missing = [name for name in _REQUIRED if name not in values]
    # A profile that is not there may have had them.
    if missing and (wanted is None or wanted in file.profiles):
        problems.append(_how_to_set(missing, file, wanted))
    if all(name in values for name in _TRUST):
        problems.append("a CA file and a fingerprint are given together; one of them is enough")
    return Merged(values, problems)


def _profile(file: ProfileFile, wanted: Optional[str], problems: List[str]) -> Mapping[str, str]:
    name = wanted or file.default
    if wanted is not None and wanted not in file.profiles:
        there = "it has " + (", ".join(sorted(file.profiles)) or "no profiles")
        why = there if file.path.exists() else "the file does not exist"
        problems.append(escape_line(f"there is no profile '{wanted}' in {file.path}: {why}"))
    return file.profiles.get(name, {}) if name is not None else {}


def _overlay(*layers: Mapping[str, str]) -> Dict[str, str]:
    values: Dict[str, str] = {}
    for layer in layers:
        # Whom to trust is one decision: a flag's CA file replaces a profile's fingerprint.
        decided = any(name in values for name in _TRUST)
        for name in SETTINGS:
            if name in layer and not (decided and name in _TRUST):
                values.setdefault(name, layer[name])
    return values


def _how_to_set(missing: List[str], file: ProfileFile, wanted: Optional[str]) -> str:
    lines = ["some settings are missing:"]
    for name in missing:
        flag, variable = f"--{name}", VARIABLES[name]
        lines.append(f"  {flag:<9} or {variable:<15}  {_REQUIRED[name]}")
    if wanted or file.default:
        lines.append(f"  or add them to the profile in {file.path}")
    elif file.profiles:
        names = ", ".join(escape_line(name) for name in sorted(file.profiles))
        lines.append(f"  or choose a profile of {file.path} with --profile: {names}")
    else:
        lines.append(f"  or put them into a profile in {file.path}")
    return "\n".join(lines)
