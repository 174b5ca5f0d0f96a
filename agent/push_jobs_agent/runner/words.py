"""The words of a command, with references to what a pattern matched.

``\\1`` and ``\\g<name>`` (also ``\\g<1>``; ``\\0`` is the whole name) stand for a group inside a
word; a second backslash before them takes that meaning away. A value fills its place inside one
word and is never split again: that is the whole defence, so nothing here may join or re-read words.
"""

from __future__ import annotations

import re
import shlex

TYPE_CHECKING = False  # importing typing would cost the runner most of a mebibyte
if TYPE_CHECKING:
    from typing import Union

    Word = list[Union[str, int]]
    """Literal text and group numbers, in turn."""

REFERENCE = re.compile(r"(\\?)\\(?:([0-9]{1,2})|g<([A-Za-z_0-9]+)>)")
HELD = re.compile("\0([0-9]+)\0")


def literal_words(text: str) -> list[Word]:
    """``text`` split as a shell would split it, without any reference. Raises ValueError."""
    return [[word] for word in shlex.split(text)]


def split_words(text: str, pattern: re.Pattern[str]) -> list[Word]:
    """``text`` split as a shell would split it; references are found before quotes are removed.

    Raises:
        ValueError: for an open quote, or a reference to a group that ``pattern`` does not have.
    """
    held: list[Word] = []

    def hold(match: re.Match[str]) -> str:
        held.append([_meaning(match, pattern)])
        return f"\0{len(held) - 1}\0"

    words = shlex.split(REFERENCE.sub(hold, text))
    return [_release(word, held) for word in words]


def _release(word: str, held: list[Word]) -> Word:
    pieces = HELD.split(word)
    parts: Word = []
    for place, piece in enumerate(pieces):
        if place % 2:
            parts += held[int(piece)]
        elif piece:
            parts.append(piece)
    return parts


def read_word(text: str, pattern: re.Pattern[str]) -> Word:
    """One word with its references. Raises ValueError for a group that is not in ``pattern``."""
    parts: Word = []
    end = 0
    for match in REFERENCE.finditer(text):
        parts += [text[end : match.start()], _meaning(match, pattern)]
        end = match.end()
    return parts + [text[end:]]


def _meaning(match: re.Match[str], pattern: re.Pattern[str]) -> Union[str, int]:
    escaped, number, name = match.groups()
    if escaped:
        return match[0][1:]
    if number is None and not name.isdigit():
        if name not in pattern.groupindex:
            raise ValueError(f"{match[0]} names a group that the pattern does not have")
        return pattern.groupindex[name]
    group = int(number or name)
    if group > pattern.groups:
        raise ValueError(f"{match[0]} is past the {pattern.groups} groups of the pattern")
    return group


def groups_of(words: list[Word]) -> set[int]:
    """The numbers of all groups that ``words`` refer to."""
    return {part for word in words for part in word if isinstance(part, int)}


def fill(words: list[Word], match: re.Match[str]) -> list[str]:
    """The arguments: as many as there are words, whatever was matched."""
    return [
        "".join(part if isinstance(part, str) else match[part] or "" for part in word)
        for word in words
    ]
