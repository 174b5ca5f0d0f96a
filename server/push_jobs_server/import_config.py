"""Makes our settings of the text of an old server file, and tells of every line what became of it.

Pure: it opens no file and prints nothing. The translations are those of ``old_settings``.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

from push_jobs_server import old_settings, ruby_assignments
from push_jobs_server.old_settings import OldSetting, Untranslatable
from push_jobs_server.ruby_assignments import Assignment
from push_jobs_server.settings import TABLE

TAKEN, CHANGED, DROPPED, NOT_READ = "taken", "changed", "dropped", "not read"


@dataclass(frozen=True)
class Line:
    """What became of one line: ``old`` and ``new`` are names of settings, empty when unknown."""

    number: int
    result: str
    old: str
    new: str
    reason: str


@dataclass(frozen=True)
class Imported:
    """Our settings, nested as in a settings file, and the report in the order of the lines."""

    settings: Mapping[str, Any]
    lines: List[Line]


def import_text(text: str, source: str) -> Imported:
    """Translate an old server file; ``source`` names it in messages.

    Raises SettingsError when what was taken does not fit together.
    """
    assignments, unread = ruby_assignments.read(text)
    lines = [Line(each.line, NOT_READ, each.name, "", each.reason) for each in unread]
    values: Dict[str, Any] = {}
    counting = _counting(assignments)
    for each in assignments:
        lines.append(_translate(each, counting, values))
    settings = _nested(values)
    TABLE.parse(settings, source)
    return Imported(settings, sorted(lines, key=lambda line: line.number))


def _known(each: Assignment) -> Optional[OldSetting]:
    return old_settings.BY_NAME.get((each.section, each.name))


def _counting(assignments: List[Assignment]) -> Dict[str, Assignment]:
    """The assignment that counts, for each of our settings that several could set."""
    latest = {(each.section, each.name): each for each in assignments}
    best: Dict[str, Assignment] = {}
    for each in latest.values():
        old = _known(each)
        if old is None or old.target is None or isinstance(_value(old, each), _Refusal):
            continue
        rival = _known(best[old.target]) if old.target in best else None
        if rival is None or rival.rank < old.rank:
            best[old.target] = each
    return best


@dataclass(frozen=True)
class _Refusal:
    reason: str


def _value(old: OldSetting, each: Assignment) -> Any:
    """Our value, or a _Refusal."""
    assert old.target is not None
    if each.value is None:
        return _Refusal("nil leaves the default")
    field = TABLE.fields[old.target]
    try:
        value = each.value if old.convert is None else old.convert(each.value)
        return field.read(value)
    except Untranslatable as error:
        return _Refusal(str(error))
    except ValueError:
        return _Refusal(f"its value does not fit, expected {field.expected}")


def _translate(each: Assignment, counting: Dict[str, Assignment], values: Dict[str, Any]) -> Line:
    """The line of the report; a value that counts is put into ``values``."""
    old = _known(each)
    if old is None:
        return _report(each, DROPPED, "", _unknown(each))
    if old.target is None:
        return _report(each, DROPPED, "", old.place)
    value = _value(old, each)
    if isinstance(value, _Refusal):
        return _report(each, DROPPED, old.target, value.reason)
    winner = counting[old.target]
    if winner is not each:
        return _report(each, DROPPED, old.target, f"line {winner.line} counts instead")
    values[old.target] = value
    if value == each.value:
        return _report(each, TAKEN, old.target, "as it is")
    return _report(each, CHANGED, old.target, f"{each.value} became {value}; {old.note}")


def _report(each: Assignment, result: str, new: str, reason: str) -> Line:
    name = f"{each.section}.{each.name}" if each.section else each.name
    return Line(each.line, result, name, new, reason.replace("`", ""))


def _unknown(each: Assignment) -> str:
    names = [name for section, name in old_settings.BY_NAME if section == each.section]
    if not names:
        return "the old server has no such section"
    near = difflib.get_close_matches(each.name, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"the old server had no such setting and ignored it{hint}"


def _nested(values: Mapping[str, Any]) -> Dict[str, Any]:
    """The values in the order and the form of our settings file."""
    nested: Dict[str, Any] = {}
    for name, field in TABLE.fields.items():
        if name in values:
            place = nested.setdefault(field.section, {}) if field.section else nested
            place[field.key] = values[name]
    return nested
