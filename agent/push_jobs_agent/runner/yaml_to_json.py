"""Turns a YAML whitelist on standard input into JSON on standard output. A program, not a module.

Started by the runner for each YAML file and gone a moment later. Whatever YAML reads as something
else than it looks like (``on``, dates, numbers as names, a key that is there twice) is a mistake
here: exit code 1, one line for each on standard output.
"""

from __future__ import annotations

import json
import sys
from typing import Any, List

PLAIN = ("str", "int", "float", "bool", "null", "map", "seq", "merge")
"""What JSON knows, too."""


def main() -> int:
    """Convert, or say what is wrong."""
    try:
        import yaml
    except ImportError:
        print("reading YAML needs PyYAML: install it, or write the whitelist as JSON")
        return 1
    problems: List[str] = []
    text = "{}"
    try:
        loader: Any = yaml.SafeLoader(sys.stdin.buffer)
        node = loader.get_single_node()
        if node is not None:
            _find_problems(node, problems)
        if node is not None and not problems:
            text = json.dumps(loader.construct_document(node))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problems.append("is not YAML: " + " ".join(str(error).split()))
    print("\n".join(problems) or text)
    return 1 if problems else 0


def _find_problems(node: Any, problems: List[str]) -> None:
    """Walk over the parsed tree; its nodes still know the line they stand in."""
    for child in _children(node, problems):
        _find_problems(child, problems)
    kind = _kind(node)
    if kind not in PLAIN:
        problems.append(f"{_place(node)}: reads as a {kind}, put it into quotes")


def _kind(node: Any) -> str:
    return str(node.tag).replace("tag:yaml.org,2002:", "")


def _children(node: Any, problems: List[str]) -> List[Any]:
    if isinstance(node.value, str):
        return []
    if not isinstance(node.value[0] if node.value else None, tuple):
        return list(node.value)
    seen = set()
    for key, _ in node.value:
        if _kind(key) not in ("str", "merge"):
            problems.append(f"{_place(key)}: the key is no text, put it into quotes")
        elif key.value in seen:
            problems.append(f"{_place(key)}: {key.value} is there more than once, expected once")
        else:
            seen.add(key.value)
    return [value for _, value in node.value]


def _place(node: Any) -> str:
    return f"line {node.start_mark.line + 1}"


if __name__ == "__main__":
    sys.exit(main())
