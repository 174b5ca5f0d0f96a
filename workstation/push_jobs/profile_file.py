"""Reads the file with the profiles, ``config.yml`` below ``$XDG_CONFIG_HOME/push-jobs``.

    default: production
    profiles:
      production:
        server: https://push.example.com:10003/organizations/acme
        user: alice
        key: ~/.chef/alice.pem
        fingerprint: 9f:86:d0:...     # or ca: /etc/push-jobs/ca.pem

It finds all mistakes in the file and does not care what the values mean: see ``push_jobs.target``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, Optional

import yaml

from push_jobs.terminal import escape_line

SETTINGS = ("server", "user", "key", "ca", "fingerprint")
"""The settings that a profile may have."""

_PATHS = ("key", "ca")


@dataclass
class ProfileFile:
    """What the file says; ``problems`` are its mistakes, each with the key it is about."""

    path: Path
    default: Optional[str] = None
    profiles: Dict[str, Dict[str, str]] = field(default_factory=dict)
    problems: List[str] = field(default_factory=list)


def config_path(environ: Mapping[str, str]) -> Path:
    """Return where the file is."""
    base = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "push-jobs" / "config.yml"


def read_profile_file(path: Path) -> ProfileFile:
    """Return what is in the file; a file that does not exist has no profiles."""
    result = ProfileFile(path)
    content = _load(result)
    if content is None:
        return result
    if not isinstance(content, dict):
        _complain(result, "", "is not a mapping with 'default' and 'profiles'")
        return result
    _unknown(result, "", content, ("default", "profiles"))
    default = content.get("default")
    if default is not None and not isinstance(default, str):
        _complain(result, "default", "is not the name of a profile")
    else:
        result.default = default
    _read_profiles(result, content.get("profiles"))
    if result.default is not None and result.default not in result.profiles:
        _complain(
            result,
            "default",
            f"names the profile '{result.default}', which is not there",
        )
    return result


def _load(result: ProfileFile) -> object:
    try:
        return yaml.safe_load(result.path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        _complain(result, "", f"cannot be read: {error.strerror or error}")
    except UnicodeDecodeError:
        _complain(result, "", "is not UTF-8")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        _complain(
            result,
            "",
            f"is not YAML{where}: {getattr(error, 'problem', None) or error}",
        )
    return None


def _read_profiles(result: ProfileFile, profiles: object) -> None:
    if not isinstance(profiles, (dict, type(None))):
        _complain(result, "profiles", "is not a mapping of names to profiles")
        return
    for name, profile in (profiles or {}).items():
        where = f"profiles.{name}"
        if not isinstance(name, str) or not isinstance(profile, dict):
            _complain(result, where, "is not a named mapping of settings")
            continue
        _unknown(result, where, profile, SETTINGS)
        result.profiles[name] = _values(result, where, profile)


def _values(result: ProfileFile, where: str, profile: Mapping[object, object]) -> Dict[str, str]:
    values: Dict[str, str] = {}
    for key in SETTINGS:
        value = profile.get(key)
        if value is None:
            continue
        if not isinstance(value, str) or not value:
            _complain(result, f"{where}.{key}", "is not text; put it in quotes")
            continue
        values[key] = _absolute(result.path, value) if key in _PATHS else value
    if "ca" in values and "fingerprint" in values:
        _complain(result, where, "has both 'ca' and 'fingerprint'; one of them is enough")
    return values


def _absolute(path: Path, value: str) -> str:
    """Relative paths in a file are meant from where the file is."""
    return str(path.parent / Path(value).expanduser())


def _unknown(
    result: ProfileFile, where: str, found: Iterable[object], known: Iterable[str]
) -> None:
    names = list(known)
    for key in found:
        if key in names:
            continue
        close = get_close_matches(str(key), names, 1)
        meant = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(names)}"
        _complain(result, f"{where}.{key}".lstrip("."), f"is unknown; {meant}")


def _complain(result: ProfileFile, where: str, what: str) -> None:
    subject = f"{result.path}: '{where}'" if where else str(result.path)
    result.problems.append(escape_line(f"{subject} {what}"))
