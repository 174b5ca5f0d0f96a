"""Prints: results to standard output, everything else to standard error.

Standard output carries what was asked for and nothing else: a JSON reader can take all of it.
"""

from __future__ import annotations

import json
import sys
from typing import Callable, Iterable, List, Sequence, Tuple, Union

from rich.console import Console
from rich.table import Table
from rich.text import Text

from push_jobs.documents import Document
from push_jobs.terminal import escape_line

_UNLIMITED = 100_000  # columns, when no terminal has to be fitted


def notice(text: str) -> None:
    """Say something to the person at the keyboard; each line of ``text`` is escaped."""
    sys.stdout.flush()  # keeps the order where both go to the same place
    for line in text.split("\n"):
        sys.stderr.write(escape_line(line) + "\n")
    sys.stderr.flush()


def present(
    format_: str, document: Union[Document, List[Document]], table: Callable[[], None]
) -> None:
    """Print a result in the format the user chose; ``table`` prints it for people."""
    if format_ == "table":
        table()
    elif format_ == "json":
        print_json(document)
    else:
        print_lines(document if isinstance(document, list) else [document])


def print_json(document: object) -> None:
    """Print one JSON value; escaped down to printable ASCII, so that it cannot harm a terminal."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def print_lines(documents: Iterable[Document]) -> None:
    """Print JSON Lines, each as soon as it is there."""
    for document in documents:
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()


def print_table(headings: Sequence[str], rows: Iterable[Sequence[Text]]) -> None:
    """Print columns under their headings, without blanks at the ends of lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = _console()
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().rstrip("\n").split("\n"):
        sys.stdout.write(line.rstrip() + "\n")


def print_pairs(pairs: Iterable[Tuple[str, Text]]) -> None:
    """Print names and values, one pair a line."""
    shown = list(pairs)
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        print_text(Text.assemble((name.ljust(width), "bold"), "  ", value))


def print_text(text: Text) -> None:
    """Print styled text on a line of its own."""
    _console().print(text, soft_wrap=True)


def cell(value: object, style: str = "") -> Text:
    """Return a value fit for a table, whatever is in it; None is shown as ``-``."""
    return Text("-", "dim") if value is None else Text(escape_line(str(value)), style)


def _console() -> Console:
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _UNLIMITED
    return console
