"""Reads the plain lines of an old Ruby settings file. The file is never run.

A plain line is `key value` or `key 'value'` with a text, symbol, number, true or false. Everything
else, and every key this agent does not know, is ignored and named, so that nobody is surprised.
"""

from __future__ import annotations

import re
from typing import Any, Collection, Dict, List, Tuple

_LINE = re.compile(r"([a-z_][a-z0-9_]*)\s*(?:\(\s*|\s)\s*(.+?)\s*\)?\s*(?:#.*)?")
_QUOTED = re.compile(r"'([^'\\]*)'|\"([^\"\\#]*)\"")
_WORDS = {"true": True, "false": False, "STDOUT": "STDOUT", "STDERR": "STDERR"}


def read(text: str, known: Collection[str]) -> Tuple[Dict[str, Any], List[str]]:
    """The settings in ``text`` and a note about each line that was ignored.

    ``known`` are the keys that may be taken from such a file.
    """
    found: Dict[str, Any] = {}
    notes: List[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        indented = line[:1].isspace()  # most likely inside an `if` or a block
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = None if indented else _LINE.fullmatch(line)
        value = _value(match.group(2)) if match else None
        if match is None or value is None:
            notes.append(f"line {number} is ignored: it is no plain `key value` line")
        elif match.group(1) not in known:
            notes.append(f"line {number} is ignored: {match.group(1)} is no setting of this agent")
        else:
            found[match.group(1)] = value
    return found, notes


def _value(text: str) -> Any:
    """The value that Ruby would see, or None for anything that would have to be run."""
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        return quoted.group(1) if quoted.group(1) is not None else quoted.group(2)
    if re.fullmatch(r"[0-9]+", text):
        return int(text)
    if re.fullmatch(r":[a-z_]+", text):
        return text[1:]
    return _WORDS.get(text)
