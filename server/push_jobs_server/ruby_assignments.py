"""Reads the plain assignments of an old Ruby settings file. The file is never run. Pure.

Plain is `section['key'] = LITERAL`, `name 'text'` and `name('text')`, with a text, symbol, number,
true, false, nil or an array of those. Everything else is named with its line and not read, also
what is plain but stands inside something that is not: only Ruby could tell whether it counts.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple


@dataclass(frozen=True)
class Assignment:
    """One value: ``section`` is empty for `name 'text'`, ``name`` has dots for keys in keys."""

    line: int
    section: str
    name: str
    value: Any


@dataclass(frozen=True)
class Unread:
    """A line that was not read, and why; ``name`` is what it would have set, if that is plain."""

    line: int
    name: str
    reason: str


class NotPlain(ValueError):
    """Raised when a text is no plain literal; the text says what it is."""


_KEY = r"""\[\s*(?:'[\w.-]+'|"[\w.-]+"|:\w+)\s*\]"""
_INDEXED = re.compile(rf"([a-z_]\w*)((?:{_KEY})+)[ \t]*=(?![=~>])[ \t]*")
_CALL = re.compile(r"([a-z_]\w*)(?:[ \t]*(\()[ \t]*|[ \t]+)(?=['\"\d:\[-]|(?:true|false|nil)\b)")
_VARIABLE = re.compile(r"[a-z_]\w*[ \t]*=(?![=~>])")
_INTERPOLATED = re.compile(r"\"(?:[^\"\\]|\\.)*#[{$@]")
_SPACE = re.compile(r"(?:\s|#[^\n]*)*")
_END = re.compile(r"[ \t]*;?[ \t]*(?:#[^\n]*)?(?:\n|\Z)(?!\s*&?\.\w)")
_CLOSED_END = re.compile(r"[ \t]*\)" + _END.pattern)
_CONTROL = re.compile(r"(?:else|elsif|when|rescue|ensure|end)\b")
_OPENS = re.compile(
    r"(?:^|=\s*)(?:if|unless|case|while|until|for|begin|def|class|module)\b"
    r"|\bdo(?:\s*\|[^|]*\|)?$"
)
_CLOSES = re.compile(r"(?<![.\w])end$")
_HERE = re.compile(r"<<[~-]?(['\"]?)([A-Z_]\w*)\1")
_CONTINUED = re.compile(r"[\\,+*/|&=<>-]$")
_BELONGS = re.compile(r"\s+\S|[\])}.]")
_TEXTS = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_COMMENT = re.compile(r"(?:^|\s)#.*")

_SINGLE = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_DOUBLE = re.compile(r"\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_ESCAPES = {"\\": "\\", '"': '"', "#": "#", "'": "'", "n": "\n", "t": "\t", "s": " "}
_FLOAT = re.compile(
    r"-?(?:0|[1-9](?:_?\d)*)(?:\.\d(?:_?\d)*(?:[eE][+-]?\d+)?|[eE][+-]?\d+)(?![\w.])"
)
_INT = re.compile(r"-?(?:0|[1-9](?:_?\d)*)(?![\w.])")
_SYMBOL = re.compile(r":([a-zA-Z_]\w*)")
_WORD = re.compile(r"(true|false|nil)(?![\w.?!(])")
_WORDS: Dict[str, Any] = {"true": True, "false": False, "nil": None}


def read(text: str) -> Tuple[List[Assignment], List[Unread]]:
    """The plain assignments of a file and its lines that were not read, in the file's order."""
    reader = _Reader(text.replace("\r\n", "\n"))
    reader.run()
    return reader.found, reader.unread


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._ends = [match.start() for match in re.finditer(r"\n|\Z", text)]
        self._open: List[int] = []  # lines where something began that `end` closes
        self.found: List[Assignment] = []
        self.unread: List[Unread] = []

    def run(self) -> None:
        while self._at < len(self._text):
            line = self._line()
            if line == "__END__":
                return
            if line.startswith("=begin"):
                self._skip_comment()
            elif not line.strip() or line.lstrip().startswith("#"):
                self._next_line()
            else:
                self._statement(line)

    def _number(self) -> int:
        return bisect_left(self._ends, self._at) + 1

    def _line(self) -> str:
        return self._text[self._at : self._ends[self._number() - 1]]

    def _next_line(self) -> None:
        self._at = self._ends[self._number() - 1] + 1

    def _skip_comment(self) -> None:
        while self._at < len(self._text):
            ends = self._line().startswith("=end")
            self._next_line()
            if ends:
                return

    def _statement(self, line: str) -> None:
        number, bare = self._number(), _bare(line)
        if self._open or _CONTROL.match(bare) or _OPENS.search(bare):
            self._block_line(number, bare)
            self._next_line()
            return
        try:
            assignment, self._at = self._assignment(
                number, self._at + len(line) - len(line.lstrip())
            )
            self.found.append(assignment)
        except NotPlain as reason:
            self.unread.append(Unread(number, self._name(), str(reason)))
            self._next_line()
            self._skip_rest(number, line)

    def _block_line(self, number: int, bare: str) -> None:
        where = f"it stands inside what begins in line {self._open[0]}" if self._open else ""
        self.unread.append(Unread(number, "", where or "it is a condition, a loop or a block"))
        ends, opens = _CLOSES.search(bare), _OPENS.search(bare)
        if opens and not ends:
            self._open.append(number)
        elif ends and self._open and not opens:
            self._open.pop()

    def _name(self) -> str:
        indexed = _INDEXED.match(self._line().strip())
        return ".".join(_words(indexed)) if indexed else ""

    def _assignment(self, number: int, start: int) -> Tuple[Assignment, int]:
        indexed = _INDEXED.match(self._text, start)
        head = indexed or _CALL.match(self._text, start)
        if head is None:
            raise NotPlain(_kind(self._line().strip()))
        value, end = _literal(self._text, head.end())
        after = _END if indexed or not head.group(2) else _CLOSED_END
        rest = after.match(self._text, end)
        if rest is None:
            raise NotPlain("something follows its value that would have to be computed")
        section, *keys = _words(indexed) if indexed else ("", head.group(1))
        return Assignment(number, section, ".".join(keys), value), rest.end()

    def _skip_rest(self, number: int, line: str) -> None:
        """After a line that was not read: the lines that belong to it."""
        document = _HERE.search(line)
        mark = document.group(2) if document else ""
        depth, continued = _depth(line), bool(_CONTINUED.search(_bare(line)))
        while self._at < len(self._text):
            line = self._line()
            if not (mark or depth > 0 or continued or _BELONGS.match(line)):
                return
            if line.strip():
                self.unread.append(Unread(self._number(), "", f"it belongs to line {number}"))
            self._next_line()
            if mark:
                mark = "" if line.strip() == mark else mark
                continue
            depth, continued = depth + _depth(line), bool(_CONTINUED.search(_bare(line)))


