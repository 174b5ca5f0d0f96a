"""Which tests prove which rows of the protocol's and the API's checklists.

Rows are in docs/compatibility.yml; proofs are the markers ``proves`` of the tests, which are read
here and not run. It judges no test: that a marker tells the truth is for reviewers to see.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROWS = ROOT / "docs" / "compatibility.yml"
TESTS = ROOT / "tests"
_REAL_PROGRAMS = "tests/interop/"
NOT_RUN = "not run against the real program"


class Row(NamedTuple):
    """A point to prove; ``not_applicable`` says why no test can."""

    id: str
    text: str
    not_applicable: Optional[str] = None


class Section(NamedTuple):
    """Rows that belong together; ``peer`` when a real program could show them."""

    title: str
    about: str
    peer: bool
    rows: List[Row]


class Proof(NamedTuple):
    """A test that names a row; ``file`` is relative to the root of the project."""

    row: str
    file: str
    test: str


def sections(text: str) -> List[Section]:
    """The sections of the data file."""
    return [
        Section(
            str(each["title"]),
            str(each["about"]),
            bool(each.get("peer")),
            [_row(str(name), value) for name, value in each["rows"].items()],
        )
        for each in yaml.safe_load(text)
    ]


def _row(name: str, value: object) -> Row:
    if isinstance(value, dict):
        return Row(name, str(value["text"]), str(value["not_applicable"]))
    return Row(name, str(value))


def proofs(file: str, code: str) -> Iterator[Proof]:
    """The rows that the tests of a file name. Raises ValueError for a row that is no plain text."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef):
            for row in _marked(node, file):
                yield Proof(row, file, node.name)


def _marked(function: ast.FunctionDef, file: str) -> Iterator[str]:
    for call in function.decorator_list:
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.proves":
            for argument in call.args:
                if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
                    raise ValueError(f"{file}: {function.name} does not name its rows in quotes")
                yield argument.value


def read() -> Tuple[List[Section], List[Proof]]:
    """The rows and the proofs of this project."""
    found: List[Proof] = []
    for path in sorted(TESTS.rglob("test_*.py")):
        file = path.relative_to(ROOT).as_posix()
        found += proofs(file, path.read_text(encoding="utf-8"))
    return sections(ROWS.read_text(encoding="utf-8")), found


def problems(parts: List[Section], found: List[Proof]) -> List[str]:
    """What is wrong with rows and proofs, in sentences."""
    rows = [row for part in parts for row in part.rows]
    known = {row.id: row for row in rows}
    proven = {proof.row for proof in found}
    wrong = [f"{row} is there twice" for row in known if [r.id for r in rows].count(row) > 1]
    for row in known.values():
        if row.not_applicable is None and row.id not in proven:
            wrong.append(f"no test proves {row.id}: {row.text}")
        if row.not_applicable is not None and row.id in proven:
            wrong.append(f"a test proves {row.id}, which is not applicable")
    for proof in found:
        if proof.row not in known:
            wrong.append(f"{proof.file}: {proof.test} names the unknown row {proof.row}")
    return wrong


def tables(parts: List[Section], found: List[Proof]) -> str:
    """The sections as Markdown."""
    tests: Dict[str, List[Proof]] = {}
    for proof in found:
        tests.setdefault(proof.row, []).append(proof)
    return "\n".join(_section(part, tests) for part in parts)


def _section(part: Section, tests: Dict[str, List[Proof]]) -> str:
    lines = [f"## {part.title}", "", part.about, "", "| Row | What has to hold | Proven by |"]
    lines += ["|---|---|---|"]
    for row in part.rows:
        lines.append(f"| {row.id} | {row.text} | {_proven(part, row, tests.get(row.id, []))} |")
    return "\n".join([*lines, ""])


def _proven(part: Section, row: Row, tests: List[Proof]) -> str:
    if row.not_applicable is not None:
        return f"not applicable, because {row.not_applicable}"
    cells = [f"[{proof.test}](../{proof.file})" for proof in tests]
    if part.peer and not any(proof.file.startswith(_REAL_PROGRAMS) for proof in tests):
        cells.append(NOT_RUN)
    return "<br>".join(cells)
