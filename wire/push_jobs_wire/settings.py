"""Typed settings tables: one table is a program's parser, check, sample file and reference.

Pure and cheap: it takes a mapping and knows neither files nor YAML; it imports the standard library
only, because small processes on nodes load it too. Sections are one level deep.
"""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NoReturn,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from push_jobs_wire.errors import LocalError

MASK = "********"
"""What stands for a secret wherever settings are shown."""

_SHOWN = 60
"""Characters of a wrong value that a message repeats."""


class SettingsError(LocalError):
    """Raised when settings are wrong; ``problems`` has one text for each mistake, all of them."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems: List[str] = list(problems)
        if len(self.problems) == 1:
            text = f"{source}: {self.problems[0]}"
        else:
            lines = "".join(f"\n  {problem}" for problem in self.problems)
            text = f"{source} has {len(self.problems)} mistakes:{lines}"
        super().__init__(text)


@dataclass(frozen=True)
class Field:
    """One setting.

    ``name`` is ``key`` or ``section.key``; ``kind`` one of str, int, float, bool, path, list (of
    texts) and url; a ``default`` of None means that the setting may be left unset. ``unit`` is the
    plural of what a number counts; bounds are inclusive. Of a ``secret`` nothing is ever shown, of
    a secret url everything but its password.
    """

    name: str
    kind: str
    default: Any
    help: str
    unit: Optional[str] = None
    secret: bool = False
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    choices: Optional[Sequence[str]] = None

    @property
    def section(self) -> str:
        """The part before the dot, or nothing."""
        return self.name.rpartition(".")[0]

    @property
    def key(self) -> str:
        """The part after the dot."""
        return self.name.rpartition(".")[2]

    @property
    def expected(self) -> str:
        """What the setting takes, in words."""
        if self.choices is not None:
            return "one of " + ", ".join(self.choices)
        unit = f" of {self.unit}" if self.unit else ""
        return _READERS[self.kind][0] + unit + self._bounds()

    def _bounds(self) -> str:
        if self.minimum is not None and self.maximum is not None:
            return f" from {_number(self.minimum)} to {_number(self.maximum)}"
        if self.minimum is not None:
            return f", at least {_number(self.minimum)}"
        return "" if self.maximum is None else f", at most {_number(self.maximum)}"

    def read(self, value: Any) -> Any:
        """Return the value in its own type; raises ValueError when it is not what is expected."""
        if value is None and self.default is None:
            return None
        found = _READERS[self.kind][1](value)
        if self.choices is not None and found not in self.choices:
            raise ValueError
        if self.minimum is not None and found < self.minimum:
            raise ValueError
        if self.maximum is not None and found > self.maximum:
            raise ValueError
        return found

    def show(self, value: Any) -> Any:
        """Return the value as it may be shown to people."""
        if self.secret and value is not None:
            return mask_url(value) if self.kind == "url" else MASK
        return list(value) if isinstance(value, tuple) else value


class Values(Mapping[str, Any]):
    """Checked settings by their full names; read-only. Its repr tells no value."""

    __slots__ = ("_values",)
    _values: Mapping[str, Any]

    def __init__(self, values: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_values", dict(values))

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError("settings are read-only")

    def __repr__(self) -> str:
        return f"<Values: {len(self)} settings>"


@dataclass(frozen=True)
class Rule:
    """A check over several settings; asked only when those in ``names`` are right themselves.

    ``check`` takes the values and returns what is wrong, or None.
    """

    names: Tuple[str, ...]
    check: Callable[[Mapping[str, Any]], Optional[str]]


class Table:
    """The settings of one program, in the order in which people read them."""

    def __init__(self, fields: Iterable[Field], rules: Sequence[Rule] = ()) -> None:
        self.fields: Mapping[str, Field] = {field.name: field for field in fields}
        self._rules = tuple(rules)
        self._sections: Dict[str, List[Field]] = {}
        for field in self.fields.values():
            self._sections.setdefault(field.section, []).append(field)

    def parse(self, mapping: Any, source: str, base: str = "") -> Values:
        """Return the settings in ``mapping`` (nested as in a file), with defaults for the others.

        ``source`` names the file in messages; relative paths are joined to the folder ``base``.
        Raises SettingsError that names every mistake.
        """
        values = {name: _frozen(field.default) for name, field in self.fields.items()}
        problems: List[str] = []
        wrong: Set[str] = set()
        for name, value in self._entries(mapping, problems):
            try:
                values[name] = self.fields[name].read(value)
            except ValueError:
                wrong.add(name)
                problems.append(_mistake(self.fields[name], value))
        for rule in self._rules:
            problem = rule.check(values) if wrong.isdisjoint(rule.names) else None
            if problem is not None:
                problems.append(problem)
        if problems:
            raise SettingsError(source, problems)
        for name, field in self.fields.items():
            if field.kind == "path" and values[name] is not None:
                values[name] = posixpath.join(base, values[name])
        return Values(values)

    def _entries(self, mapping: Any, problems: List[str]) -> Iterator[Tuple[str, Any]]:
        """Yield known names with what is given for them; of the rest ``problems`` are made."""
        if mapping is None:
            return
        if not isinstance(mapping, Mapping):
            problems.append(f"expected lines of the form KEY: VALUE, found {_found(mapping)}")
            return
        for key, value in mapping.items():
            if isinstance(key, str) and key and key in self._sections:
                yield from self._section_entries(key, value, problems)
            elif isinstance(key, str) and key in self.fields and "." not in key:
                yield key, value
            else:
                problems.append(self._unknown("", key))

    def _section_entries(
        self, section: str, entries: Any, problems: List[str]
    ) -> Iterator[Tuple[str, Any]]:
        if entries is None:
            return
        if not isinstance(entries, Mapping):
            keys = ", ".join(field.key for field in self._sections[section])
            problems.append(f"{section} is {_found(entries)}, expected a section with {keys}")
            return
        for key, value in entries.items():
            if isinstance(key, str) and f"{section}.{key}" in self.fields:
                yield f"{section}.{key}", value
            else:
                problems.append(self._unknown(section, key))

    def _unknown(self, section: str, key: Any) -> str:
        if not isinstance(key, str):
            return f"unknown key {_found(key)}" + (f" in {section}" if section else "")
        name = f"{section}.{key}" if section else key
        text = f"unknown key {_found(name)}"
        if name in self.fields:
            head, _, tail = name.partition(".")
            return f"{text}: write {tail!r} below a line '{head}:'"
        near = self._nearest(name)
        return text if near is None else f"{text}; did you mean {near!r}?"

    def _nearest(self, name: str) -> Optional[str]:
        """Return the known name that was probably meant."""
        import difflib  # only a mistake needs it

        wanted = name.lower().replace("-", "_")[:_SHOWN]
        known = [*self.fields, *filter(None, self._sections)]
        found = difflib.get_close_matches(wanted, known, n=1, cutoff=0.75)
        leaf = wanted.rpartition(".")[2]
        found += [field.name for field in self.fields.values() if field.key == leaf]
        found += difflib.get_close_matches(wanted, known, n=1)
        return found[0] if found else None

    def show(self, values: Mapping[str, Any]) -> Dict[str, Any]:
        """Return all settings nested as in a file, with secrets masked."""
        shown: Dict[str, Any] = {}
        for name, field in self.fields.items():
            section = shown.setdefault(field.section, {}) if field.section else shown
            section[field.key] = field.show(values[name])
        return shown

    def sample(self, given: Optional[Mapping[str, Any]] = None) -> str:
        """Return a YAML file that explains all settings and sets those ``given``."""
        parts: List[str] = []
        for section, fields in self._sections.items():
            if section:
                parts.append(f"{section}:")
            indent = "  " if section else ""
            for field in fields:
                parts.append("\n".join(indent + line for line in _sample(field, given or {})))
        return "\n\n".join(parts) + "\n"

    def reference(self) -> str:
        """Return a markdown table of all settings."""
        lines = ["| Setting | Default | Takes | Meaning |", "|---|---|---|---|"]
        for field in self.fields.values():
            default = "unset" if field.default is None else f"`{_plain(field.default)}`"
            cells = (f"`{field.name}`", default, field.expected, field.help)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return "\n".join(lines) + "\n"


def mask_url(url: str) -> str:
    """Return the url with its password masked, wherever it stands."""
    scheme, slashes, rest = url.partition("://")
    # Up to the last "@": a password may itself have one, and masking too much does no harm.
    login, at, tail = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    login = user + colon + MASK if colon else login
    path, mark, query = tail.partition("?")
    query = "&".join(_mask_parameter(part) for part in query.split("&"))
    return scheme + slashes + login + at + path + mark + query


def _mask_parameter(part: str) -> str:
    key, equals, _ = part.partition("=")
    return key + equals + MASK if equals and "pass" in key.lower() else part


def _sample(field: Field, given: Mapping[str, Any]) -> List[str]:
    mark, value = ("", given[field.name]) if field.name in given else ("#", field.default)
    line = f"{mark}{field.key}:" + ("" if value is None else f" {_plain(value)}")
    return [f"# {field.help}", f"# Takes {field.expected}.", line]


def _plain(value: Any) -> str:
    """Return the value as YAML, which is JSON but for 1e-07: YAML 1.1 takes that for a text."""
    text = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text


def _mistake(field: Field, value: Any) -> str:
    found = "not usable (it is secret, so not shown)" if field.secret else _found(value)
    return f"{field.name} is {found}, expected {field.expected}"


def _found(value: Any) -> str:
    """Return a short description of any value that a file can hold."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, (list, tuple)):
        return "a list"
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print whole numbers of thousands of digits
        return "a very large number"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _text(value: Any) -> str:
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise ValueError


def _int(value: Any) -> int:
    # Larger ones fit nowhere, and Python itself refuses to print those of thousands of digits.
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    raise ValueError


def _float(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # Also refuses what is no number, infinite, or too large to be a float.
        if -1e300 < value < 1e300:
            return float(value)
    raise ValueError


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError


def _list(value: Any) -> Tuple[str, ...]:
    if isinstance(value, (list, tuple)):
        return tuple(_text(item) for item in value)
    raise ValueError


def _url(value: Any) -> str:
    scheme, slashes, rest = _text(value).partition("://")
    if slashes and rest and scheme[:1].isalpha() and " " not in value:
        return str(value)
    raise ValueError


_READERS: Mapping[str, Tuple[str, Callable[[Any], Any]]] = {
    "str": ("a text", _text),
    "int": ("a whole number", _int),
    "float": ("a number", _float),
    "bool": ("true or false", _bool),
    "path": ("a path", _text),
    "list": ("a list of texts", _list),
    "url": ("a url (SCHEME://...)", _url),
}
