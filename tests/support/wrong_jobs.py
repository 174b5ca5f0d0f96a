"""Bodies of POST jobs with something wrong, and the answers that pushy-api 4.3 documents.

The table is generated: each field with a value of each kind, each pair of faults (the first one in
the documented order decides), and texts that are no JSON. None as the answer means that it is good.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

UNKNOWN = "an unknown validation error has occurred"
NO_NODES = "at least one node must be supplied"
COMMAND = "invalid command supplied"
CAPTURE = "invalid type supplied for capture_output (expected a boolean)"
NUL = "invalid text (a NUL character)"
SURROGATE = "invalid text (a lone surrogate)"
NODE = "invalid node name (expected 1 to 255 characters)"
KEY = "invalid key supplied"
PREFIX = "invalid file contents (expected 'base64:...' or 'raw:...')"
BASE64 = "invalid file contents (couldn't decode base64 string)"
SIZE = "invalid file size (must be <= 100000 bytes)"
TWICE = "invalid environment value (duplicate key)"
JSON = "invalid JSON"
HUGE = 10**400
JOB: Dict[str, Any] = {"command": "true", "nodes": ["nowhere"]}

TEXTS: Dict[str, str] = {
    "text": "x",
    "empty": "",
    "controls": "a\x1b[2J\r\n\x7f",
    "not-ascii": "\u00e9\u4e2d\U0001f600",
    "nul": "a\0b",
    "surrogate": "a\ud800",
}
NUMBERS: Dict[str, Any] = {
    "number": 7,
    "negative": -1,
    "float": 1.5,
    "huge": HUGE,
    "infinite": float("inf"),
    "nan": float("nan"),
}
OTHERS: Dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "list": ["x"],
    "empty-list": [],
    "nested-list": [["x"]],
    "object": {"a": "x"},
    "empty-object": {},
}
KINDS: Dict[str, Any] = {**TEXTS, **NUMBERS, **OTHERS}
UNSTORABLE = {"nul": NUL, "surrogate": SURROGATE}


class Body(NamedTuple):
    """A body and the documented error, None for a good one."""

    name: str
    raw: bytes
    error: Optional[str]


def _text_field(wrong: str) -> Dict[str, Optional[str]]:
    return {kind: UNSTORABLE.get(kind) if kind in TEXTS else wrong for kind in KINDS}


def _number_field(name: str) -> Dict[str, Optional[str]]:
    found: Dict[str, Optional[str]] = dict.fromkeys(
        KINDS, f"invalid type supplied for {name} (expected a number)"
    )
    beyond = f"invalid value supplied for {name} (expected 0 to 2147483647)"
    broken = f"invalid value supplied for {name} (expected a whole number)"
    found.update(number=None, negative=beyond, huge=beyond)
    found.update(dict.fromkeys(("float", "infinite", "nan"), broken))
    return found


def _only(good: Tuple[str, ...], wrong: str, **others: str) -> Dict[str, Optional[str]]:
    return {kind: None if kind in good else others.get(kind, wrong) for kind in KINDS}


FIELDS: Mapping[str, Mapping[str, Optional[str]]] = {
    "command": _text_field(COMMAND),
    "nodes": _only(("list",), NO_NODES),
    "quorum": _number_field("quorum"),
    "run_timeout": _number_field("run_timeout"),
    "user": _text_field(UNKNOWN),
    "dir": _text_field(UNKNOWN),
    "env": _only(("object", "empty-object"), UNKNOWN),
    "file": _only((), UNKNOWN, **{**dict.fromkeys(TEXTS, PREFIX)}),
    "capture_output": _only(("true", "false"), CAPTURE),
    "unknown": _only((), KEY),
}

FAULTS: List[Tuple[str, Any, str]] = [
    ("command", None, COMMAND),
    ("nodes", "x", NO_NODES),
    ("run_timeout", "1", "invalid type supplied for run_timeout (expected a number)"),
    ("quorum", "1", "invalid type supplied for quorum (expected a number)"),
    ("user", 1, UNKNOWN),
    ("capture_output", 1, CAPTURE),
    ("other", 1, KEY),
    ("nodes", [], NO_NODES),
    ("env", {"": "x"}, "invalid environment value ('' can't be a variable)"),
    ("file", "x", PREFIX),
    ("file", "base64:?", BASE64),
    ("dir", "a\0", NUL),
    ("nodes", [""], NODE),
    ("run_timeout", -1, "invalid value supplied for run_timeout (expected 0 to 2147483647)"),
]
"""In the documented order; what pushy-api 4.3 does not number comes after what it does."""

VALUES: List[Tuple[str, Any, Optional[str]]] = [
    ("nodes", ["x" * 256], NODE),
    ("nodes", ["x" * 255], None),
    ("nodes", ["\U0001f600" * 255], None),
    ("quorum", 2**31, "invalid value supplied for quorum (expected 0 to 2147483647)"),
    ("quorum", 2**31 - 1, None),
    ("quorum", -0.0, None),
    ("run_timeout", 1e300, "invalid value supplied for run_timeout (expected 0 to 2147483647)"),
    ("env", {"A=B": "x"}, "invalid environment value ('A=B' can't be a variable)"),
    ("env", {"A": "x\0"}, "invalid environment value ('A' can't be a variable)"),
    ("env", {"A\0": "x"}, "invalid environment value ('A\\x00' can't be a variable)"),
    ("env", {"A": "\ud800"}, SURROGATE),
    ("env", {"\ud800": "x"}, SURROGATE),
    ("file", "RAW:x", PREFIX),
    ("file", ":x", PREFIX),
    ("file", "raw", PREFIX),
    ("file", "raw:\0\x01", None),
    ("file", "raw:\ud800", SURROGATE),
    ("file", "base64:YQ", BASE64),
    ("file", "base64:\ud800", BASE64),
    ("file", "base64:\u00e9=", BASE64),
    ("file", "base64:AA==", None),
    ("file", "raw:" + "x" * 100_001, SIZE),
    ("file", "base64:" + "AAAA" * 33_334, SIZE),
    ("user", "u" * 10_000, None),
    ("command", "c" * 500_000, None),
]

RAW: List[Tuple[bytes, Optional[str]]] = [
    (b"", JSON),
    (b" ", JSON),
    (b"{", JSON),
    (b"{}{}", JSON),
    (b"{'command': 'x'}", JSON),
    (b"\xff\xfe{\0}\0", JSON),
    (b"\xef\xbb\xbf{}", JSON),
    (b'{"command": "\xff"}', JSON),
    (b'{"command": "x\ny", "nodes": ["n"]}', JSON),
    (b"\0", JSON),
    (b"[" * 100_000, JSON),
    (b'{"a":' * 100_000, JSON),
    (b"9" * 5000, None),
    (b"[]", UNKNOWN),
    (b"null", UNKNOWN),
    (b'"text"', UNKNOWN),
    (b"1", UNKNOWN),
    (b"true", UNKNOWN),
    (b"NaN", UNKNOWN),
    (b"{}", COMMAND),
    (b'{"command": "x"}', NO_NODES),
    (b'{"nodes": ["x"]}', COMMAND),
    (b'{"command":"x","nodes":["n"],"env":{"A":"1","A":"1"}}', TWICE),
]


def wrong_jobs() -> Iterator[Body]:
    """All bodies, wrong ones and a few good ones between them."""
    for field, errors in FIELDS.items():
        for kind, error in errors.items():
            yield _body(f"{field}-{kind}", {field: KINDS[kind]}, error)
    for kind in KINDS:
        yield _body(f"node-{kind}", {"nodes": ["x", KINDS[kind]]}, _of_node(kind))
        yield _body(f"variable-{kind}", {"env": {"A": KINDS[kind]}}, _of_variable(kind))
    for field, value, error in VALUES:
        yield _body(f"{field}-{ascii(value)[:20]}-{len(str(value))}", {field: value}, error)
    for (one, first), (two, second) in itertools.combinations(enumerate(FAULTS, 1), 2):
        if first[0] != second[0]:
            changes = {first[0]: first[1], second[0]: second[1]}
            yield _body(f"fault-{one}-before-{two}", changes, first[2])
    for raw, error in RAW:
        yield Body(f"raw-{raw[:30]!r}", raw, error)


def _of_node(kind: str) -> Optional[str]:
    if kind not in TEXTS:
        return NO_NODES
    return NODE if kind == "empty" else UNSTORABLE.get(kind)


def _of_variable(kind: str) -> Optional[str]:
    if kind not in TEXTS:
        return UNKNOWN
    cannot = "invalid environment value ('A' can't be a variable)"
    return {"nul": cannot, "surrogate": SURROGATE}.get(kind)


def _body(name: str, changes: Mapping[str, Any], error: Optional[str]) -> Body:
    return Body(name, json.dumps({**JOB, **changes}).encode("ascii"), error)