def _words(indexed: "re.Match[str]") -> List[str]:
    """The section and the keys of an assignment."""
    return [indexed.group(1), *re.findall(r"[\w.-]+", indexed.group(2))]


def _bare(line: str) -> str:
    """A line without its texts and its comment."""
    return _COMMENT.sub("", _TEXTS.sub("''", line)).strip()


def _depth(line: str) -> int:
    """How many more brackets a line opens than it closes."""
    bare = _bare(line)
    return sum(map(bare.count, "([{")) - sum(map(bare.count, ")]}"))


def _kind(line: str) -> str:
    """Why a line is not plain, as far as can be seen."""
    if _VARIABLE.match(line):
        return "it sets a variable of the file, not a setting"
    return "it is no plain assignment"


def _literal(text: str, start: int) -> Tuple[Any, int]:
    """The literal at ``start`` and where it ends; raises NotPlain."""
    if text.startswith("[", start):
        return _array(text, start + 1)
    return _scalar(text, start)


def _scalar(text: str, start: int) -> Tuple[Any, int]:
    for pattern, make in _SCALARS:
        match = pattern.match(text, start)
        if match:
            return make(match.group()), match.end()
    raise NotPlain("its value would have to be computed")


def _array(text: str, at: int) -> Tuple[Any, int]:
    values: List[Any] = []
    at = _skip_space(text, at)
    while not text.startswith("]", at):
        value, at = _scalar(text, at)
        values.append(value)
        at = _skip_space(text, at)
        if text.startswith(",", at):
            at = _skip_space(text, at + 1)
        elif not text.startswith("]", at):
            raise NotPlain("its value would have to be computed")
    return values, at + 1


def _skip_space(text: str, at: int) -> int:
    match: Optional["re.Match[str]"] = _SPACE.match(text, at)
    return match.end() if match else at


def _int(digits: str) -> int:
    if len(digits) > 30:  # Python itself refuses those of thousands of digits
        raise NotPlain("its number is too large")
    return int(digits.replace("_", ""))


def _single(quoted: str) -> str:
    return re.sub(r"\\([\\'])", r"\1", quoted[1:-1])


def _double(quoted: str) -> str:
    if _INTERPOLATED.match(quoted):
        raise NotPlain("its text has something in it that would have to be computed")

    def plain(match: "re.Match[str]") -> str:
        if match.group(1) not in _ESCAPES:
            raise NotPlain(f"its text has the escape \\{match.group(1)}")
        return _ESCAPES[match.group(1)]

    return re.sub(r"\\(.)", plain, quoted[1:-1], flags=re.DOTALL)


_SCALARS: Tuple[Tuple["re.Pattern[str]", Any], ...] = (
    (_SINGLE, _single),
    (_DOUBLE, _double),
    (_FLOAT, lambda text: float(text.replace("_", ""))),
    (_INT, _int),
    (_SYMBOL, lambda text: text[1:]),
    (_WORD, _WORDS.__getitem__),
)
