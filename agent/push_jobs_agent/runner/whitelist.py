"""The whitelist of this node: loading, finding every mistake, and matching job names.

Exact names count first, then whole-name patterns in the order of the file. An entry that is false
or null is switched off and also keeps patterns away from its name. Follows operator-surfaces 9.1
rows 6 and 7, and avoids the hazards of 2.7. Nothing is run here but the short-lived YAML helper.
"""

from __future__ import annotations

import json
import re
import signal

from push_jobs_agent.runner.entries import describe, read_entry
from push_jobs_agent.runner.errors import NotListed, Refused, WhitelistError
from push_jobs_agent.runner.words import fill, groups_of
from push_jobs_agent.runner.yaml_helper import yaml_as_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Optional

    from push_jobs_agent.runner.entries import Entry

LONGEST_NAME = 1024
"""Bytes of a job name."""

MATCHING_LASTS = 0.2
"""Seconds of processor time that one look-up may take; the usual one takes some microseconds."""


class _OutOfTime(Exception):
    """Raised inside the matcher by the interval timer."""


class Whitelist:
    """What jobs of this node stand for.

    Args:
        exact: entries by name; None is switched off.
        patterns: key, compiled pattern and entry, in the order of the file.
    """

    def __init__(
        self,
        exact: dict[str, Optional[Entry]],
        patterns: list[tuple[str, re.Pattern[str], Optional[Entry]]],
    ) -> None:
        self._exact = exact
        self._patterns = patterns

    @property
    def names(self) -> list[str]:
        """All names and patterns that can be run, as they are written in the file."""
        usable = [name for name, entry in self._exact.items() if entry is not None]
        return usable + [key for key, _, entry in self._patterns if entry is not None]

    def find(self, name: str) -> tuple[Entry, list[str]]:
        """The entry for a job name, and its arguments. Call it in the main thread only.

        Raises:
            Refused: when the name is not usable, not listed, or switched off.
        """
        check_name(name)
        if name in self._exact:
            entry, match = self._exact[name], None
        else:
            entry, match = self._match(name)
        if entry is None:
            raise NotListed(f"the job {name!r} is switched off in the whitelist of this node")
        return entry, _arguments(name, entry, match)

    def _match(self, name: str) -> tuple[Optional[Entry], Optional[re.Match[str]]]:
        try:
            with _TimeLimit():
                for _, pattern, entry in self._patterns:
                    match = pattern.fullmatch(name)
                    if match:
                        return entry, match
        except _OutOfTime:
            raise Refused(
                f"matching the job {name!r} against the patterns of the whitelist took more than"
                f" {MATCHING_LASTS} s; simplify the pattern that starts with it"
            ) from None
        raise NotListed(f"the job {name!r} is not in the whitelist of this node")


class _TimeLimit:
    """Interrupts the block when it used too much processor time; a busy machine does not count."""

    def __enter__(self) -> None:
        self._over = False
        self._before = signal.signal(signal.SIGVTALRM, self._interrupt)
        signal.setitimer(signal.ITIMER_VIRTUAL, MATCHING_LASTS)

    def __exit__(self, *ignored: object) -> None:
        # A signal that is already on its way must not interrupt anything after this block.
        self._over = True
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, self._before or signal.SIG_DFL)

    def _interrupt(self, number: int, frame: Optional[FrameType]) -> None:
        if not self._over:
            raise _OutOfTime


def check_name(name: str) -> None:
    """Raise Refused for a job name that cannot be one."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise Refused("the name of the job is not valid text") from None
    if not size or size > LONGEST_NAME:
        raise Refused(f"the name of the job has {size} bytes; 1 to {LONGEST_NAME} are possible")
    if not _is_plain(name):
        raise Refused(f"the name of the job holds a control character: {name!r}")


def _is_plain(name: str) -> bool:
    return not any(letter < " " or "\x7f" <= letter <= "\x9f" for letter in name)


def _arguments(name: str, entry: Entry, match: Optional[re.Match[str]]) -> list[str]:
    if match is None:
        values: list[str] = []
        words = ["".join(str(part) for part in word) for word in entry.words]
    elif entry.shell:
        values = [value or "" for value in match.groups()]
        words = [str(entry.words[0][0])]
    else:
        values = [match[group] or "" for group in groups_of(entry.words)]
        words = fill(entry.words, match)
    for value in values:
        if value.startswith("-") and not entry.options:
            raise Refused(
                f"the job {name!r} would put {value!r} into its command, where it could be read"
                " as an option; the entry allows that only with options: true"
            )
    return ["/bin/sh", "-c", words[0], "sh", *values] if entry.shell else words


def load(path: str) -> Whitelist:
    """The whitelist in a file: JSON, or YAML when the name ends in ``.yml`` or ``.yaml``.

    Raises:
        WhitelistError: with every mistake of the file.
    """
    try:
        with open(path, "rb") as file:
            data = yaml_as_json(file) if path.endswith((".yml", ".yaml")) else file.read()
    except OSError as error:
        raise WhitelistError([f"{path}: cannot be read: {error.strerror}"]) from None
    except ValueError as error:
        raise WhitelistError([f"{path}: {line}" for line in str(error).splitlines()]) from None
    problems: list[str] = []
    whitelist = read(data, problems)
    if problems:
        raise WhitelistError([f"{path}: {problem}" for problem in problems])
    return whitelist


def read(data: bytes, problems: list[str]) -> Whitelist:
    """The whitelist written in ``data`` as JSON; every mistake is added to ``problems``."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = [key for key in fields if keys.count(key) > 1]
            problems.extend(f"{key}: is there more than once, expected once" for key in twice)
        return fields

    try:
        fields = json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        problems.append(f"is not JSON: {error}")
        return Whitelist({}, [])
    if isinstance(fields, dict) and list(fields) == ["whitelist"]:
        if isinstance(fields["whitelist"], dict):
            fields = fields["whitelist"]
    if not isinstance(fields, dict):
        problems.append(f"is {describe(fields)}, expected a mapping from job names to entries")
        return Whitelist({}, [])
    return _read_entries(fields, problems)


def _read_entries(fields: dict[str, Any], problems: list[str]) -> Whitelist:
    exact: dict[str, Optional[Entry]] = {}
    patterns: list[tuple[str, re.Pattern[str], Optional[Entry]]] = []
    for key, value in fields.items():
        found: list[str] = []
        pattern = _read_key(key, found)
        off = value is None or value is False
        entry = None if off else read_entry(value, pattern, found)
        if pattern is None:
            exact[key] = entry
        else:
            patterns.append((key, pattern, entry))
        problems.extend(f"{key}: {problem}" for problem in found)
    return Whitelist(exact, patterns)


def _read_key(key: str, problems: list[str]) -> Optional[re.Pattern[str]]:
    """The pattern written as ``key``, None for an exact name; mistakes go to ``problems``."""
    if not (len(key) > 1 and key.startswith("/") and key.endswith("/")):
        try:
            check_name(key)
        except Refused as error:
            problems.append(str(error))
        return None
    if key == "//":
        problems.append("is an empty pattern, expected /.../")
    try:
        return re.compile(key[1:-1])
    except (re.error, RecursionError, OverflowError) as error:
        problems.append(f"is not a pattern: {error}; expected a Python regular expression")
        return None
