"""The reference of the cookbook's attributes, read from the cookbook itself.

Each attribute stands on one line of attributes/default.rb, its meaning on the line above it; what
has no meaning any more is a table in a library. Ruby is not needed, and no recipe is run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator, List

COOKBOOK = Path(__file__).resolve().parents[2] / "cookbooks" / "push-jobs"

_ATTRIBUTE = re.compile(r"default((?:\['\w+'\])+) = (.+)")
_HEADING = "## "
_WITHOUT_MEANING = re.compile(r"WITHOUT_MEANING = \{\n(.*?)\n *\}", re.DOTALL)
_REASON = re.compile(r"^ *'([\w.]+)' => '(.*)',$", re.MULTILINE)


def reference() -> str:
    """The tables in Markdown. Raises ValueError for an attribute that nothing explains."""
    attributes = (COOKBOOK / "attributes" / "default.rb").read_text(encoding="utf-8")
    validation = (COOKBOOK / "libraries" / "validation.rb").read_text(encoding="utf-8")
    return "\n".join([*_tables(attributes), *_without_meaning(validation)])


def _tables(text: str) -> Iterator[str]:
    meaning = ""
    for line in text.splitlines():
        found = _ATTRIBUTE.fullmatch(line)
        if found:
            if not meaning:
                raise ValueError(f"no meaning stands above {line}")
            yield f"| `{_name(found[1])}` | {_default(found[2])} | {meaning} |"
            meaning = ""
        elif line.startswith(_HEADING):
            yield from _table_head(line[len(_HEADING) :])
        elif line.startswith("# "):
            meaning = line[2:]
        elif line:
            raise ValueError(f"not an attribute on one line: {line}")
        else:
            meaning = ""


def _table_head(title: str) -> List[str]:
    return ["", f"## {title}", "", "| Attribute | Default | Meaning |", "|---|---|---|"]


def _name(keys: str) -> str:
    return ".".join(re.findall(r"'(\w+)'", keys)[1:])


def _default(value: str) -> str:
    return "unset" if value == "nil" else f"`{value}`"


def _without_meaning(text: str) -> List[str]:
    table = _WITHOUT_MEANING.search(text)
    if table is None:
        raise ValueError("libraries/validation.rb has no WITHOUT_MEANING")
    rows = [f"| `{name}` | {reason} |" for name, reason in _REASON.findall(table[1])]
    head = ["", "## Without meaning", "", "| Attribute | Because |", "|---|---|"]
    return [*head, *rows]
